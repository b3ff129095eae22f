"""One session with an MCP server, entered and left by one task of its own: the SDK's scopes allow nothing else.

SessionFailed           the server did not do what was asked; `failure` as an mcp_call item reports it
+-- SessionLost         it was certainly not executed, because the server does not know the session; a fresh one may do
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import anyio
import httpx2
import mcp_types as types
from mcp import Client, MCPError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import TypeAdapter, ValidationError

from junctor import __version__
from junctor.gateway.mcp.exchange import Exchange, current
from junctor.gateway.mcp.outcome import short
from junctor.gateway.mcp.target import Target
from junctor.gateway.mcp.transport import LISTING_LIMIT, READ_GRACE, HttpPools, SoftTransport
from junctor.gateway.tools.ports import ToolFailure, ToolSpec

MAX_PAGES: Final = 64
MAX_TOOLS: Final = 2000
_CLOSE_SECONDS: Final = 2.0
#: Statuses that say "this is no streamable HTTP endpoint" (MCP, transports, backwards compatibility).
_NOT_STREAMABLE: Final = (400, 404, 405)
_CALL_RESULT: Final[TypeAdapter[types.CallToolResult | types.InputRequiredResult]] = TypeAdapter(
    types.CallToolResult | types.InputRequiredResult
)
_CLIENT_INFO: Final = types.Implementation(name="junctor", version=__version__)

T = TypeVar("T")


class SessionFailed(Exception):
    """What was asked of a server failed."""

    def __init__(self, failure: ToolFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class SessionLost(SessionFailed):
    """The server refused the request because it does not know the session."""


@dataclass(frozen=True, slots=True)
class Era:
    """How a server is spoken to, remembered between sessions. discovered: its answer to server/discover, for a pinned version."""

    wire: Literal["http", "sse"]
    mode: str
    discovered: types.DiscoverResult | None = None


class Session:
    """A connection's life: `opened`, then requests from any task, then `abandon`. tools_changed: told when the server says so."""

    def __init__(self, target: Target, pools: HttpPools, era: Era | None, tools_changed: Callable[[], None], *, listen: bool) -> None:
        self._target = target
        self._pools = pools
        self._era = era
        self._tools_changed = tools_changed
        self._listen = listen
        self._client: Client | None = None
        self._connecting = Exchange(LISTING_LIMIT)
        self._error: Exception | None = None
        self._calls: set[Exchange] = set()
        self._abandoned = False
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._whole: anyio.CancelScope | None = None
        self._task = asyncio.create_task(self._own(), name=f"mcp session of {target.name}")
        #: What to begin with next time; None when this session says nothing sure about it.
        self.era: Era | None = None
        self.dead = False

    async def opened(self) -> None:
        """Wait until the session can be used. Raises SessionFailed. Being cancelled leaves the session to others."""
        await self._ready.wait()
        if self._client is None:
            raise SessionFailed(self._connect_failure())

    def abandon(self) -> None:
        """End the session as soon as nothing runs on it, without waiting for that."""
        self._abandoned = True
        if not self._calls:
            self._end()

    def end(self) -> None:
        """End the session now, within seconds whatever the server does; what runs on it fails."""
        self._end()

    async def finished(self) -> None:
        """Wait until the owner task has ended."""
        await asyncio.wait([self._task])

    def when_finished(self, tell: Callable[["Session"], None]) -> None:
        """Tell when the owner task has ended."""
        self._task.add_done_callback(lambda _: tell(self))

    async def list_tools(self) -> tuple[ToolSpec, ...]:
        """All tools, every page. Raises SessionFailed."""
        async with self._exchange(LISTING_LIMIT) as (client, exchange):
            tools: dict[str, ToolSpec] = {}
            cursor: str | None = None
            seen: set[str] = set()
            for _ in range(MAX_PAGES):
                page = await self._answer(exchange, client.list_tools(cursor=cursor, cache_mode="bypass"), "tools/list")
                for tool in page.tools:
                    tools.setdefault(tool.name, _spec(tool))
                if len(tools) > MAX_TOOLS:
                    raise SessionFailed(ToolFailure("http", f"the server lists more than {MAX_TOOLS} tools", 502))
                cursor = page.next_cursor
                # "" is a cursor like any other.
                if cursor is None:
                    return tuple(tools.values())
                if cursor in seen:
                    raise SessionFailed(ToolFailure("http", "the server's tool list never ends: a cursor came twice", 502))
                seen.add(cursor)
            raise SessionFailed(ToolFailure("http", f"the server's tool list has more than {MAX_PAGES} pages", 502))

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> types.CallToolResult:
        """Call a tool once. Raises SessionFailed."""
        params = types.CallToolRequestParams(name=name, arguments=dict(arguments))
        timeout = self._target.limits.call_timeout
        async with self._exchange(2 * self._target.limits.max_result_bytes + 65536) as (client, exchange):

            def send() -> Awaitable[types.CallToolResult | types.InputRequiredResult]:
                # Not Client.call_tool: it lists tools by itself and fails a call, after it was executed, when that listing fails.
                request = types.CallToolRequest(params=params)
                return client.session.send_request(request, _CALL_RESULT, request_read_timeout_seconds=timeout)

            try:
                result = await self._answer(exchange, send(), "tools/call")
            except SessionFailed as failed:
                if failed.failure.kind != "protocol" or failed.failure.code != types.HEADER_MISMATCH:
                    raise
                # The server refused the call because it wants arguments mirrored in headers, which takes the tool's schema.
                await self._answer(exchange, client.list_tools(cache_mode="bypass"), "tools/list")
                result = await self._answer(exchange, send(), "tools/call")
        if isinstance(result, types.InputRequiredResult):
            message = "the tool asks for more input, which this gateway does not pass on"
            raise SessionFailed(ToolFailure("protocol", message, types.INVALID_REQUEST))
        return result

    @asynccontextmanager
    async def _exchange(self, limit: int) -> AsyncIterator[tuple[Client, Exchange]]:
        if self._client is None or self.dead:
            raise SessionFailed(_CLOSED)
        exchange = Exchange(limit)
        token = current.set(exchange)
        self._calls.add(exchange)
        try:
            with anyio.CancelScope() as exchange.scope:
                yield self._client, exchange
        finally:
            exchange.over = True
            self._calls.discard(exchange)
            current.reset(token)
            if self._abandoned:
                self.abandon()
        if exchange.scope.cancelled_caught:
            raise self._failed(exchange, None)

    async def _answer(self, exchange: Exchange, request: Awaitable[T], method: str) -> T:
        exchange.problem, exchange.status, exchange.json_rpc = None, 0, False
        try:
            return await request
        except MCPError as error:
            raise self._failed(exchange, error) from None
        except ValidationError as error:
            where = ".".join(map(str, error.errors(include_input=False)[0]["loc"]))[:200]
            message = f"the server's answer to {method} does not conform to MCP ({where or 'unexpected shape'})"
            raise SessionFailed(ToolFailure("protocol", message, types.PARSE_ERROR)) from None
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            self.dead = True
            raise SessionFailed(_CLOSED) from None

    def _failed(self, exchange: Exchange, error: MCPError | None) -> SessionFailed:
        if error is not None and error.code == types.CONNECTION_CLOSED and error.message == "Connection closed":
            self.dead = True
        if exchange.session_lost:
            self.dead = True
            return SessionLost(ToolFailure("http", "the server does not know the session any more", 404))
        return SessionFailed(_failure(exchange, error))

    # --- the owner task ---------------------------------------------------------------------------------------------------------------

    async def _own(self) -> None:
        current.set(self._connecting)
        transport = self._pools.acquire(self._target)
        try:
            deadline = anyio.current_time() + self._target.limits.connect_timeout
            with anyio.CancelScope(deadline=deadline) as self._whole, anyio.CancelScope() as self._connecting.scope:
                await self._connect(transport)
        except Exception as error:  # whatever the SDK raises, as a group: the session has ended, and those who wait are told why
            self._error = error
        finally:
            self.dead = True
            self._ready.set()
            for exchange in list(self._calls):
                exchange.broke(_CLOSED.code, _CLOSED.message)
                exchange.abort()
            await self._pools.release(self._target)

    async def _connect(self, transport: httpx2.AsyncBaseTransport) -> None:
        first = Era("sse", "legacy") if self._target.transport == "SSE" else Era("http", "auto")
        era = self._era or first
        try:
            await self._serve(transport, era)
        except Exception:
            exchange = self._connecting
            if (
                self._client is not None
                or era.wire == "sse"
                or self._target.transport != "Auto"
                or exchange.json_rpc
                or exchange.status not in _NOT_STREAMABLE
            ):
                raise
            # The SDK never tries HTTP+SSE by itself.
            self._connecting = Exchange(LISTING_LIMIT, status=exchange.status, scope=exchange.scope)
            current.set(self._connecting)
            await self._serve(transport, Era("sse", "legacy"))

    async def _serve(self, inner: httpx2.AsyncBaseTransport, era: Era) -> None:
        limits = self._target.limits
        soft = SoftTransport(inner, self._target, sse=era.wire == "sse", ended=self._end)

        def http_client(*_: Any, **__: Any) -> httpx2.AsyncClient:
            return httpx2.AsyncClient(
                transport=soft,
                headers={**self._target.headers, "accept-encoding": "identity"},
                timeout=httpx2.Timeout(limits.connect_timeout, read=limits.call_timeout + READ_GRACE),
                trust_env=False,
            )

        if era.wire == "sse":
            wire: Any = sse_client(self._target.url, httpx_client_factory=http_client)
        else:
            wire = _streamable(self._target.url, http_client)
        client = Client(
            wire,
            mode=era.mode,
            prior_discover=era.discovered,
            read_timeout_seconds=limits.call_timeout,
            message_handler=self._notified,
            client_info=_CLIENT_INFO,
            cache=None,
        )
        async with client:
            self._connected(client, era)
            async with anyio.create_task_group() as tasks:
                if self._listen and client.protocol_version in MODERN_PROTOCOL_VERSIONS and _announces_changes(client):
                    tasks.start_soon(self._listen_for_changes, client)
                await self._stop.wait()
                tasks.cancel_scope.cancel()

    def _connected(self, client: Client, era: Era) -> None:
        assert self._whole is not None  # noqa: S101  # for the type: the owner entered it
        self._client = client
        self._connecting.scope = None
        self._whole.deadline = float("inf")
        modern = client.protocol_version in MODERN_PROTOCOL_VERSIONS
        if modern:
            self.era = Era(era.wire, client.protocol_version, client.session.discover_result)
        elif not self._connecting.unclear:
            # A modern server behind a balancer that answered 503 looks like an old one: such a session is no proof.
            self.era = Era(era.wire, "legacy")
        self._ready.set()
        if self._stop.is_set():
            self._end()

    def _end(self) -> None:
        self.dead = True
        self._stop.set()
        if self._whole is not None:
            now = asyncio.get_running_loop().time()
            self._whole.deadline = min(self._whole.deadline, now + (_CLOSE_SECONDS if self._client else 0))

    async def _listen_for_changes(self, client: Client) -> None:
        try:
            async with client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    self._tools_changed()
        except (MCPError, ListenNotSupportedError, SubscriptionLost, TimeoutError):
            return  # the list's age still bounds how long an old one is used

    async def _notified(self, message: object) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self._tools_changed()
        await asyncio.sleep(0)

    def _connect_failure(self) -> ToolFailure:
        exchange = self._connecting
        if exchange.problem is None and exchange.status < 300 and self._whole is not None and self._whole.cancelled_caught:
            seconds = self._target.limits.connect_timeout
            return ToolFailure("http", f"the server did not open a session within {seconds:g} s", 504)
        error = next((leaf for leaf in _leaves(self._error) if isinstance(leaf, MCPError)), None)
        if error is None and exchange.problem is None and exchange.status < 300:
            if any(isinstance(leaf, TimeoutError) for leaf in _leaves(self._error)):
                return ToolFailure("http", "the server did not open a session in time", 504)
            return ToolFailure("http", "the server does not speak MCP as this gateway does", 502)
        return _failure(exchange, error)


