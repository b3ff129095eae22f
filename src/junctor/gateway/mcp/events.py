"""Answers that are event streams, with bounds, and the description of their failures."""

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx2

from junctor.gateway.mcp.exchange import Exchange, Problem
from junctor.gateway.mcp.public_only import AddressNotPublic
from junctor.net.transport_failures import FailureKind, causes, transport_failure


class BoundedEvents(httpx2.AsyncByteStream):
    """An event stream whose events have a maximal size, and whose end is reported."""

    def __init__(
        self,
        response: httpx2.Response,
        limit: int,
        exchange: Exchange | None,
        total: float | None,
        ended: Callable[[Problem | None], None] | None,
    ) -> None:
        """Wrap an answer.

        Args:
            response: the answer.
            limit: bytes that one event may have.
            exchange: the request that the stream belongs to; None when it lasts as long as the session.
            total: seconds that the whole stream may take; None for no limit.
            ended: called when the stream ends, with the reason when it broke.
        """
        self._response = response
        self._limit = limit
        self._exchange = exchange
        self._total = total
        self._ended = ended
        self._problem: Problem | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._total if self._total is not None else None
        size, tail = 0, b""
        chunks = aiter(self._response.stream)  # type: ignore[arg-type]  # an AsyncByteStream, as every async transport gives
        try:
            # An event ends with an empty line, which two chunks may share.
            while (chunk := await self._next(chunks)) is not None:
                window = tail + chunk
                end = max(window.rfind(b"\n\n"), window.rfind(b"\r\n\r\n"), window.rfind(b"\r\r"))
                size = len(window) - end if end >= 0 else size + len(chunk)
                tail = window[-3:]
                if size > self._limit:
                    raise httpx2.SSEError(self._note(502, f"the server sent an event of more than {self._limit} bytes"))
                if deadline is not None and loop.time() > deadline:
                    raise httpx2.SSEError(self._note(504, "the server did not finish its answer in time"))
                yield chunk
        except httpx2.TransportError as error:
            self._note(*describe(error))
            raise
        finally:
            if self._ended is not None:
                self._ended(self._problem)

    async def aclose(self) -> None:
        """Close the connection, unless the stream has ended."""
        await self._response.aclose()

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        if self._exchange is None:
            return await anext(chunks, None)
        with self._exchange.cancelled_at_end():
            return await anext(chunks, None)
        raise httpx2.SSEError("nobody waits for the answer any more")

    def _note(self, code: int, message: str) -> str:
        self._problem = self._problem or (code, message)
        if self._exchange is not None:
            self._exchange.broke(code, message)
        return message


def describe(error: httpx2.TransportError) -> tuple[int, str]:
    """Return a status and a sentence for a transport error. The library's own text may name addresses."""
    if any(isinstance(cause, AddressNotPublic) for cause in causes(error)):
        return 502, "address not public; servers of this registry are called at public addresses only (allowPrivateAddresses)"
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
