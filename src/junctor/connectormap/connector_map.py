"""The connector map: what the operator publishes and every gateway pod reads. Format, digests, layout and reader in one place.

A map is one *head* ConfigMap, immutable *shard* ConfigMaps and 16 credential Secrets. The head names its shards by digest and is
written last, so a reader that follows the head sees one whole map, the old or the new one. A shard is a canonical JSON array with one
entry on each line, which `kubectl get -o yaml` shows as it is.

    ConnectorMapError
    +-- MapUnreadable       an object is not what its digest or schema says; keep the old map
    |   +-- UnknownSchema   the head is of a version that this reader does not know
    +-- MapMoved            a shard is gone: the map was replaced while it was read; start again at the head
"""

import hashlib
import hmac
import json
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from junctor.api.names import REGISTRY_ID_PREFIX

SCHEMA: Final = "junctor.dev/connector-map/v1"
HEAD_KEY: Final = "head.json"
SHARD_KEY: Final = "connectors.json"
#: What an entry with `access` requires: a reader that does not know it would let everybody use the connector.
ACCESS_FEATURE: Final = "access/1"
#: What the entries of a registry require: a discovered one inherits from its registry's entry, and its address is checked at each connect.
REGISTRY_FEATURE: Final = "registry/1"
#: Features that this version's readers know, and its writer may use. An entry that requires another one is listed, never called.
FEATURES: Final = frozenset({"mcp/1", ACCESS_FEATURE, REGISTRY_FEATURE})

SHARD_LIMIT: Final = 128 * 1024
ENTRY_LIMIT: Final = 64 * 1024
#: A Secret may hold 1 MiB of base64 and metadata; values are raw here (3/4 of it), so this leaves room for keys and metadata.
CREDENTIALS_LIMIT: Final = 900 * 1024 * 3 // 4
CREDENTIAL_OBJECTS: Final = 16
#: Layouts aim at this size and are made anew when a shard outgrows SHARD_LIMIT or the mean falls below a quarter of it.
_SHARD_TARGET: Final = 64 * 1024
_MAX_BUCKETS: Final = 65536
READ_ATTEMPTS: Final = 5
#: `sha256:`, 64 hex digits and a line end.
_DIGEST_LINE: Final = 72
#: `sha256:` and two hex digits.
_DIGEST_PART: Final = 9
#: Up to so many changed entries are moved in the ordered digests one by one; beyond, sorting anew is cheaper.
FEW_CHANGES: Final = 32


class ConnectorMapError(Exception):
    """Anything that keeps a map from being read."""


class MapUnreadable(ConnectorMapError):
    """An object of the map is not what it has to be; the message names the object."""


class UnknownSchema(MapUnreadable):
    """The head is of a schema version that this reader does not know."""


class MapMoved(ConnectorMapError):
    """A shard that the head names does not exist (any more)."""


# --- ids ---------------------------------------------------------------------------------------------------------------------------


def registry_entry_id(connector_id: str) -> str:
    """`mcp::internal` for the discovered `mcp::internal::io.acme/weather`; "" for an id that is not a discovered server's."""
    if not connector_id.startswith(REGISTRY_ID_PREFIX):
        return ""
    end = connector_id.find("::", len(REGISTRY_ID_PREFIX))
    return connector_id[:end] if end > 0 else ""


# --- canonical form -----------------------------------------------------------------------------------------------------------------


