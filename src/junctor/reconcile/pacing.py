"""When to publish: the first change at once, under sustained change less and less often."""

from typing import Final

FIRST_GAP: Final = 0.05
LONGEST_GAP: Final = 1.0
QUIET: Final = 1.0


class Pacer:
    """Gaps between publishings double from FIRST_GAP to LONGEST_GAP seconds and start over after QUIET seconds without one.

    They double only while changes come faster than the gap: one change every 0.8 s is not a flood, and none of them has to wait.
    """

    def __init__(self) -> None:
        self._last: float | None = None
        self._gap = FIRST_GAP
        self._waited = False

    def delay(self, now: float) -> float:
        """Seconds to wait before publishing a change that is known now."""
        if self._last is None:
            return 0.0
        if now - self._last >= QUIET:
            self._gap = FIRST_GAP
        wait = max(0.0, self._last + self._gap - now)
        self._waited = self._waited or wait > 0
        return wait

    def published(self, now: float) -> None:
        """Something was published, after waiting for `delay`."""
        if self._waited:
            self._gap = min(LONGEST_GAP, self._gap * 2)
        self._last, self._waited = now, False
