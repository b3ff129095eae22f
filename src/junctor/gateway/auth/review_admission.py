"""Which reviews of unknown tokens may reach the API server now: a few at once, so many a second, and senders take turns."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Final

#: In any second at most the burst and what the rate adds to it: 50.
_PER_SECOND: Final = 40.0
_BURST: Final = 10
_CONCURRENT: Final = 16
_WAITING: Final = 256
#: Seconds for which a review waits for its turn.
_PATIENCE: Final = 5.0

#: True when the turn has come, False when the review was dropped.
Turn = asyncio.Future[bool]


class NotAdmitted(Exception):
    """Too many reviews wait, or this one has waited for too long."""


class ReviewAdmission:
    """Admits reviews: `per_second` after a `burst`, `concurrent` at once. When more than `waiting` wait, the busiest sender loses one."""

    def __init__(
        self, *, per_second: float = _PER_SECOND, burst: int = _BURST, concurrent: int = _CONCURRENT, waiting: int = _WAITING
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._free = concurrent
        self._waiting = waiting
        self._line = _Line()
        self._admissible = float(burst)
        self._counted_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def admit(self, sender: Hashable) -> AsyncIterator[None]:
        """Wait for a turn, and keep it while the context lasts. Raises NotAdmitted."""
        turn: Turn = asyncio.get_running_loop().create_future()
        self._line.add(sender, turn)
        if len(self._line) > self._waiting:
            _settle(self._line.drop_from_longest(sender), False)
        self._admit_next()
        try:
            async with asyncio.timeout(_PATIENCE):
                is_admitted = await turn
        except BaseException as error:
            self._line.remove(sender, turn)
            if turn.done() and not turn.cancelled() and turn.result():  # it came in the same moment and will not be used
                self._leave()
            if isinstance(error, TimeoutError):
                raise NotAdmitted from None
            raise
        if not is_admitted:
            raise NotAdmitted
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        self._free += 1
        self._admit_next()

    def _admit_next(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._admissible = min(self._burst, self._admissible + (now - self._counted_at) * self._per_second)
        self._counted_at = now
        while self._line and self._free and self._admissible >= 1:
            if _settle(self._line.next(), True):
                self._admissible -= 1
                self._free -= 1
        if self._line and self._free and self._timer is None:
            self._timer = loop.call_later((1 - self._admissible) / self._per_second, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        self._admit_next()


def _settle(turn: Turn, is_admitted: bool) -> bool:
    """Decide about a turn; False when it was given up in this moment, and its task has not run since."""
    if turn.done():
        return False
    turn.set_result(is_admitted)
    return True


class _Line:
    """Waiting reviews. Senders take turns, so one with many waits behind another with one."""

    def __init__(self) -> None:
        self._turns: OrderedDict[Hashable, deque[Turn]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, sender: Hashable, turn: Turn) -> None:
        self._turns.setdefault(sender, deque()).append(turn)
        self._length += 1

    def next(self) -> Turn:
        sender, turns = next(iter(self._turns.items()))
        turn = turns.popleft()
        self._turns.move_to_end(sender)
        self._removed(sender)
        return turn

    def drop_from_longest(self, newest: Hashable) -> Turn:
        """Remove the last one of the sender with the most; `newest` loses when others have as many."""
        longest = max(self._turns, key=lambda sender: (len(self._turns[sender]), sender == newest))
        turn = self._turns[longest].pop()
        self._removed(longest)
        return turn

    def remove(self, sender: Hashable, turn: Turn) -> None:
        """Remove a turn if it still waits."""
        turns = self._turns.get(sender, ())
        if turn in turns:
            self._turns[sender].remove(turn)
            self._removed(sender)

    def _removed(self, sender: Hashable) -> None:
        self._length -= 1
        if not self._turns[sender]:
            del self._turns[sender]