def canonical(value: Any) -> str:
    """JSON with sorted keys, no white space and no raw control characters: equal values, equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(text: str | bytes | memoryview) -> str:
    """`sha256:<hex>` of a text (UTF-8) or bytes."""
    return "sha256:" + hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """One connector in the map, held as text: a large map has a hundred thousand of them.

    digest: over the content without `since`, so that equal content has an equal digest whoever published it when.
    since: the sequence in which the content last changed. body: the canonical JSON without `since`, in UTF-8, of which a str that holds
    one letter beyond Latin-1 takes twice the memory. place: where `since` belongs in it.
    """

    id: str
    digest: str
    since: int
    body: bytes = field(repr=False)
    place: int = field(repr=False)

    @classmethod
    def of(cls, content: Mapping[str, Any], since: int = 0) -> Self:
        """Make an entry of its content (as the map has it, without `since`)."""
        before = canonical({key: value for key, value in content.items() if key < "since"}).encode()
        after = canonical({key: value for key, value in content.items() if key > "since"}).encode()
        body = before[:-1] + (b"," if len(before) > 2 < len(after) else b"") + after[1:]
        return cls(content["id"], sha256(body), since, body, len(before) - 1)

    @classmethod
    def parse(cls, line: str | bytes) -> Self:
        """Read a line of a shard. Raises ValueError or KeyError when it is none."""
        content = json.loads(line)
        since = int(content.pop("since"))
        return cls.of(content | {"id": str(content["id"])}, since)

    def changed_at(self, since: int) -> "Entry":
        """The same content, published in another sequence; the text is shared."""
        return Entry(self.id, self.digest, since, self.body, self.place)

    @property
    def line(self) -> bytes:
        """The canonical JSON, `since` included: a line of a shard, in UTF-8."""
        before, after = self.body[: self.place], self.body[self.place :]
        return b'%b%b"since":%d%b%b' % (before, b"," if len(before) > 1 else b"", self.since, b"" if after[0] in b",}" else b",", after)

    @property
    def size(self) -> int:
        """Bytes of the line."""
        return len(self.body) + len(str(self.since)) + len(',"since":')

    @property
    def content(self) -> dict[str, Any]:
        """The entry as JSON, parsed anew at each use: maps are held as text."""
        value: dict[str, Any] = json.loads(self.body)
        value["since"] = self.since
        return value


def revision_of(entries: Iterable[Entry]) -> str:
    """The revision: a digest of the set of entry digests, whatever the shards and whoever built it."""
    return revision_of_digests(digest_lines(entries))


def revision_of_digests(digests: bytes) -> str:
    """The revision of entries whose `digest_lines` these are."""
    return sha256(memoryview(digests)[:-1])


def digest_lines(entries: Iterable[Entry]) -> bytes:
    """The digests in order, each with a line end: records of _DIGEST_LINE bytes."""
    # In 256 parts: one sort of a hundred thousand would keep every other thread of the process waiting.
    parts: dict[str, list[str]] = {}
    for entry in entries:
        parts.setdefault(entry.digest[:_DIGEST_PART], []).append(entry.digest)
    return b"".join("".join(f"{digest}\n" for digest in sorted(parts[part])).encode() for part in sorted(parts))


def replaced_digests(digests: bytes, gone: Iterable[str], come: Iterable[str]) -> bytes:
    """`digest_lines` after some entries went and others came: cheap for a few of them, however large the map."""
    lines = bytearray(digests)
    for digest in gone:
        place = _place(lines, digest)
        del lines[place : place + _DIGEST_LINE]
    for digest in come:
        place = _place(lines, digest)
        lines[place:place] = f"{digest}\n".encode()
    return bytes(lines)


def _place(lines: bytearray, digest: str) -> int:
    """Where a digest is, or belongs, among the ordered digest lines."""
    wanted = f"{digest}\n".encode()
    count = len(lines) // _DIGEST_LINE
    return bisect_left(range(count), wanted, key=lambda n: bytes(lines[n * _DIGEST_LINE : (n + 1) * _DIGEST_LINE])) * _DIGEST_LINE


# --- credentials --------------------------------------------------------------------------------------------------------------------


def reference_hash(namespace: str, name: str, key: str) -> str:
    """16 hex digits that stand for one Secret key of a cluster."""
    return hashlib.sha256(f"{namespace}/{name}/{key}".encode()).hexdigest()[:16]


def credential_version(installation_key: bytes, value: bytes) -> str:
    """16 hex digits that change with the value and tell nothing about it without the installation's key."""
    return hmac.new(installation_key, value, hashlib.sha256).hexdigest()[:16]


def credential_object(credential: str) -> int:
    """Which of the 16 credential Secrets holds `<refhash>.<version>`."""
    return int(credential[0], 16) % CREDENTIAL_OBJECTS


def credential_object_name(map_name: str, number: int) -> str:
    """Name of a credential Secret."""
    return f"{map_name}-credentials-{number}"


def credentials_of(content: Mapping[str, Any]) -> list[str]:
    """The credentials that an entry names, headers first."""
    found = []
    for header in content.get("headers", ()):
        sources = header.get("parts", (header,))
        found += [source["credential"] for source in sources if isinstance(source, dict) and "credential" in source]
    bearer = content.get("auth", {}).get("bearer")
    return [*found, bearer["credential"]] if bearer else found


