"""Calls of MCP tools that nobody waits for any more: they end, the server is told, and nothing of them stays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from junctor.connectormap.policy import Limits
from junctor.gateway.mcp import McpClient, McpClientPool
from junctor.net.backoff import Backoff
from junctor.net.network_policy import OWN_MACHINE_POLICY
from tests.support.mcp_servers import ScriptedServer, serving, text_result
from tests.support.waiting import until

QUICK = Limits(call_timeout=1)
EVENTS = "text/event-stream"


@asynccontextmanager
async def talking(app: Any, limits: Limits | None = None) -> AsyncIterator[McpClient]:
    pool = McpClientPool(OWN_MACHINE_POLICY)
    try:
        async with serving(app) as url:
            yield pool.from_params(f"{url}/mcp", limits=limits)
    finally:
        await pool.close()


class Hanging:
    """A server whose calls begin to be answered and are not. closed: set when the connection of a call is."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.closed = asyncio.Event()
        self.server = ScriptedServer({"tools/call": self.hang}, with_sessions=True)

    async def hang(self, _: dict[str, Any]) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b""
            try:
                await asyncio.Event().wait()
            finally:
                self.closed.set()

        return StreamingResponse(body(), media_type=self.kind)


@pytest.mark.parametrize("ending", ["cancelled", "timed out"])
@pytest.mark.parametrize("kind", ["application/json", EVENTS])
async def test_a_call_that_ends_closes_its_connection_and_the_server_is_told(kind: str, ending: str) -> None:
    hanging = Hanging(kind)
    async with talking(hanging.server.app(), QUICK if ending == "timed out" else None) as client:
        call = asyncio.create_task(client.call_tool("echo", {}))
        await until(lambda: hanging.server.asked("tools/call"))
        if ending == "cancelled":
            call.cancel()
        await asyncio.wait([call])
        async with asyncio.timeout(4):  # before HTTP's own time-out of 6 s or 65 s
            await hanging.closed.wait()
        await until(lambda: hanging.server.asked("notifications/cancelled") == 1)
        hanging.server.answers.clear()
        assert (await client.call_tool("echo", {})).output == "well"
        assert hanging.server.asked("initialize") == 1


async def test_a_server_that_does_not_take_a_cancellation_holds_up_no_other_call() -> None:
    server = ScriptedServer()
    hung = asyncio.Event()

    async def deaf(request: Request) -> Response:
        message = await request.json()
        if message.get("method") == "notifications/cancelled" or (message.get("params") or {}).get("name") == "slow":
            hung.set()
            await asyncio.Event().wait()
        server.requests.clear()
        return await server._serve(request)

    app = Starlette(routes=[Route("/mcp", deaf, methods=["POST"])])
    async with talking(app) as client:
        slow = [asyncio.create_task(client.call_tool("slow", {})) for _ in range(3)]
        await hung.wait()
        for call in slow:
            call.cancel()
        async with asyncio.timeout(60):
            await asyncio.wait(slow)
            assert (await client.call_tool("echo", {})).output == "well"


class Resumable:
    """A server that breaks the answer of each call off after an event id, and may give it to who asks for the rest."""

    def __init__(self, retry: int, answer_at: int | None) -> None:
        self.resumed = 0
        self._retry = retry
        self._answer_at = answer_at
        self._asked: dict[str, Any] = {}
        self.server = ScriptedServer({"tools/call": self._break_off}, with_sessions=True)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/mcp", self._serve, methods=["GET", "POST", "DELETE"])])

    async def _serve(self, request: Request) -> Response:
        if request.method != "GET" or "last-event-id" not in request.headers:
            return await self.server._serve(request)
        self.resumed += 1
        if self.resumed == self._answer_at:
            return Response(b"data: " + bytes(text_result(self._asked, "late").body) + b"\n\n", media_type=EVENTS)
        return await self._break_off(self._asked)

    async def _break_off(self, request: dict[str, Any]) -> Response:
        self._asked = request
        return Response(f"id: 7\nretry: {self._retry}\ndata:\n\n", media_type=EVENTS)


async def test_an_answer_that_broke_off_is_resumed() -> None:
    resumable = Resumable(retry=0, answer_at=3)
    async with talking(resumable.app()) as client:
        assert (await client.call_tool("echo", {})).output == "late"
    assert resumable.resumed == 3


async def test_an_answer_that_breaks_off_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("junctor.gateway.mcp.transport.RESUMPTION_PAUSES", (Backoff(0.01, 0.02), 10.0))
    resumable = Resumable(retry=0, answer_at=None)
    async with talking(resumable.app()) as client:
        failure = (await client.call_tool("echo", {})).failure
        assert failure is not None
        assert failure.message == "the server broke off its answer again and again"
        assert resumable.resumed <= 100
        resumable.server.answers.clear()
        assert (await client.call_tool("echo", {})).output == "well"


async def test_a_call_that_timed_out_is_not_resumed_later() -> None:
    resumable = Resumable(retry=20, answer_at=None)
    async with talking(resumable.app(), QUICK) as client:
        assert (await client.call_tool("echo", {})).failure is not None
        seen = resumable.resumed
        resumable.server.answers.clear()
        for _ in range(50):
            assert (await client.call_tool("echo", {})).output == "well"
            await asyncio.sleep(0.002)
        assert resumable.resumed <= seen + 1


async def test_what_a_server_wants_to_be_asked_for_in_an_hour_is_forgotten() -> None:
    resumable = Resumable(retry=3_600_000, answer_at=None)
    async with talking(resumable.app(), Limits(call_timeout=0.05)) as client:
        await client.list_tools()
        before = len(asyncio.all_tasks())
        for _ in range(25):
            await asyncio.gather(*(client.call_tool("echo", {}) for _ in range(10)))
        await until(lambda: len(asyncio.all_tasks()) < before + 120)
        assert resumable.server.asked("initialize") >= 3
