"""The HTTP transport under the SDK: a broken request fails alone, and answers have a maximal size.

Without it, a refused connection, a time-out or a truncated body ends the whole session of the SDK, HTTP statuses are lost, and JSON bodies
are unbounded.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import httpx2

from junctor.gateway.mcp.budgets import HANDSHAKE, Flood, Meter, OverBudget, Pace, Unasked
from junctor.gateway.mcp.exchange import BoundedEvents, Exchange, Problem, current_exchange, describe_error
from junctor.gateway.mcp.http_pools import origin_of
from junctor.gateway.mcp.target import Target
from junctor.net.backoff import Backoff
from junctor.net.formats import MCPObject

#: Bytes of an event on a stream that lasts as long as the session. Over HTTP+SSE, the SDK accepts no more and would not report it.
_EVENT_LIMIT: Final = 1024 * 1024
#: Code of the JSON-RPC errors that represent a failure below HTTP; it never leaves this package.
TRANSPORT_FAILED: Final = -32098
#: Seconds by which HTTP's read time-out, which frees the connection, follows the deadline of the call.
READ_GRACE: Final = 5.0
#: Seconds for notifying a server of a cancelled call.
_CANCEL_SECONDS: Final = 1.0
#: Bytes; a cancellation is smaller, and so is an answer to a request of the server: the gateway offers nothing that one could ask for.
_MAX_BRIEF: Final = 1024
#: How often a broken answer may be resumed: the SDK nests a call for each time.
_MAX_RESUMED: Final = 100
#: How often in quick succession.
_MAX_QUICKLY_RESUMED: Final = 12
#: Pauses between requests for a session's stream, whatever the server's `retry` says, and seconds after which a stream has lasted.
STREAM_PAUSES: Final = (Backoff(first=1.0, last=60.0, jitter=0.0), 60.0)
#: The same for the rest of a broken answer, for which somebody waits.
RESUMPTION_PAUSES: Final = (Backoff(first=1.0, last=5.0, jitter=0.0), 10.0)
_HOP_HEADERS: Final = (b"content-length", b"transfer-encoding", b"content-encoding", b"connection", b"set-cookie")


class SessionTransport(httpx2.AsyncBaseTransport):
    """One session's view of a shared pool. Closing it leaves the pool open.

    sse: the session speaks HTTP+SSE, where answers arrive on the GET stream. on_end: called when that stream ends, with the reason.
    on_flood: called when the server sends too much that nobody asked for.
    """

    def __init__(
        self,
        inner: httpx2.AsyncBaseTransport,
        target: Target,
        *,
        sse: bool,
        on_end: Callable[[Problem | None], None],
        on_flood: Callable[[Problem], None],
    ) -> None:
        self._inner = inner
        self._origin = origin_of(httpx2.URL(target.url))
        self._limits = target.limits
        self._sse = sse
        self._on_end = on_end
        self._on_flood = on_flood
        self._unasked = Unasked()
        self._pace = Pace(*STREAM_PAUSES)
        self._cancelling: set[asyncio.Task[None]] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request. A failure becomes an answer, except for the stream that HTTP+SSE begins with."""
        exchange = current_exchange.get() or Exchange(Meter(HANDSHAKE))
        if origin_of(request.url) not in (self._origin, self._origin.replace("http://", "https://", 1)):
            return _failure_response(request, exchange, 502, "the server leads to another origin, where requests are not sent")
        message = _brief_message(request)
        if message is not None and message.get("method") == "notifications/cancelled":
            # The SDK sends nothing else before this is answered, which a server that hangs may never do.
            cancelling = asyncio.create_task(self._send_cancellation(request), name="mcp cancellation")
            self._cancelling.add(cancelling)
            cancelling.add_done_callback(self._cancelling.discard)
            return httpx2.Response(HTTPStatus.ACCEPTED, request=request)
        if request.method == "POST" and not self._count_message(message, exchange):
            return _failure_response(request, exchange, 502, "the server sends too many requests")
        with exchange.cancel_at_end():
            return await self._send(request, exchange)
        return _failure_response(request, exchange, 502, "nobody waits for the answer any more")

    async def aclose(self) -> None:
        """Wait until servers are notified of cancelled calls."""
        await asyncio.gather(*self._cancelling)

    def _count_message(self, message: MCPObject | None, exchange: Exchange) -> bool:
        """Count a message to the server; False when it is one answer too many."""
        if message is None or "method" in message:
            self._unasked.expect_answer(exchange.meter.allowance.size if self._sse else 0)
            return True
        try:
            self._unasked.add_reply()
        except Flood as flood:
            self._on_flood((502, str(flood)))
            return False
        return True

    async def _send_cancellation(self, request: httpx2.Request) -> None:
        with contextlib.suppress(httpx2.TransportError, TimeoutError):
            async with asyncio.timeout(_CANCEL_SECONDS):
                await (await self._inner.handle_async_request(request)).aclose()

    async def _send(self, request: httpx2.Request, exchange: Exchange) -> httpx2.Response:
        is_resuming = "last-event-id" in request.headers and exchange.scope is not None
        is_listening = (request.method == "GET" and not is_resuming) or request.headers.get("mcp-method") == "subscriptions/listen"
        if is_listening:
            # These streams may be silent for hours; TCP keep-alive detects a dead peer.
            request.extensions["timeout"] = {**request.extensions.get("timeout", {}), "read": None}
        if request.method == "GET" and not self._sse and not await self._wait_for_turn(exchange if is_resuming else None):
            exchange.record_failure(502, "the server broke off its answer again and again")
            return _failure_response(request, exchange, 502, "")
        try:
            response = await self._inner.handle_async_request(request)
        except httpx2.TransportError as error:
            code, message = describe_error(error)
            if self._sse and request.method == "GET":
                exchange.record_failure(code, message)
                raise
            return self._give_up(request, exchange, code, message)
        return await self._read(request, response, exchange, is_listening=is_listening)

    async def _wait_for_turn(self, resumed: Exchange | None) -> bool:
        """Wait until a stream may be asked for; False when an answer was resumed too often. The SDK waits as short as a server says."""
        if resumed is None:
            await self._pace.wait()
            return self._pace.quick <= _MAX_RESUMED
        resumed.resumed += 1
        resumed.pace = resumed.pace or Pace(*RESUMPTION_PAUSES)
        if resumed.resumed > _MAX_RESUMED or resumed.pace.quick >= _MAX_QUICKLY_RESUMED:
            return False
        await resumed.pace.wait()
        return True

    async def _read(self, request: httpx2.Request, response: httpx2.Response, exchange: Exchange, *, is_listening: bool) -> httpx2.Response:
        kind = response.headers.get("content-type", "").lower().split(";")[0].strip()
        if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            await response.aclose()
            return self._give_up(request, exchange, 502, "the server compressed its answer, which was not asked for")
        if kind == "text/event-stream" and response.status_code == HTTPStatus.OK and (not self._sse or request.method == "GET"):
            if not is_listening:
                exchange.record_answer(response.status_code)
            events = BoundedEvents(
                response,
                self._unasked,
                None if is_listening else exchange,
                self._on_flood,
                limit=_EVENT_LIMIT if is_listening else exchange.meter.allowance.size,
                total=self._total_seconds(is_listening),
                on_end=self._on_end if self._sse else None,
            )
            return _copy(request, response, stream=events)
        return await self._read_body(request, response, exchange, kind)

    def _total_seconds(self, is_listening: bool) -> float | None:
        return None if is_listening else self._limits.call_timeout + READ_GRACE

    async def _read_body(self, request: httpx2.Request, response: httpx2.Response, exchange: Exchange, kind: str) -> httpx2.Response:
        status = response.status_code
        try:
            content = await self._counted_body(response, exchange)
        except OverBudget as error:
            return self._give_up(request, exchange, 502, str(error))
        except httpx2.TransportError as error:
            return self._give_up(request, exchange, *describe_error(error))
        except TimeoutError:
            return self._give_up(request, exchange, 504, "the server did not finish its answer in time")
        finally:
            await response.aclose()
        if request.method == "POST" or self._sse:
            rpc_error = _json_rpc_error(content) if status >= HTTPStatus.BAD_REQUEST else None
            exchange.record_answer(status, json_rpc=rpc_error is not None, session_lost=self._is_session_lost(request, status, rpc_error))
            if self._sse and request.method == "POST":
                # Answers arrive on the stream. After an error status the SDK would stop sending and let the caller wait.
                if status >= HTTPStatus.MULTIPLE_CHOICES:
                    exchange.abort()
                return httpx2.Response(HTTPStatus.ACCEPTED, request=request)
            if status == HTTPStatus.OK and kind != "application/json" and request.method == "POST":
                return self._give_up(request, exchange, 502, f"the server answered with {kind[:80] or 'no content type'}, not with JSON")
        return _copy(request, response, content=content)

    async def _counted_body(self, response: httpx2.Response, exchange: Exchange) -> bytes:
        """Read a body. Raises OverBudget before anything of it is parsed, and TransportError or TimeoutError."""
        body = []
        async with asyncio.timeout(self._total_seconds(is_listening=False)):
            async for chunk in response.stream:  # type: ignore[union-attr]  # an AsyncByteStream, as every async transport gives
                exchange.meter.add_piece(len(chunk))
                body.append(chunk)
            content = b"".join(body)
            try:
                await exchange.meter.add_text(content)
            except OverBudget:
                if response.status_code < HTTPStatus.BAD_REQUEST:
                    raise
                # The status says enough, for which the page of an error is not parsed.
                return b""
        return content

    def _is_session_lost(self, request: httpx2.Request, status: int, error: MCPObject | None) -> bool:
        if self._sse:
            return status == HTTPStatus.NOT_FOUND and request.method == "POST"
        if "mcp-session-id" not in request.headers or status not in (HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST):
            return False
        # MCP requires 404 for an unknown session; some servers answer 400 with a message about it.
        return status == HTTPStatus.NOT_FOUND or "session" in str((error or {}).get("message", "")).lower()

    def _give_up(self, request: httpx2.Request, exchange: Exchange, code: int, message: str) -> httpx2.Response:
        response = _failure_response(request, exchange, code, message)
        if self._sse and request.method == "POST":
            exchange.abort()
            return httpx2.Response(HTTPStatus.ACCEPTED, request=request)
        return response


