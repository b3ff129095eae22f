"""One session with an MCP server. A task of its own enters and leaves it, as the scopes of the SDK require."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final, TypeVar

import anyio
import httpx2
import mcp_types as types
from mcp import Client, MCPError
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from junctor.gateway.mcp.budgets import HANDSHAKE, LISTING, Allowance, InFlight, Meter
from junctor.gateway.mcp.exchange import Exchange, Problem, current_exchange
from junctor.gateway.mcp.http_pools import HttpPools
from junctor.gateway.mcp.listing import CollectedTools, collect_tools
from junctor.gateway.mcp.outcome import CALL_RESULT, CLOSED, SessionFailed, SessionLost, connect_failure, failure_of
from junctor.gateway.mcp.target import Target
from junctor.gateway.mcp.transport import SessionTransport
from junctor.gateway.mcp.wire import Era, sdk_client
from junctor.gateway.tools.ports import ToolFailure
from junctor.net.formats import MCPObjectView

MAX_UNANSWERED: Final = 100
_CLOSE_SECONDS: Final = 2.0
#: Statuses that mean "not a streamable HTTP endpoint" (MCP, transports, backwards compatibility).
_NOT_STREAMABLE: Final = (400, 404, 405)

T = TypeVar("T")


class Session:
    """One session: await `wait_until_open`, send requests from any task, then `abandon` it.

    offence: why the session was ended, when the server sent too much that nobody asked for.
    """

    def __init__(
        self, target: Target, pools: HttpPools, era: Era | None, tools_changed: Callable[[], None], *, in_flight: InFlight, listen: bool
    ) -> None:
        """Begin to connect.

        Args:
            target: the server and what is sent to it.
            pools: the connections.
            era: the protocol to begin with, when it is known.
            tools_changed: called when the server announces that its tools changed.
            in_flight: of the connector.
            listen: subscribe to these announcements.
        """
        self._target = target
        self._pools = pools
        self._era = era
        self._tools_changed = tools_changed
        self._in_flight = in_flight
        self._listen = listen
        self._client: Client | None = None
        self._connecting = Exchange(Meter(HANDSHAKE, in_flight))
        self.offence: Problem | None = None
        self._error: Exception | None = None
        self._calls: set[Exchange] = set()
        self._unanswered = 0
        self._abandoned = False
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._lifetime: anyio.CancelScope | None = None
        self._task = asyncio.create_task(self._run(), name=f"mcp session of {target.name}")
        #: The era to begin the next session with; None when this session did not establish it.
        self.era: Era | None = None
        self.is_dead = False

    async def wait_until_open(self) -> None:
        """Wait until the session can be used. Raises SessionFailed. Cancelling this does not end the session."""
        await self._ready.wait()
        if self._client is None:
            timed_out = self._lifetime is not None and self._lifetime.cancelled_caught
            seconds = self._target.limits.connect_timeout
            raise SessionFailed(connect_failure(self._connecting, self._error, timed_out=timed_out, seconds=seconds))

    @property
    def is_worn(self) -> bool:
        """Whether the next request needs a new session: the SDK may leak a little for each request without an answer."""
        return self._unanswered >= MAX_UNANSWERED

    def abandon(self) -> None:
        """End the session as soon as nothing runs on it. Does not wait for that."""
        self._abandoned = True
        if not self._calls:
            self._end()

    def end(self) -> None:
        """End the session within seconds, whatever the server does. Running requests fail."""
        self._end()

    async def wait_until_finished(self) -> None:
        """Wait until the owner task has ended."""
        await asyncio.wait([self._task])

    def when_finished(self, callback: Callable[["Session"], None]) -> None:
        """Call `callback` when the owner task has ended."""
        self._task.add_done_callback(lambda _: callback(self))

    async def list_tools(self) -> CollectedTools:
        """Return the tools of all pages. Raises SessionFailed."""
        async with self._exchange(LISTING) as (client, exchange):

            async def next_page(cursor: str | None) -> types.ListToolsResult:
                return await self._await_answer(exchange, client.list_tools(cursor=cursor, cache_mode="bypass"), "tools/list")

            return await collect_tools(next_page)

    async def call_tool(self, name: str, arguments: MCPObjectView) -> types.CallToolResult:
        """Call a tool once. Raises SessionFailed."""
        params = types.CallToolRequestParams(name=name, arguments=dict(arguments))
        timeout = self._target.limits.call_timeout
        async with self._exchange(Allowance.of_call(self._target.limits.max_result_bytes)) as (client, exchange):

            def send() -> Awaitable[types.CallToolResult | types.InputRequiredResult]:
                # Client.call_tool lists tools by itself after the call, and fails an executed call when that listing fails.
                request = types.CallToolRequest(params=params)
                return client.session.send_request(request, CALL_RESULT, request_read_timeout_seconds=timeout)

            try:
                result = await self._await_answer(exchange, send(), "tools/call")
            except SessionFailed as failed:
                if failed.failure.kind != "protocol" or failed.failure.code != types.HEADER_MISMATCH:
                    raise
                # The server requires arguments to be mirrored in headers, for which the SDK needs the tool's schema.
                async with self._exchange(LISTING) as (_, listing):
                    await self._await_answer(listing, client.list_tools(cache_mode="bypass"), "tools/list")
                result = await self._await_answer(exchange, send(), "tools/call")
        if isinstance(result, types.InputRequiredResult):
            message = "the tool asks for more input, which this gateway does not pass on"
            raise SessionFailed(ToolFailure("protocol", message, types.INVALID_REQUEST))
        return result

    @asynccontextmanager
    async def _exchange(self, allowance: Allowance) -> AsyncIterator[tuple[Client, Exchange]]:
        if self._client is None or self.is_dead:
            raise SessionFailed(CLOSED)
        exchange = Exchange(Meter(allowance, self._in_flight))
        token = current_exchange.set(exchange)
        self._calls.add(exchange)
        try:
            with anyio.CancelScope() as exchange.scope:
                yield self._client, exchange
        except (SessionFailed, asyncio.CancelledError) as error:
            if not isinstance(error, SessionFailed) or error.failure.code == HTTPStatus.GATEWAY_TIMEOUT:
                self._unanswered += 1
            raise
        finally:
            exchange.end()
            self._calls.discard(exchange)
            current_exchange.reset(token)
            if self._abandoned:
                self.abandon()
        if exchange.scope.cancelled_caught:
            raise self._failure(exchange, None)

    async def _await_answer(self, exchange: Exchange, request: Awaitable[T], method: str) -> T:
        exchange.problem, exchange.status, exchange.json_rpc = None, 0, False
        exchange.meter.release()
        try:
            return await request
        except MCPError as error:
            raise self._failure(exchange, error) from None
        except ValidationError as error:
            where = ".".join(map(str, error.errors(include_input=False)[0]["loc"]))[:200]
            message = f"the server's answer to {method} does not conform to MCP ({where or 'unexpected shape'})"
            raise SessionFailed(ToolFailure("protocol", message, types.PARSE_ERROR)) from None
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            self.is_dead = True
            raise SessionFailed(CLOSED) from None

    def _failure(self, exchange: Exchange, error: MCPError | None) -> SessionFailed:
        if error is not None and error.code == types.CONNECTION_CLOSED and error.message == "Connection closed":
            self.is_dead = True
        if exchange.session_lost:
            self.is_dead = True
            return SessionLost(ToolFailure("http", "the server does not know the session any more", 404))
        return SessionFailed(failure_of(exchange, error))

    # --- the owner task ---------------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        current_exchange.set(self._connecting)
        transport = self._pools.acquire(self._target)
        try:
            deadline = anyio.current_time() + self._target.limits.connect_timeout
            with anyio.CancelScope(deadline=deadline) as self._lifetime, anyio.CancelScope() as self._connecting.scope:
                await self._connect(transport)
        except Exception as error:  # whatever the SDK raises: the session has ended, and `wait_until_open` explains why
            self._error = error
        finally:
            self.is_dead = True
            self._connecting.meter.close()
            self._ready.set()
            for exchange in list(self._calls):
                exchange.record_failure(CLOSED.code, CLOSED.message)
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
            # The SDK does not fall back to HTTP+SSE by itself.
            exchange.meter.close()
            self._connecting = Exchange(Meter(HANDSHAKE, self._in_flight), status=exchange.status, scope=exchange.scope)
            current_exchange.set(self._connecting)
            await self._serve(transport, Era("sse", "legacy"))

    async def _serve(self, inner: httpx2.AsyncBaseTransport, era: Era) -> None:
        session_transport = SessionTransport(
            inner, self._target, sse=era.wire == "sse", on_end=self._handle_stream_end, on_flood=self._handle_flood
        )
        client = sdk_client(self._target, era, session_transport, self._handle_notification)
        async with client:
            self._use_client(client, era)
            async with anyio.create_task_group() as tasks:
                if self._listen and client.protocol_version in MODERN_PROTOCOL_VERSIONS and _announces_changes(client):
                    tasks.start_soon(self._listen_for_changes, client)
                await self._stop.wait()
                tasks.cancel_scope.cancel()

    def _use_client(self, client: Client, era: Era) -> None:
        assert self._lifetime is not None  # noqa: S101  # for the type: the owner entered it
        self._client = client
        self._connecting.scope = None
        # What the session's own stream is answered belongs to no exchange.
        self._connecting.meter.close()
        self._connecting.meter = Meter(HANDSHAKE)
        self._lifetime.deadline = float("inf")
        modern = client.protocol_version in MODERN_PROTOCOL_VERSIONS
        if modern:
            self.era = Era(era.wire, client.protocol_version, client.session.discover_result)
        elif not self._connecting.is_inconclusive:
            # A modern server behind a load balancer that answered 503 looks like an old one, so such a session proves nothing.
            self.era = Era(era.wire, "legacy")
        self._ready.set()
        if self._stop.is_set():
            self._end()

    def _end(self) -> None:
        self.is_dead = True
        self._stop.set()
        if self._lifetime is not None:
            now = asyncio.get_running_loop().time()
            self._lifetime.deadline = min(self._lifetime.deadline, now + (_CLOSE_SECONDS if self._client else 0))

    def _handle_stream_end(self, problem: Problem | None) -> None:
        """Handle the end of the stream of HTTP+SSE: no answer can arrive any more."""
        if problem is not None:
            for exchange in (self._connecting, *self._calls):
                exchange.record_failure(*problem)
        self._end()

    def _handle_flood(self, problem: Problem) -> None:
        """End the session with a server that sends too much that nobody asked for."""
        self.offence = self.offence or problem
        self._handle_stream_end(problem)

    async def _listen_for_changes(self, client: Client) -> None:
        try:
            async with client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    self._tools_changed()
        except (MCPError, ListenNotSupportedError, SubscriptionLost, TimeoutError):
            return  # the age limit of the cached list still applies

    async def _handle_notification(self, message: object) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self._tools_changed()
        await asyncio.sleep(0)


def _announces_changes(client: Client) -> bool:
    tools = client.server_capabilities.tools
    return tools is not None and tools.list_changed is True
