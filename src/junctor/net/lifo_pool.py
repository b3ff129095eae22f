"""A pool of things that serve one user at a time, such as connections."""

import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class LifoPool(Generic[T]):
    """Hands out the item that was used last, so that the surplus of a busy moment stays idle, grows old and is closed.

    make: creates an item when none is idle. close: closes one; must not raise. most: how many stay idle. seconds: for how long.
    """

    def __init__(
        self,
        make: Callable[[], T],
        close: Callable[[T], Awaitable[None]],
        *,
        most: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._close = close
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._idle: deque[tuple[T, float]] = deque()

    def take(self) -> T:
        """Take an item for exclusive use; the caller gives it back."""
        return self._idle.pop()[0] if self._idle else self._make()

    async def give(self, used: T) -> None:
        """Give an item back, and close those that were idle for too long."""
        now = self._clock()
        self._idle.append((used, now))
        # While one is closed, other tasks take and give.
        while self._idle and (len(self._idle) > self._most or now - self._idle[0][1] > self._seconds):
            await self._close(self._idle.popleft()[0])

    async def aclose(self) -> None:
        """Close the idle items, and from now on each one that is given back."""
        self._most = 0
        while self._idle:
            await self._close(self._idle.popleft()[0])
