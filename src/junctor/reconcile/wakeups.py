"""When the loop works: what it has to look at again, how long it waits before it does, and when it last did."""

import asyncio
from dataclasses import dataclass
from enum import Flag, auto
from typing import Final

from junctor.net.backoff import Backoff

FIRST_GAP: Final = 0.05
LONGEST_GAP: Final = 1.0
QUIET: Final = 1.0
RETRIES: Final = Backoff(first=0.5, last=10.0, jitter=0.0)


class Dirty(Flag):
    """Kinds of work.

    MAPS: something changed that the maps depend on. CLEAN_UP: old objects may be removable. STATUSES: something changed that only
    statuses depend on. REFRESH: events may have been lost, so the snapshot needs full LISTs.
    """

    MAPS = auto()
    CLEAN_UP = auto()
    STATUSES = auto()
    REFRESH = auto()


class DirtySet:
    """The kinds that are dirty, the resources whose statuses are, and a timer for each kind."""

    def __init__(self) -> None:
        self._kinds = Dirty(0)
        self._uids: set[str] | None = set()
        self._waiting: list[tuple[Dirty, asyncio.Future[None]]] = []
        self._timers: dict[Dirty, asyncio.TimerHandle] = {}

    def mark(self, kind: Dirty) -> None:
        """Mark kinds; STATUSES means the statuses of all resources."""
        if Dirty.STATUSES in kind:
            self._uids = None
        self._mark(kind)

    def mark_status(self, uid: str) -> None:
        """Mark the status of one resource."""
        if self._uids is not None:
            self._uids.add(uid)
        self._mark(Dirty.STATUSES)

    def mark_in(self, kind: Dirty, seconds: float) -> None:
        """Mark one kind later. An earlier timer of the kind stays: whoever takes the kind arms what is due after it."""
        loop = asyncio.get_running_loop()
        armed = self._timers.get(kind)
        if armed is not None:
            if armed.when() <= loop.time() + seconds:
                return
            armed.cancel()
        self._timers[kind] = loop.call_later(seconds, self._fire, kind)

    def __contains__(self, kind: Dirty) -> bool:
        return bool(self._kinds & kind)

    async def wait(self, kinds: Dirty) -> None:
        """Wait until any of the kinds is dirty."""
        while not self._kinds & kinds:
            marked = asyncio.get_running_loop().create_future()
            self._waiting.append((kinds, marked))
            await marked

    def take(self, kinds: Dirty) -> Dirty:
        """Those of the kinds that are dirty; they are clean afterwards. Which statuses are dirty stays known until `take_statuses`."""
        taken = self._kinds & kinds
        self._kinds &= ~kinds
        return taken

    @property
    def all_statuses(self) -> bool:
        """Whether the statuses of all resources are dirty."""
        return self._uids is None

    def take_statuses(self) -> frozenset[str] | None:
        """The resources whose statuses are dirty, None for all; they are clean afterwards."""
        taken, self._uids = self._uids, set()
        return None if taken is None else frozenset(taken)

    def close(self) -> None:
        """Cancel the timers."""
        for timer in self._timers.values():
            timer.cancel()

    def _fire(self, kind: Dirty) -> None:
        del self._timers[kind]
        self.mark(kind)

    def _mark(self, kind: Dirty) -> None:
        self._kinds |= kind
        for kinds, marked in self._waiting:
            if kinds & kind and not marked.done():
                marked.set_result(None)
        self._waiting = [(kinds, marked) for kinds, marked in self._waiting if not marked.done()]


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
