"""Rewrites: how many bytes of a map's shards registries may cause to be written, as token buckets.

Everything written stays in etcd until its next compaction, every 5 minutes. A registry that has used its bucket up keeps what is published
of it; the rest follows once there are tokens again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from junctor.connectormap.entry import Entry


class Rate(NamedTuple):
    """burst: bytes at once, such as the first fill of a map. refill: bytes for each second."""

    burst: float
    refill: float


REGISTRY: Final = Rate(128 * 1024**2, 16 * 1024**2 / 60)
#: All registries of a map together: at most 512 MiB between two compactions after a quiet time, and 320 MiB on average.
ALL: Final = Rate(256 * 1024**2, 64 * 1024**2 / 60)
#: The key of the bucket of all registries.
_ALL_KEY: Final = ""


class _Level(NamedTuple):
    """Bytes that were left at a time; below 0 when the last write was larger than what was left."""

    bytes: float
    at: float


@dataclass(frozen=True, slots=True)
class Rewrites:
    """The buckets of a map's registries, by the ids of their entries; a full one is left out. Immutable."""

    _levels: Mapping[str, _Level] = field(default_factory=dict)

    def spent(self, written: Mapping[str, int], total: int, now: float) -> "Rewrites":
        """The buckets after a write. written: bytes of the shards that changed because of each registry. total: of all of them."""
        if not written:
            return self
        levels = {key: level for key, level in self._levels.items() if self._left(key, now) < _rate(key).burst}
        for key, size in {**written, _ALL_KEY: total}.items():
            levels[key] = _Level(self._left(key, now) - size, now)
        return Rewrites(levels)

    def ready_in(self, registry: str, now: float) -> float:
        """Seconds until more of a registry may be written; 0 for at once."""
        return max(-self._left(key, now) / _rate(key).refill if self._left(key, now) < 0 else 0.0 for key in (registry, _ALL_KEY))

    def _left(self, key: str, now: float) -> float:
        rate, level = _rate(key), self._levels.get(key)
        return rate.burst if level is None else min(rate.burst, level.bytes + rate.refill * (now - level.at))


def _rate(key: str) -> Rate:
    return REGISTRY if key else ALL


def without_additions(published: Mapping[str, Entry], planned: Mapping[str, Entry]) -> Mapping[str, Entry]:
    """The published servers of a registry that has to wait, without those that may not be called any more, which never wait.

    Returns the same object when there are none. A removed server comes back with tokens only, so removals cannot be repeated.
    """
    kept: dict[str, Entry] = {}
    for key, entry in published.items():
        after = planned.get(key)
        if after is not None:
            kept[key] = after if entry.available and not after.available else entry
    is_same = len(kept) == len(published) and all(kept[key] is entry for key, entry in published.items())
    return published if is_same else kept
