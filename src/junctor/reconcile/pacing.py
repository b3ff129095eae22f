"""When the loop works: how long it waits, when it may publish the next change, and when it last did."""

from dataclasses import dataclass
from typing import Final

from junctor.net.backoff import Backoff

FIRST_GAP: Final = 0.05
LONGEST_GAP: Final = 1.0
QUIET: Final = 1.0
RETRIES: Final = Backoff(first=0.5, last=10.0, jitter=0.0)


class Pacer:
    """Gaps between publishings double from FIRST_GAP to LONGEST_GAP seconds and start over after QUIET seconds without one.

    They double only while changes come faster than the gap: one change every 0.8 s is not a flood, and none of them has to wait.
    """

    def __init__(self) -> None:
        self._last: float | None = None
        self._gap = FIRST_GAP
        self._waited = False

    @property
    def gap(self) -> float:
        """Seconds that have to lie between the last publishing and the next one."""
        return self._gap

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


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that the loop waits.

    refresh: between full LISTs when nothing else asks for one. burst: after a request for a full LIST, because requests come in bursts.
    report: before a report, because acknowledgements of one revision come within milliseconds of each other. settle: after a publication,
    in which pods that have not answered are not reported, because normally all answer sooner. survey: for all pods to say what they
    serve, at a start without a head. clean_up: after which old shards and credentials are removed although some pod did not
    acknowledge; it starts again at the head. retries: after a LIST or a pass that failed.
    """

    refresh: float = 300.0
    burst: float = 0.5
    report: float = 0.005
    settle: float = 0.5
    survey: float = 2.0
    clean_up: float = 60.0
    retries: Backoff = RETRIES


@dataclass(slots=True)
class Passes:
    """When the loop last did its work, on its own clock: for liveness. failures: passes in a row that left something undone."""

    ended_at: float | None = None
    began_at: float | None = None
    failures: int = 0
