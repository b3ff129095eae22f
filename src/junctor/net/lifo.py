"""Things that serve one use at a time and are kept for the next one, such as connections."""

import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class IdleStack(Generic[T]):
    """The last one used is the next one, so that those that are not needed grow old, and are closed.

    make: for when none is idle. close: never raises. most: kept idle; seconds: for so long.
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
        """One for the caller alone, to be given back."""
        return self._idle.pop()[0] if self._idle else self._make()

    async def give(self, used: T) -> None:
        """Give one back."""
        now = self._clock()
        self._idle.append((used, now))
        # Others take and give while one is closed.
        while self._idle and (len(self._idle) > self._most or now - self._idle[0][1] > self._seconds):
            await self._close(self._idle.popleft()[0])

    async def aclose(self) -> None:
        """Close those that are idle, and from now on what is given."""
        self._most = 0
        while self._idle:
            await self._close(self._idle.popleft()[0])
