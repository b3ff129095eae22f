"""The HTTP transport under the SDK: a broken request fails alone, and answers have a maximal size.

Without it, a refused connection, a time-out or a truncated body ends the whole session of the SDK, HTTP statuses are lost, and JSON bodies
are unbounded.
"""

import asyncio
import contextlib
import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import httpx2

from junctor.gateway.mcp.connections import Connections, PublicOnly
from junctor.gateway.mcp.exchange import BoundedEvents, Exchange, Problem, current_exchange, describe_error
from junctor.gateway.mcp.target import Target
from junctor.net.formats import MCPObject

#: Bytes that a listing may have on the wire, and that one event of a stream may have.
LISTING_LIMIT: Final = 4 * 1024 * 1024
#: Bytes of an event over HTTP+SSE: the SDK accepts no more and would not report it.
_SSE_EVENT_LIMIT: Final = 1024 * 1024
#: Code of the JSON-RPC errors that represent a failure below HTTP; it never leaves this package.
TRANSPORT_FAILED: Final = -32098
#: Seconds by which HTTP's read time-out, which frees the connection, follows the deadline of the call.
READ_GRACE: Final = 5.0
#: Seconds for notifying a server of a cancelled call.
_CANCEL_SECONDS: Final = 1.0
#: Bytes; a cancellation is smaller.
_MAX_CANCELLATION: Final = 1024
#: How often a broken answer may be resumed: the SDK nests a call for each time.
_MAX_RESUMED: Final = 100
_IDLE_POOLS: Final = 128
_HOP_HEADERS: Final = (b"content-length", b"transfer-encoding", b"content-encoding", b"connection", b"set-cookie")
_SDK_LOGS: Final = {
    "mcp.client": logging.CRITICAL,
    "client": logging.CRITICAL,
    "httpx2": logging.WARNING,
    "httpcore2": logging.WARNING,
}


_Key = tuple[str | None, bool, str]


class HttpPools:
    """Connections by origin, CA bundle and allowed addresses, shared by all sessions. A pool that no session uses is kept for a while.

    public_only: the network of the pools that may reach public addresses only.
    """

    def __init__(self, public_only: PublicOnly | None = None) -> None:
        self._public_only = public_only or PublicOnly()
        self._in_use: dict[_Key, tuple[Connections, list[int]]] = {}
        self._idle: OrderedDict[_Key, Connections] = OrderedDict()
        # The SDK logs session ids, URLs with their queries, and a traceback for every mistake of a server.
        for name, level in _SDK_LOGS.items():
            logging.getLogger(name).setLevel(level)

    def acquire(self, target: Target) -> httpx2.AsyncBaseTransport:
        """Return the pool for a target, to be returned with `release`."""
        key = _key(target)
        if key not in self._in_use:
            network = self._public_only if target.public_only else None
            self._in_use[key] = (self._idle.pop(key) if key in self._idle else Connections(target.ca_bundle, network), [0])
        transport, users = self._in_use[key]
        users[0] += 1
        return transport

    async def release(self, target: Target) -> None:
        """Return the pool that `acquire` returned."""
        key = _key(target)
        transport, users = self._in_use[key]
        users[0] -= 1
        if users[0] == 0:
            del self._in_use[key]
            self._idle[key] = transport
            while len(self._idle) > _IDLE_POOLS:
                await self._idle.popitem(last=False)[1].aclose()

    async def close(self) -> None:
        """Close the connections that no session uses."""
        while self._idle:
            await self._idle.popitem()[1].aclose()