def _failure_response(request: httpx2.Request, exchange: Exchange, code: int, message: str) -> httpx2.Response:
    """Return the answer that represents a failure below HTTP. It fails one request of the SDK, not the session."""
    if request.method == "POST":
        exchange.record_failure(code, message)
    try:
        request_id = json.loads(request.content).get("id")
    except (ValueError, AttributeError):
        request_id = None
    error = {"jsonrpc": "2.0", "id": request_id, "error": {"code": TRANSPORT_FAILED, "message": message}}
    return httpx2.Response(HTTPStatus.BAD_GATEWAY, json=error, request=request)


def _brief_message(request: httpx2.Request) -> MCPObject | None:
    """Return the message of a POST; None for a longer one."""
    if request.method != "POST" or len(request.content) > _MAX_BRIEF:
        return None
    try:
        message = json.loads(request.content)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def _json_rpc_error(content: bytes) -> MCPObject | None:
    try:
        error = json.loads(content.decode())["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return error if isinstance(error, dict) and isinstance(error.get("code"), int) else None


def _copy(
    request: httpx2.Request, response: httpx2.Response, *, content: bytes | None = None, stream: httpx2.AsyncByteStream | None = None
) -> httpx2.Response:
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _HOP_HEADERS]
    if stream is not None:
        # Without the character set of the answer: events are UTF-8, and are counted as that.
        headers = [(name, value) for name, value in headers if name.lower() != b"content-type"]
        headers.append((b"content-type", b"text/event-stream"))
    return httpx2.Response(
        response.status_code, headers=headers, content=content, stream=stream, request=request, extensions=response.extensions
    )
