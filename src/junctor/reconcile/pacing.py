"""When to publish: the first change at once, under sustained change less and less often."""

from typing import Final

FIRST_GAP: Final = 0.05
LONGEST_GAP: Final = 1.0
QUIET: Final = 1.0


class Pacer:
    """Gaps between publishings double from FIRST_GAP to LONGEST_GAP seconds and start over after QUIET seconds without one."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._gap = 0.0

    def delay(self, now: float) -> float:
        """Seconds to wait before publishing a change that is known now."""
        if self._last is None:
            return 0.0
        if now - self._last >= QUIET:
            self._gap = 0.0
        return max(0.0, self._last + self._gap - now)

    def published(self, now: float) -> None:
        """Something was published, after waiting for `delay`."""
        self._gap = min(LONGEST_GAP, self._gap * 2) or FIRST_GAP
        self._last = now