class SessionTransport(httpx2.AsyncBaseTransport):
    """One session's view of a shared pool. Closing it leaves the pool open.

    sse: the session speaks HTTP+SSE, where answers arrive on the GET stream. on_end: called when that stream ends, with the reason.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, target: Target, *, sse: bool, on_end: Callable[[Problem | None], None]) -> None:
        self._inner = inner
        self._origin = _origin(httpx2.URL(target.url))
        self._limits = target.limits
        self._sse = sse
        self._on_end = on_end
        self._cancelling: set[asyncio.Task[None]] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request. A failure becomes an answer, except for the stream that HTTP+SSE begins with."""
        exchange = current_exchange.get() or Exchange(LISTING_LIMIT)
        if _origin(request.url) not in (self._origin, self._origin.replace("http://", "https://", 1)):
            return _failure_response(request, exchange, 502, "the server leads to another origin, where requests are not sent")
        if _is_cancellation(request):
            # The SDK sends nothing else before this is answered, which a server that hangs may never do.
            cancelling = asyncio.create_task(self._send_cancellation(request), name="mcp cancellation")
            self._cancelling.add(cancelling)
            cancelling.add_done_callback(self._cancelling.discard)
            return httpx2.Response(HTTPStatus.ACCEPTED, request=request)
        with exchange.cancel_at_end():
            return await self._send(request, exchange)
        return _failure_response(request, exchange, 502, "nobody waits for the answer any more")

    async def aclose(self) -> None:
        """Wait until servers are notified of cancelled calls."""
        await asyncio.gather(*self._cancelling)

    async def _send_cancellation(self, request: httpx2.Request) -> None:
        with contextlib.suppress(httpx2.TransportError, TimeoutError):
            async with asyncio.timeout(_CANCEL_SECONDS):
                await (await self._inner.handle_async_request(request)).aclose()

    async def _send(self, request: httpx2.Request, exchange: Exchange) -> httpx2.Response:
        is_resuming = "last-event-id" in request.headers and exchange.scope is not None
        is_listening = (request.method == "GET" and not is_resuming) or request.headers.get("mcp-method") == "subscriptions/listen"
        if is_resuming:
            exchange.resumed += 1
            if exchange.resumed > _MAX_RESUMED:
                exchange.record_failure(502, "the server broke off its answer again and again")
                return _failure_response(request, exchange, 502, "")
        if is_listening:
            # These streams may be silent for hours; TCP keep-alive detects a dead peer.
            request.extensions["timeout"] = {**request.extensions.get("timeout", {}), "read": None}
        try:
            response = await self._inner.handle_async_request(request)
        except httpx2.TransportError as error:
            code, message = describe_error(error)
            if self._sse and request.method == "GET":
                exchange.record_failure(code, message)
                raise
            return self._give_up(request, exchange, code, message)
        kind = response.headers.get("content-type", "").lower().split(";")[0].strip()
        if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            await response.aclose()
            return self._give_up(request, exchange, 502, "the server compressed its answer, which was not asked for")
        if kind == "text/event-stream" and response.status_code == HTTPStatus.OK and (not self._sse or request.method == "GET"):
            if not is_listening:
                exchange.record_answer(response.status_code)
            limit = (_SSE_EVENT_LIMIT if self._sse else LISTING_LIMIT) if is_listening else exchange.limit
            on_end = self._on_end if self._sse else None
            events = BoundedEvents(response, limit, None if is_listening else exchange, self._total_seconds(is_listening), on_end)
            return _copy(request, response, stream=events)
        return await self._read_body(request, response, exchange, kind)

    def _total_seconds(self, is_listening: bool) -> float | None:
        return None if is_listening else self._limits.call_timeout + READ_GRACE

    async def _read_body(self, request: httpx2.Request, response: httpx2.Response, exchange: Exchange, kind: str) -> httpx2.Response:
        body, size = [], 0
        limit = exchange.limit
        try:
            async with asyncio.timeout(self._total_seconds(is_listening=False)):
                async for chunk in response.stream:  # type: ignore[union-attr]  # an AsyncByteStream, as every async transport gives
                    size += len(chunk)
                    if size > limit:
                        return self._give_up(request, exchange, 502, f"the server's answer has more than {limit} bytes")
                    body.append(chunk)
        except httpx2.TransportError as error:
            return self._give_up(request, exchange, *describe_error(error))
        except TimeoutError:
            return self._give_up(request, exchange, 504, "the server did not finish its answer in time")
        finally:
            await response.aclose()
        content = b"".join(body)
        status = response.status_code
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


def _is_cancellation(request: httpx2.Request) -> bool:
    if request.method != "POST" or len(request.content) > _MAX_CANCELLATION:
        return False
    try:
        return bool(json.loads(request.content)["method"] == "notifications/cancelled")
    except (ValueError, KeyError, TypeError):
        return False


def _json_rpc_error(content: bytes) -> MCPObject | None:
    try:
        error = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return error if isinstance(error, dict) and isinstance(error.get("code"), int) else None


def _copy(
    request: httpx2.Request, response: httpx2.Response, *, content: bytes | None = None, stream: httpx2.AsyncByteStream | None = None
) -> httpx2.Response:
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _HOP_HEADERS]
    return httpx2.Response(
        response.status_code, headers=headers, content=content, stream=stream, request=request, extensions=response.extensions
    )


def _key(target: Target) -> _Key:
    return target.ca_bundle, target.public_only, _origin(httpx2.URL(target.url))


def _origin(url: httpx2.URL) -> str:
    return f"{url.scheme}://{url.host}" if url.port is None else f"{url.scheme}://{url.host}:{url.port}"
