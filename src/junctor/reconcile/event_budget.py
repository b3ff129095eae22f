"""How many Events may be posted. The API server keeps each for an hour, and one change of a Secret can cause one for each connector."""

from typing import Final, NamedTuple

#: At once, about the resources of one namespace, with one reason.
BURST: Final = 1000
#: For each second after that.
PER_SECOND: Final = 0.5
#: Buckets that are kept before full ones are looked for.
_FEW: Final = 1024


class _Level(NamedTuple):
    """Events that were left at a time."""

    left: float
    at: float


class EventBudget:
    """Token buckets by namespace and reason, so that the Events of a tenant crowd out neither those of others nor rarer ones."""

    def __init__(self) -> None:
        self._levels: dict[tuple[str, str], _Level] = {}
        self._look_at = _FEW

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, namespace: str, reason: str, now: float) -> bool:
        """Whether one more Event may be posted; if so, it is counted. now: seconds of a monotonic clock."""
        left = self._left((namespace, reason), now)
        self._levels[namespace, reason] = _Level(left - 1 if left >= 1 else left, now)
        if len(self._levels) > self._look_at:
            self._levels = {key: level for key, level in self._levels.items() if self._left(key, now) < BURST}
            self._look_at = max(_FEW, 2 * len(self._levels))
        return left >= 1

    def _left(self, key: tuple[str, str], now: float) -> float:
        level = self._levels.get(key)
        return BURST if level is None else min(BURST, level.left + PER_SECOND * (now - level.at))
