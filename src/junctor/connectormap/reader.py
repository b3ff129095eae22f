"""Reads connector maps. A map is returned only when it is complete and verified."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from junctor.connectormap.digests import FEW_CHANGES, digest_lines, replace_digests, revision_of, sha256
from junctor.connectormap.entry import Entry
from junctor.connectormap.errors import MapMoved, MapUnreadable, describe_error
from junctor.connectormap.head import Head, ShardRef
from junctor.connectormap.layout import MAX_BUCKETS, Layout, Shard, bucket_of

READ_ATTEMPTS: Final = 5


def parse_shard(ref: ShardRef, text: str, known: Mapping[bytes, Entry] | None = None) -> dict[str, Entry]:
    """The entries of a shard, digest verified. Raises MapUnreadable.

    known: entries by line that were parsed before; a line that is among them is not parsed again.
    """
    raw = text.encode(errors="replace")  # half of a surrogate pair, which no writer's digest covers
    if sha256(raw) != ref.digest:
        raise MapUnreadable(f"shard {ref.name}: its content does not have the digest that the head names")
    parsed = known or {}
    try:
        entries = [parsed.get(line) or Entry.parse(line) for line in raw.removeprefix(b"[\n").removesuffix(b"\n]").split(b",\n")]
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise MapUnreadable(f"shard {ref.name}: an entry cannot be read ({describe_error(error)})") from error
    by_id = {entry.id: entry for entry in entries}
    if not len(by_id) == len(entries) == ref.entries:
        raise MapUnreadable(f"shard {ref.name}: {len(by_id)} entries where the head names {ref.entries}")
    return by_id


@dataclass(frozen=True, slots=True)
class ConnectorMap:
    """One complete and verified map. It never changes.

    shards: entries by id, by the shard's digest. entries: all by id. digests: those of all entries in order, one on each line.
    Unchanged shards and entries are the same objects in a map and its successor.
    """

    head: Head
    shards: Mapping[str, Mapping[str, Entry]] = field(repr=False)
    entries: Mapping[str, Entry] = field(repr=False)
    digests: bytes = field(repr=False)


Fetch = Callable[[str], Awaitable[str | None]]


async def read_map(
    head_name: str,
    fetch_head: Callable[[], Awaitable[str | None]],
    fetch_shard: Fetch,
    current: ConnectorMap | None = None,
    *,
    accept: Callable[[Head], Awaitable[None]] | None = None,
) -> ConnectorMap | None:
    """Read one consistent map; `current` itself when the head still names the same sequence and revision; None when there is no head.

    fetch_*: give the text of an object or None when it does not exist. Shards that `current` holds are not fetched again.
    accept: raises to refuse a head before anything else is read.
    When a shard is missing, the map was replaced meanwhile: starts again at the head, READ_ATTEMPTS times in all, then raises MapMoved.
    Raises MapUnreadable for content that must not be served.
    """
    for attempt in range(READ_ATTEMPTS):
        text = await fetch_head()
        if text is None:
            return None
        head = Head.parse(text, head_name)
        if accept is not None:
            await accept(head)
        if current is not None and (head.sequence, head.revision, head.shards) == (
            current.head.sequence,
            current.head.revision,
            current.head.shards,
        ):
            return current
        try:
            return await _read_shards(head, fetch_shard, current)
        except MapMoved:
            if attempt == READ_ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


async def _read_shards(head: Head, fetch_shard: Fetch, current: ConnectorMap | None) -> ConnectorMap:
    previous = current.shards if current else {}
    listed = {ref.digest for ref in head.shards}
    replaced = [shard for digest, shard in previous.items() if digest not in listed]
    known = {entry.line: entry for shard in replaced for entry in shard.values()}
    shards: dict[str, Mapping[str, Entry]] = {}
    fetched: list[Mapping[str, Entry]] = []
    for ref in head.shards:
        shard = previous.get(ref.digest)
        if shard is None:
            text = await fetch_shard(ref.name)
            if text is None:
                raise MapMoved(f"shard {ref.name}, which the head of sequence {head.sequence} names, does not exist")
            shard = parse_shard(ref, text, known)
            fetched.append(shard)
        shards[ref.digest] = shard
    entries, digests = _successor(current, replaced, fetched)
    if not len(entries) == sum(map(len, shards.values())) == head.connectors:
        raise MapUnreadable(f"map of sequence {head.sequence}: {len(entries)} connectors where the head names {head.connectors}")
    if revision_of(digests) != head.revision:
        raise MapUnreadable(f"map of sequence {head.sequence}: its content does not have the head's revision")
    return ConnectorMap(head, shards, entries, digests)


def _successor(
    current: ConnectorMap | None, replaced: Iterable[Mapping[str, Entry]], fetched: Iterable[Mapping[str, Entry]]
) -> tuple[dict[str, Entry], bytes]:
    """The entries and their digests after some shards were replaced, made from the current ones: cheap when little changed."""
    old = current.entries if current else {}
    entries = dict(old)
    for shard in replaced:
        for connector_id in shard:
            entries.pop(connector_id, None)
    for shard in fetched:
        entries.update(shard)
    removed = [entry.digest for shard in replaced for entry in shard.values() if entries.get(entry.id) is not entry]
    added = [entry.digest for shard in fetched for entry in shard.values() if old.get(entry.id) is not entry]
    if current is None or len(removed) + len(added) > FEW_CHANGES:
        return entries, digest_lines(entry.digest for entry in entries.values())
    return entries, replace_digests(current.digests, removed, added)


def read_layout(map_name: str, refs: Iterable[ShardRef], texts: Mapping[str, str], salt: str = "") -> Layout:
    """The layout that a head and its shards' texts describe. Raises MapUnreadable or MapMoved.

    salt: of the buckets. A map that was laid out with another one is laid out anew.
    """
    shards: dict[int, Shard] = {}
    for ref in refs:
        if ref.name not in texts:
            raise MapMoved(f"shard {ref.name} does not exist")
        entries = parse_shard(ref, texts[ref.name])
        try:
            bucket = int(ref.name.removeprefix(f"{map_name}-").split("-")[0])
        except ValueError as error:
            raise MapUnreadable(f"shard {ref.name}: the name contains no bucket number") from error
        shards[bucket] = Shard.of(map_name, bucket, entries.values())
    buckets = 1
    while buckets <= max(shards, default=0):
        buckets *= 2
    while any(bucket_of(key, buckets, salt) != bucket for bucket, shard in shards.items() for key in shard.entries):
        if buckets >= MAX_BUCKETS and salt:
            return Layout.build(map_name, (entry for shard in shards.values() for entry in shard.entries.values()), salt)
        if buckets >= MAX_BUCKETS:
            raise MapUnreadable(f"map {map_name}: its entries are not in the buckets of their ids")
        buckets *= 2
    return Layout(map_name, dict(sorted(shards.items())), buckets, salt)
