"""What one MCP server may cost: bytes and values of its answers, messages that nobody asked for, and requests that it provokes.

OverBudget     an answer exceeds what it may have; the message says how
+-- Flood      the session does
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, Self, TypeVar

from junctor.net.backoff import Backoff
from junctor.net.json_values import count_values

_MIB: Final = 1024 * 1024
#: Texts with fewer commas and brackets than this are counted with those in their strings, which is faster.
_FEW: Final = 256
#: Bytes that notifications may add to the answer of an event stream.
_BESIDE: Final = _MIB
#: An answer has at most so many pieces, and one more for each 256 bytes: each costs a pass through the HTTP library.
_PIECES: Final = 2000
_PIECE_BYTES: Final = 256


class OverBudget(Exception):
    """An answer of a server exceeds what it may have. It fails alone."""


class Flood(OverBudget):
    """A server sends more of what nobody asked for than it may. Its session ends."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the answers to one exchange may have together. size: bytes on the wire. values: of JSON."""

    size: int
    values: int

    @classmethod
    def of_call(cls, max_result_bytes: int) -> Self:
        """Return the allowance of a call: a result may come as text and as structured content."""
        return cls(2 * max_result_bytes + 65536, max(50_000, max_result_bytes // 10))


HANDSHAKE: Final = Allowance(_MIB, 10_000)
#: All pages together.
LISTING: Final = Allowance(4 * _MIB, 50_000)
#: Of one event that belongs to no request, and of all events over HTTP+SSE, where requests and answers are not connected.
EVENT_VALUES: Final = 100_000


class InFlight:
    """What the answers of one connector's server take at one time. Bytes that are too many fail; values wait before they are parsed."""

    def __init__(self, max_result_bytes: int = _MIB) -> None:
        call = Allowance.of_call(max_result_bytes)
        self._most_bytes = max(32 * _MIB, call.size)
        self._most_values = max(150_000, call.values)
        self._bytes = 0
        self._values = 0
        self._freed = asyncio.Event()

    def take_bytes(self, size: int) -> None:
        """Hold more bytes. Raises OverBudget."""
        if self._bytes + size > self._most_bytes:
            raise OverBudget(f"the answers of this server take more than {self._most_bytes} bytes at one time; try again")
        self._bytes += size

    async def take_values(self, values: int) -> None:
        """Hold more values as soon as there is space. Who holds values needs no more of them to go on, so the wait ends."""
        while self._values and self._values + values > self._most_values:
            self._freed.clear()
            await self._freed.wait()
        self._values += values

    def give(self, size: int, values: int) -> None:
        """Hold fewer bytes and values."""
        self._bytes -= size
        self._values -= values
        self._freed.set()


@dataclass(slots=True, eq=False)
class Meter:
    """Counts the answers to one exchange. in_flight: shared by all exchanges of a connector."""

    allowance: Allowance
    in_flight: InFlight = field(default_factory=InFlight, repr=False)
    _size: int = 0
    _values: int = 0
    _pieces: int = 0
    _held_bytes: int = 0
    _held_values: int = 0
    _is_closed: bool = False

    def add_piece(self, size: int, *, is_event: bool = False) -> None:
        """Count a piece of an answer as it came from the wire. Raises OverBudget."""
        self._size += size
        self._pieces += 1
        if self._size > self.allowance.size + (_BESIDE if is_event else 0):
            raise OverBudget(f"the server's answer has more than {self.allowance.size} bytes")
        if self._pieces > _PIECES + self._size // _PIECE_BYTES:
            raise OverBudget(f"the server sends its answer in more than {_PIECES} pieces of a few bytes")
        if not self._is_closed:
            self.in_flight.take_bytes(size)
            self._held_bytes += size

    async def add_text(self, text: bytes, *, is_event: bool = False) -> None:
        """Count the values of a text, JSON or events, and wait until it may be parsed. Raises OverBudget."""
        left = self.allowance.values - self._values
        values = values_of_events(text, left) if is_event else _values_of(text, left)
        if values > left:
            raise OverBudget(f"the server's answer has more than {self.allowance.values} values")
        self._values += values
        await self.in_flight.take_values(values)
        self._held_values += values
        if self._is_closed:
            self.release()

    def release(self) -> None:
        """Hold nothing: what has come was used."""
        self.in_flight.give(self._held_bytes, self._held_values)
        self._held_bytes = self._held_values = 0

    def close(self) -> None:
        """Hold nothing any more, whatever still comes."""
        self._is_closed = True
        self.release()


def values_of_events(text: bytes, most: int) -> int:
    """Return the values of the JSON in a piece of an event stream, exactly up to `most`.

    A string of JSON never goes on after the end of a line, and the other fields of an event may have odd quotes.
    """
    structural = _structural(text)
    return structural if structural <= _FEW else sum(count_values(line, most) for line in text.splitlines())


def _values_of(text: bytes, most: int) -> int:
    structural = _structural(text)
    return structural if structural <= _FEW else count_values(text, most)


def _structural(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")


class Quota:
    """A bucket that fills with time: `take` fails when it is empty."""

    def __init__(
        self, capacity: float, per_second: float, *, start: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Create a bucket.

        Args:
            capacity: the most that it holds.
            per_second: what flows in.
            start: what it holds at first; None for its capacity.
            clock: in seconds.
        """
        self._capacity = capacity
        self._per_second = per_second
        self._clock = clock
        self._level = capacity if start is None else start
        self._at = clock()

    def take(self, amount: float) -> bool:
        """Take an amount out; False, and nothing is taken, when there is less."""
        now = self._clock()
        self.give((now - self._at) * self._per_second)
        self._at = now
        if amount > self._level:
            return False
        self._level -= amount
        return True

    def give(self, amount: float) -> None:
        """Put an amount in, as far as it fits."""
        self._level = min(self._capacity, self._level + amount)


#: Lines of event streams that belong to no request; a message has two to four. Each request adds those that its answer needs.
_LINES: Final = 2000
_LINES_PER_SECOND: Final = 40
_LINES_OF_ANSWER: Final = 16
#: A request of the server costs an answer, and so as much as many notifications.
_LINES_OF_REPLY: Final = 40
_UNASKED_BYTES: Final = _MIB
_UNASKED_BYTES_PER_SECOND: Final = 16 * 1024
_MOST_AWAITED_BYTES: Final = 32 * _MIB


class Unasked:
    """What the server of one session sends beside the answers to requests: notifications, and requests of its own."""

    def __init__(self) -> None:
        self._lines = Quota(_LINES, _LINES_PER_SECOND)
        self._bytes = Quota(_MOST_AWAITED_BYTES, _UNASKED_BYTES_PER_SECOND, start=_UNASKED_BYTES)

    def expect_answer(self, size: int = 0) -> None:
        """Count a request that was sent. size: bytes of its answer, if it will come on a stream that belongs to no request."""
        self._lines.give(_LINES_OF_ANSWER)
        self._bytes.give(size)

    def add_reply(self) -> None:
        """Count an answer to a request of the server. Raises Flood."""
        self._take_lines(_LINES_OF_REPLY)

    def add_piece(self, piece: bytes, *, belongs_to_request: bool) -> None:
        """Count a piece of an event stream. Raises Flood."""
        lines = piece.count(b"\n") + piece.count(b"\r")
        self._take_lines(lines or len(piece) < _PIECE_BYTES)
        if not belongs_to_request and not self._bytes.take(len(piece)):
            raise Flood("the server sends more bytes that nobody asked for than it may")

    def _take_lines(self, lines: int) -> None:
        if not self._lines.take(lines):
            raise Flood("the server sends more messages that nobody asked for than it may")


class Pace:
    """The time between requests of one kind: the pauses grow while they come quickly one after the other.

    pauses: between two of them. calm: seconds after which the next one counts as the first.
    """

    def __init__(self, pauses: Backoff, calm: float) -> None:
        self._pauses = pauses
        self._calm = calm
        self._last: float | None = None
        #: How many have come quickly one after the other.
        self.quick = 0

    async def wait(self) -> None:
        """Wait until the next one may be sent."""
        now = asyncio.get_running_loop().time()
        at = now
        if self._last is not None and now - self._last < self._calm:
            self.quick += 1
            at = max(now, self._last + self._pauses.pause(self.quick))
        else:
            self.quick = 0
        self._last = at
        await asyncio.sleep(at - now)
        self._last = max(self._last, asyncio.get_running_loop().time())


T = TypeVar("T")


class Setback(Generic[T]):
    """What failed last, and for how long it is not tried again: not at all after one failure, then 1 s, doubling up to a minute."""

    _PAUSES: Final = Backoff(first=1.0, last=60.0, jitter=0.0)

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._until = 0.0
        self._last: T | None = None

    def record(self, failure: T) -> None:
        """Record a failure. One that comes a minute after the pause of the last one counts as the first."""
        now = self._clock()
        if self._failures and now > self._until + self._PAUSES.last:
            self._failures = 0
        self._failures += 1
        self._last = failure
        self._until = now + (self._PAUSES.pause(self._failures - 1) if self._failures > 1 else 0.0)

    def clear(self) -> None:
        """Forget the failures."""
        self._failures = 0
        self._until = 0.0
        self._last = None

    def current(self) -> T | None:
        """Return the failure because of which nothing is tried now."""
        return self._last if self._clock() < self._until else None