# --- head ---------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ShardRef:
    """How the head names a shard."""

    name: str
    digest: str
    entries: int


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a map. epoch fences writers, sequence orders revisions."""

    installation: str
    epoch: int
    sequence: int
    revision: str
    connectors: int
    shards: tuple[ShardRef, ...]
    registries: tuple[Mapping[str, Any], ...] = ()
    features: tuple[str, ...] = tuple(sorted(FEATURES))

    def to_text(self) -> str:
        """The text of data["head.json"]."""
        shards = [{"name": shard.name, "digest": shard.digest, "entries": shard.entries} for shard in self.shards]
        head = {"schema": SCHEMA, "installation": self.installation, "epoch": self.epoch, "sequence": self.sequence}
        tail = {"revision": self.revision, "connectors": self.connectors, "shards": shards}
        return canonical({**head, **tail, "registries": list(self.registries), "features": list(self.features)})

    @classmethod
    def parse(cls, text: str, name: str) -> Self:
        """Read a head. Raises UnknownSchema or MapUnreadable, naming the object `name`."""
        try:
            value = json.loads(text)
            schema = value["schema"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise MapUnreadable(f"head {name}: not a connector map head ({_short(error)})") from error
        if schema != SCHEMA:
            raise UnknownSchema(f"head {name}: schema {str(schema)[:80]!r} is not known here; this version reads {SCHEMA}")
        try:
            shards = tuple(ShardRef(str(s["name"]), str(s["digest"]), int(s["entries"])) for s in value["shards"])
            return cls(
                installation=str(value["installation"]),
                epoch=int(value["epoch"]),
                sequence=int(value["sequence"]),
                revision=str(value["revision"]),
                connectors=int(value["connectors"]),
                shards=shards,
                registries=tuple(value.get("registries", ())),
                features=tuple(value.get("features", ())),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise MapUnreadable(f"head {name}: a field is missing or wrong ({_short(error)})") from error


def installation_of(text: str) -> str | None:
    """The installation that a head of any schema version names; None when it cannot be read."""
    try:
        value = json.loads(text).get("installation")
    except (ValueError, AttributeError, RecursionError):
        return None
    return value if isinstance(value, str) else None


# --- layout: the writer's plan ------------------------------------------------------------------------------------------------------


def bucket_of(connector_id: str, buckets: int) -> int:
    """The bucket of an id; `buckets` is a power of two."""
    return int.from_bytes(hashlib.sha256(connector_id.encode()).digest()[:4], "big") & (buckets - 1)


@dataclass(frozen=True, slots=True)
class Shard:
    """One bucket's entries, in the order of their ids. size: bytes of the text."""

    ref: ShardRef
    entries: Mapping[str, Entry] = field(repr=False)
    size: int

    @classmethod
    def of(cls, map_name: str, bucket: int, entries: Iterable[Entry]) -> Self:
        """Build the shard of a bucket from its entries, in any order."""
        ordered = {entry.id: entry for entry in sorted(entries, key=lambda entry: entry.id)}
        text = _text_of(ordered.values())
        digest = sha256(text)
        return cls(ShardRef(f"{map_name}-{bucket}-{digest[7:19]}", digest, len(ordered)), ordered, len(text))

    @property
    def text(self) -> str:
        """The text of data["connectors.json"], made anew at each use: the entries hold it already."""
        return _text_of(self.entries.values()).decode()


def _text_of(entries: Iterable[Entry]) -> bytes:
    return b"[\n" + b",\n".join(entry.line for entry in entries) + b"\n]"


