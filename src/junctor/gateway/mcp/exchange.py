"""One request of the SDK as the HTTP layer sees it: what the SDK does not report about its answers, and bounds for event streams.

The SDK runs a request's POST in the context of the task that made the request, so a context variable connects the two.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

import anyio
import httpx2

from junctor.gateway.mcp.budgets import EVENT_VALUES, Flood, Meter, OverBudget, Pace, Unasked, values_of_events
from junctor.net.connecting import AddressRefused
from junctor.net.network_policy import NOT_PUBLIC
from junctor.net.transport_failures import FailureKind, causes, transport_failure

#: An event ends with an empty line, which two chunks may share.
_EVENT_ENDS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")

#: What went wrong below HTTP: the status to report for it, and a sentence.
Problem = tuple[int, str]


@dataclass(slots=True, eq=False)
class Exchange:
    """One call, one listing or one connect. meter: counts what its answers cost.

    status: of the last answer, 0 before there is one. json_rpc: the answer was a JSON-RPC error. is_inconclusive: an answer was an outage
    or a refusal, which does not show the protocol that the server speaks. problem: what went wrong below HTTP, with the status to report
    for it. session_lost: the server does not know the session and refused the request before executing it. resumed: how often a broken
    answer was resumed, at which pace. is_over: nobody waits for an answer any more.
    """

    meter: Meter
    status: int = 0
    json_rpc: bool = False
    is_inconclusive: bool = False
    problem: Problem | None = None
    session_lost: bool = False
    is_over: bool = False
    resumed: int = 0
    pace: Pace | None = field(default=None, repr=False)
    scope: anyio.CancelScope | None = field(default=None, repr=False)
    _requests: set[anyio.CancelScope] = field(default_factory=set, init=False, repr=False)

    def record_answer(self, status: int, *, json_rpc: bool = False, session_lost: bool = False) -> None:
        """Record an answer."""
        if not self.is_over:
            self.status, self.json_rpc = status, json_rpc
            self.session_lost = self.session_lost or session_lost
            self.is_inconclusive = self.is_inconclusive or status in (401, 403, 429) or status >= 500

    def record_failure(self, code: int, message: str) -> None:
        """Record what went wrong. The first cause is kept."""
        if not self.is_over:
            self.is_inconclusive = True
            self.problem = self.problem or (code, message)

    def abort(self) -> None:
        """End the wait for an answer that cannot arrive any more."""
        if self.scope is not None and not self.is_over:
            self.scope.cancel()

    def end(self) -> None:
        """Cancel what still runs for this exchange. The SDK would read on until the server ends its answer."""
        self.is_over = True
        self.meter.close()
        for request in self._requests:
            request.cancel()

    @contextmanager
    def cancel_at_end(self) -> Iterator[None]:
        """Cancel the body of the context, and absorb the cancellation, when the exchange is over."""
        with anyio.CancelScope() as scope:
            if self.is_over:
                scope.cancel()
            self._requests.add(scope)
            try:
                yield
            finally:
                self._requests.discard(scope)


#: The exchange of the task that runs.
current_exchange: Final[ContextVar[Exchange | None]] = ContextVar("junctor_mcp_exchange", default=None)


class BoundedEvents(httpx2.AsyncByteStream):
    """An event stream whose events are counted before the SDK parses them, and whose end is reported."""

    def __init__(
        self,
        response: httpx2.Response,
        unasked: Unasked,
        exchange: Exchange | None,
        on_flood: Callable[[Problem], None],
        *,
        limit: int,
        total: float | None = None,
        on_end: Callable[[Problem | None], None] | None = None,
    ) -> None:
        """Wrap an answer.

        Args:
            response: the answer.
            unasked: counts what nobody asked for.
            exchange: the request that the stream belongs to; None when it lasts as long as the session.
            on_flood: called when the server sends too much that nobody asked for.
            limit: bytes that one event may have.
            total: seconds that the whole stream may take; None for no limit.
            on_end: called when the stream ends, with the reason when it broke.
        """
        self._response = response
        self._unasked = unasked
        self._exchange = exchange
        self._on_flood = on_flood
        self._limit = limit
        self._total = total
        self._on_end = on_end
        self._problem: Problem | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._total if self._total is not None else None
        pending: list[bytes] = []
        size, tail = 0, b""
        chunks = aiter(self._response.stream)  # type: ignore[arg-type]  # an AsyncByteStream, as every async transport gives
        try:
            while (chunk := await self._next(chunks)) is not None:
                self._count_piece(chunk)
                end = _end_of_events(tail, chunk)
                tail = (tail + chunk)[-3:]
                pending.append(chunk[:end] if end else chunk)
                size += len(pending[-1])
                if size > self._limit:
                    raise OverBudget(f"the server sent an event of more than {self._limit} bytes")
                if deadline is not None and loop.time() > deadline:
                    raise httpx2.SSEError(self._note(504, "the server did not finish its answer in time"))
                if end:
                    yield await self._counted(b"".join(pending))
                    pending = [chunk[end:]]
                    size = len(pending[0])
            yield await self._counted(b"".join(pending))
        except OverBudget as error:
            if isinstance(error, Flood):
                self._on_flood((502, str(error)))
            raise httpx2.SSEError(self._note(502, str(error))) from error
        except httpx2.TransportError as error:
            self._note(*describe_error(error))
            raise
        finally:
            if self._on_end is not None:
                self._on_end(self._problem)

    async def aclose(self) -> None:
        """Close the connection, unless the stream has ended."""
        await self._response.aclose()

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        if self._exchange is None:
            return await anext(chunks, None)
        with self._exchange.cancel_at_end():
            return await anext(chunks, None)
        raise httpx2.SSEError("nobody waits for the answer any more")

    def _count_piece(self, chunk: bytes) -> None:
        self._unasked.add_piece(chunk, belongs_to_request=self._exchange is not None)
        if self._exchange is not None:
            self._exchange.meter.add_piece(len(chunk), is_event=True)

    async def _counted(self, events: bytes) -> bytes:
        if self._exchange is not None:
            await self._exchange.meter.add_text(events, is_event=True)
        elif values_of_events(events, EVENT_VALUES) > EVENT_VALUES:
            raise OverBudget(f"the server sent an event of more than {EVENT_VALUES} values")
        return events

    def _note(self, code: int, message: str) -> str:
        self._problem = self._problem or (code, message)
        if self._exchange is not None:
            self._exchange.record_failure(code, message)
        return message


def _end_of_events(tail: bytes, chunk: bytes) -> int:
    """Return where in a chunk the last complete event ends; 0 when none ends there. tail: the three bytes before the chunk."""
    window = tail + chunk
    ends = (place + len(mark) for mark in _EVENT_ENDS if (place := window.rfind(mark)) >= 0)
    return max(max(ends, default=0) - len(tail), 0)


def describe_error(error: httpx2.TransportError) -> tuple[int, str]:
    """Return a status and a sentence for a transport error. The library's own text may name addresses."""
    refused = next((cause for cause in causes(error) if isinstance(cause, AddressRefused)), None)
    if refused is not None and refused.reason == NOT_PUBLIC:
        return 502, "address not public; servers of this registry are called at public addresses only (allowPrivateAddresses)"
    if refused is not None:
        return 502, f"the server's address {refused.reason}; nothing was sent"
    kind, detail = transport_failure(error)
    match kind:
        case FailureKind.CERTIFICATE:
            return 502, f"the server's certificate is not valid: {detail}"
        case FailureKind.NAME:
            return 502, "the server's host name does not resolve"
        case FailureKind.REFUSED:
            return 502, "the server refuses connections"
    match error:
        case httpx2.ConnectTimeout():
            return 504, "the server did not accept a connection in time"
        case httpx2.TimeoutException():
            return 504, "the server did not answer in time"
        case httpx2.ConnectError():
            return 502, "no connection to the server"
        case _:
            return 502, "the server broke the connection before its answer was complete"