_CLOSED: Final = ToolFailure("http", "the connection to the server was closed", 502)


@asynccontextmanager
async def _streamable(url: str, http_client: Callable[[], httpx2.AsyncClient]) -> AsyncIterator[Any]:
    async with (
        http_client() as http,
        streamable_http_client(url, http_client=http, max_sse_event_size=LISTING_LIMIT) as streams,
    ):
        yield streams


def _failure(exchange: Exchange, error: MCPError | None) -> ToolFailure:
    if exchange.problem is not None:
        code, message = exchange.problem
        return ToolFailure("http", message, code)
    status = exchange.status
    said = f": {short(error.message)}" if error is not None and exchange.json_rpc else ""
    if 300 <= status < 400:
        return ToolFailure("http", "the server redirects to another place, where requests are not sent", 502)
    if status >= 400 and (not exchange.json_rpc or status in (401, 403, 429) or status >= 500):
        return ToolFailure("http", f"the server answered HTTP {status}{said}", status)
    if error is None:
        return _CLOSED
    if error.code == types.REQUEST_TIMEOUT and error.message.startswith("Request ") and error.message.endswith("timed out"):
        return ToolFailure("http", "the server did not answer in time", 504)
    if error.code == types.CONNECTION_CLOSED and error.message.startswith(("Connection closed", "SSE stream")):
        return ToolFailure("http", "the server broke the connection before its answer was complete", 502)
    if error.code == types.PARSE_ERROR and error.message.startswith("Failed to parse"):
        return ToolFailure("protocol", "the server's answer is not valid JSON-RPC", types.PARSE_ERROR)
    return ToolFailure("protocol", short(error.message), error.code)


def _spec(tool: types.Tool) -> ToolSpec:
    return ToolSpec(tool.name, tool.description or "", tool.input_schema, tool.annotations.read_only_hint if tool.annotations else None)


def _announces_changes(client: Client) -> bool:
    tools = client.server_capabilities.tools
    return tools is not None and tools.list_changed is True


def _leaves(error: BaseException | None) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [] if error is None else [error]