@dataclass(frozen=True, slots=True)
class Layout:
    """All entries of a map in their shards. Unchanged shards are shared between a layout and its successor."""

    map_name: str
    shards: Mapping[int, Shard]
    buckets: int = 1

    @classmethod
    def build(cls, map_name: str, entries: Iterable[Entry]) -> Self:
        """Lay out entries in the smallest power of two of buckets whose shards stay near the target size."""
        pending = list(entries)
        size = sum(_size(entry) for entry in pending)
        buckets = 1
        while buckets < _MAX_BUCKETS and size > buckets * _SHARD_TARGET:
            buckets *= 2
        while True:
            sorted_in: dict[int, list[Entry]] = {}
            for entry in pending:
                sorted_in.setdefault(bucket_of(entry.id, buckets), []).append(entry)
            if buckets >= _MAX_BUCKETS or all(sum(map(_size, group)) <= SHARD_LIMIT - 8 for group in sorted_in.values()):
                break
            buckets *= 2
        return cls(map_name, {b: Shard.of(map_name, b, group) for b, group in sorted_in.items()}, buckets)

    def replace(self, changes: Mapping[str, Entry | None]) -> "Layout":
        """The layout after some entries changed (None: removed). Touches only their shards while every shard keeps its size."""
        touched: dict[int, dict[str, Entry]] = {}
        for connector_id, entry in changes.items():
            bucket = bucket_of(connector_id, self.buckets)
            if bucket not in touched:
                touched[bucket] = dict(self.shards[bucket].entries) if bucket in self.shards else {}
            if entry is None:
                touched[bucket].pop(connector_id, None)
            else:
                touched[bucket][connector_id] = entry
        untouched = {bucket: shard for bucket, shard in self.shards.items() if bucket not in touched}
        # Before any text is made: a few buckets that are much too large would hold the whole map once more.
        sizes = [shard.size for shard in untouched.values()] + [_text_size(entries.values()) for entries in touched.values() if entries]
        if max(sizes, default=0) > SHARD_LIMIT or (self.buckets > 1 and sum(sizes) < self.buckets * _SHARD_TARGET // 4):
            everything = [entry for shard in untouched.values() for entry in shard.entries.values()]
            return Layout.build(self.map_name, everything + [entry for entries in touched.values() for entry in entries.values()])
        made = {bucket: Shard.of(self.map_name, bucket, entries.values()) for bucket, entries in touched.items() if entries}
        return Layout(self.map_name, dict(sorted((untouched | made).items())), self.buckets)

    def entries(self) -> dict[str, Entry]:
        """Every entry by id."""
        return {entry.id: entry for shard in self.shards.values() for entry in shard.entries.values()}

    def refs(self) -> tuple[ShardRef, ...]:
        """The shards as the head names them."""
        return tuple(self.shards[bucket].ref for bucket in sorted(self.shards))


def _size(entry: Entry) -> int:
    return entry.size + 2


def _text_size(entries: Iterable[Entry]) -> int:
    """Bytes of a shard's text that holds these entries, at least one."""
    return sum(map(_size, entries)) + 2


def read_layout(map_name: str, refs: Iterable[ShardRef], texts: Mapping[str, str]) -> Layout:
    """The layout that a head and its shards' texts describe. Raises MapUnreadable or MapMoved."""
    shards: dict[int, Shard] = {}
    for ref in refs:
        if ref.name not in texts:
            raise MapMoved(f"shard {ref.name} does not exist")
        entries = parse_shard(ref, texts[ref.name])
        try:
            bucket = int(ref.name.removeprefix(f"{map_name}-").split("-")[0])
        except ValueError as error:
            raise MapUnreadable(f"shard {ref.name}: the name holds no bucket number") from error
        shards[bucket] = Shard.of(map_name, bucket, entries.values())
    buckets = 1
    while buckets <= max(shards, default=0):
        buckets *= 2
    while any(bucket_of(key, buckets) != bucket for bucket, shard in shards.items() for key in shard.entries):
        if buckets >= _MAX_BUCKETS:
            raise MapUnreadable(f"map {map_name}: its entries are not in the buckets of their ids")
        buckets *= 2
    return Layout(map_name, dict(sorted(shards.items())), buckets)


# --- reader -------------------------------------------------------------------------------------------------------------------------


def parse_shard(ref: ShardRef, text: str, known: Mapping[bytes, Entry] | None = None) -> dict[str, Entry]:
    """The entries of a shard, digest verified. Raises MapUnreadable.

    known: entries by line that were parsed before; a line that is among them is not parsed again.
    """
    raw = text.encode()
    if sha256(raw) != ref.digest:
        raise MapUnreadable(f"shard {ref.name}: its content does not have the digest that the head names")
    held = known or {}
    try:
        entries = [held.get(line) or Entry.parse(line) for line in raw.removeprefix(b"[\n").removesuffix(b"\n]").split(b",\n")]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MapUnreadable(f"shard {ref.name}: an entry cannot be read ({_short(error)})") from error
    by_id = {entry.id: entry for entry in entries}
    if not len(by_id) == len(entries) == ref.entries:
        raise MapUnreadable(f"shard {ref.name}: {len(by_id)} entries where the head names {ref.entries}")
    return by_id


@dataclass(frozen=True, slots=True)
class ConnectorMap:
    """One map as a reader holds it: whole, verified, never changed.

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
    accept: Callable[[Head], None] = lambda _: None,
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
        accept(head)
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
    held = current.shards if current else {}
    wanted = {ref.digest for ref in head.shards}
    replaced = [shard for digest, shard in held.items() if digest not in wanted]
    known = {entry.line: entry for shard in replaced for entry in shard.values()}
    shards: dict[str, Mapping[str, Entry]] = {}
    fetched: list[Mapping[str, Entry]] = []
    for ref in head.shards:
        shard = held.get(ref.digest)
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
    if revision_of_digests(digests) != head.revision:
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
    gone = [entry.digest for shard in replaced for entry in shard.values() if entries.get(entry.id) is not entry]
    come = [entry.digest for shard in fetched for entry in shard.values() if old.get(entry.id) is not entry]
    if current is None or len(gone) + len(come) > FEW_CHANGES:
        return entries, digest_lines(entries.values())
    return entries, replaced_digests(current.digests, gone, come)


def unknown_features(content: Mapping[str, Any]) -> list[str]:
    """The features that an entry requires and this version does not know: such an entry is listed, never called."""
    required = content.get("requires", [])
    if not isinstance(required, list):
        return [str(required)]
    return sorted(str(feature) for feature in required if feature not in FEATURES)


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
