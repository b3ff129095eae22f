"""What the loop has to look at again, as one set of kinds: marked by events and timers, taken by the tasks of the loop."""

import asyncio
from enum import Flag, auto


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
