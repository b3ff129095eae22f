"""Turns: how many registries are read at once, so that their number does not decide how much memory that takes."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from junctor.api.limits import Room

#: Syncs at once. One namespace never has all of them, so its registries cannot keep those of others waiting.
_SYNCS: Final = 3
_SYNCS_OF_ONE: Final = 2
#: Bytes that each sync may collect; only one at a time collects more.
SMALL: Final = 4 * 1024**2
#: Scans that broke off and are kept, so that the next sync continues with them.
_UNFINISHED: Final = 2


class SyncTurns:
    """Lets the syncs of registries take turns, fairly between namespaces.

    large: held by the one sync that collects more than SMALL bytes.
    """

    def __init__(self) -> None:
        self.large = asyncio.Lock()
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._unfinished: dict[object, Callable[[], None]] = {}

    @asynccontextmanager
    async def turn(self, namespace: str) -> AsyncIterator[None]:
        """Wait for the turn of one of the namespace's registries, which lasts as long as the context."""
        await self._wait(namespace)
        try:
            yield
        finally:
            self._end_turn(namespace)

    async def _wait(self, namespace: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(namespace, deque()).append(turn)
        self._begin_turns()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it came in this moment
                self._end_turn(namespace)
            raise

    def _end_turn(self, namespace: str) -> None:
        self._running[namespace] -= 1
        if not self._running[namespace]:
            del self._running[namespace]
        self._begin_turns()

    def _begin_turns(self) -> None:
        """Begin as many turns as there may be: of the namespace that has waited longest since its last turn began."""
        while self._running.total() < _SYNCS:
            namespace = next((name for name in self._waiting if self._running[name] < _SYNCS_OF_ONE), None)
            if namespace is None:
                return
            queue = self._waiting.pop(namespace)
            turn = queue.popleft()
            if queue:
                self._waiting[namespace] = queue  # behind the others
            if not turn.done():
                self._running[namespace] += 1
                turn.set_result(None)

    def keep_unfinished(self, owner: object, forget: Callable[[], None]) -> None:
        """A scan of `owner` that broke off is kept, until `forget` is called because others broke off later."""
        self._unfinished.pop(owner, None)
        self._unfinished[owner] = forget
        while len(self._unfinished) > _UNFINISHED:
            self._unfinished.pop(next(iter(self._unfinished)))()

    def forget_unfinished(self, owner: object) -> None:
        """Make room for a large scan of `owner`, whose own unfinished scan is the one that continues."""
        self._unfinished.pop(owner, None)
        while self._unfinished:
            self._unfinished.popitem()[1]()


class SyncShare(NamedTuple):
    """The share of one registry in what all registries use. turns: of their syncs. room: how much the registry may have now."""

    turns: SyncTurns
    room: Callable[[], Room]
