"""The layout of a map: entries are spread over shards by a hash of their ids, so that a change rewrites one shard."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from junctor.connectormap.digests import sha256
from junctor.connectormap.entry import Entry
from junctor.connectormap.head import ShardRef

#: Room for four of the largest entries, which meet in one bucket by chance: a limit of two would scatter a map with a hundred of them over
#: so many shards that their list does not fit into the head.
SHARD_LIMIT: Final = 288 * 1024
#: The mean size that a new layout aims at. A layout is rebuilt when a shard outgrows SHARD_LIMIT, or the mean twice or a sixteenth of this.
_SHARD_TARGET: Final = 64 * 1024
MAX_BUCKETS: Final = 65536


def bucket_of(connector_id: str, buckets: int, salt: str = "") -> int:
    """Return the bucket of an id.

    Args:
        connector_id: The id.
        buckets: A power of two.
        salt: What publishers and tenants do not know. Else they could choose ids that fall into one bucket, and make it too large for a
            ConfigMap, or the buckets as many as there are.
    """
    return int.from_bytes(hashlib.sha256(f"{salt}{connector_id}".encode()).digest()[:4], "big") & (buckets - 1)


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
        """The text of data["connectors.json"]. Built at each use, because the entries keep it already."""
        return _text_of(self.entries.values()).decode()


def _text_of(entries: Iterable[Entry]) -> bytes:
    return b"[\n" + b",\n".join(entry.line for entry in entries) + b"\n]"


@dataclass(frozen=True, slots=True)
class Layout:
    """All entries of a map, in shards by bucket. A layout shares unchanged shards with its successor."""

    map_name: str
    shards: Mapping[int, Shard]
    buckets: int = 1
    salt: str = field(default="", repr=False)

    @classmethod
    def build(cls, map_name: str, entries: Iterable[Entry], salt: str = "") -> Self:
        """Lay out entries. The number of buckets is the smallest power of two that keeps shards near the target size."""
        pending = list(entries)
        size = sum(_size(entry) for entry in pending)
        buckets = 1
        while buckets < MAX_BUCKETS and size > buckets * _SHARD_TARGET:
            buckets *= 2
        while True:
            sorted_in: dict[int, list[Entry]] = {}
            for entry in pending:
                sorted_in.setdefault(bucket_of(entry.id, buckets, salt), []).append(entry)
            if buckets >= MAX_BUCKETS or all(sum(map(_size, group)) <= SHARD_LIMIT - 8 for group in sorted_in.values()):
                break
            buckets *= 2
        return cls(map_name, {b: Shard.of(map_name, b, group) for b, group in sorted_in.items()}, buckets, salt)

    def replace(self, changes: Mapping[str, Entry | None]) -> "Layout":
        """Return the layout after changes, by id (None: removed). Rebuilds only the shards concerned while the sizes stay in bounds."""
        touched: dict[int, dict[str, Entry]] = {}
        for connector_id, entry in changes.items():
            bucket = bucket_of(connector_id, self.buckets, self.salt)
            if bucket not in touched:
                touched[bucket] = dict(self.shards[bucket].entries) if bucket in self.shards else {}
            if entry is None:
                touched[bucket].pop(connector_id, None)
            else:
                touched[bucket][connector_id] = entry
        untouched = {bucket: shard for bucket, shard in self.shards.items() if bucket not in touched}
        # Judged before any text is built, because the text of a few buckets that are much too large is the whole map once more.
        sizes = [shard.size for shard in untouched.values()] + [_text_size(entries.values()) for entries in touched.values() if entries]
        size, aim = sum(sizes), self.buckets * _SHARD_TARGET
        if max(sizes, default=0) > SHARD_LIMIT or size > 2 * aim or (self.buckets > 1 and size < aim // 16):
            everything = [entry for shard in untouched.values() for entry in shard.entries.values()]
            everything += [entry for entries in touched.values() for entry in entries.values()]
            return Layout.build(self.map_name, everything, self.salt)
        made = {bucket: Shard.of(self.map_name, bucket, entries.values()) for bucket, entries in touched.items() if entries}
        return Layout(self.map_name, dict(sorted((untouched | made).items())), self.buckets, self.salt)

    def entries(self) -> dict[str, Entry]:
        """Every entry by id."""
        return {entry.id: entry for shard in self.shards.values() for entry in shard.entries.values()}

    def refs(self) -> tuple[ShardRef, ...]:
        """The shards as the head names them."""
        return tuple(self.shards[bucket].ref for bucket in sorted(self.shards))


def _size(entry: Entry) -> int:
    return entry.size + 2


def _text_size(entries: Iterable[Entry]) -> int:
    """Return the bytes of the text of a shard with these entries; there is at least one."""
    return sum(map(_size, entries)) + 2
