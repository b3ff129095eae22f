"""Faults on the transports beside streamable HTTP of the handshake era: the modern era, and HTTP+SSE."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from junctor.gateway.mcp import McpClient, McpClientPool
from junctor.gateway.tools.server_errors import ListingFailed
from junctor.net.network_policy import OWN_MACHINE_POLICY
from tests.support.faults import SAYS, faults
from tests.support.mcp_servers import Answer, ScriptedServer, sdk_server, serving
from tests.support.ports import free_port
from tests.unit.gateway.maps import connector, content


@asynccontextmanager
async def talking(app: ASGIApp, path: str, transport: str, says: str) -> AsyncIterator[McpClient]:
    """A client; its time limits are short only where a fault of which it `says` this ends by them."""
    limits = {"connectTimeoutSeconds": 1, "callTimeoutSeconds": 1} if "in time" in says else {}
    pool = McpClientPool(OWN_MACHINE_POLICY)
    try:
        async with serving(app) as url:
            yield pool.from_config(connector(content("a", url=f"{url}{path}", transport=transport, limits=limits)), {})
    finally:
        await pool.close()


async def said(client: McpClient, method: str) -> str:
    """What is said about a call or a listing that fails."""
    if method == "tools/list":
        with pytest.raises(ListingFailed) as failed:
            await client.list_tools()
        return str(failed.value)
    failure = (await client.call_tool("echo", {"message": "hi"})).failure
    assert failure is not None
    return failure.message


class Modern:
    """The SDK's server of the modern era, one of whose methods fails."""

    def __init__(self, method: str, answer: Answer) -> None:
        self._app = sdk_server().streamable_http_app()
        self.answers = {method: answer}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = await Request(scope, receive).json()
        if answer := self.answers.get(request["method"]):
            await (await answer(request))(scope, receive, send)
            return
        parts = iter([{"type": "http.request", "body": json.dumps(request).encode(), "more_body": False}])

        async def again() -> Message:
            return next(parts, None) or await receive()

        await self._app(scope, again, send)


@pytest.mark.parametrize("method", ["tools/list", "tools/call"])
@pytest.mark.parametrize("fault", SAYS)
async def test_a_fault_of_a_modern_server_is_a_clear_failure_and_the_next_call_works(fault: str, method: str) -> None:
    app = Modern(method, faults(f"http://127.0.0.1:{free_port()}")[fault])
    async with talking(app, "/mcp", "StreamableHTTP", SAYS[fault]) as client:
        assert re.search(SAYS[fault], await said(client, method))
        app.answers.clear()
        assert (await client.call_tool("echo", {"message": "hi"})).output == "Echo: hi"


class OverEvents:
    """A server that speaks HTTP+SSE, one of whose methods is answered with these bytes, over and over again if `endless`."""

    def __init__(self, method: str, fault: bytes, *, endless: bool = False, cut: bool = False) -> None:
        self._method = method
        self._fault = fault
        self._endless = endless
        self._cut = cut
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.well = False

    def app(self) -> ASGIApp:
        return Starlette(routes=[Route("/sse", self._stream), Route("/messages", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        await self._messages.put(await request.json())
        return Response(status_code=202)

    async def _stream(self, _: Request) -> Response:
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[bytes]:
        self._messages = asyncio.Queue()
        yield b"event: endpoint\ndata: /messages\n\n"
        while True:
            message = await self._messages.get()
            if message["method"] == self._method and not self.well:
                yield self._fault
                while self._endless:
                    yield self._fault
                    await asyncio.sleep(0)
                if self._cut:
                    raise ConnectionError
            elif "id" in message:
                yield b"data: " + bytes(ScriptedServer().well(message).body) + b"\n\n"


LARGE = r"an event of more than [0-9]+ bytes"


@pytest.mark.parametrize("method", ["initialize", "tools/list", "tools/call"])
@pytest.mark.parametrize(
    ("server", "says"),
    [
        ({"fault": b": nothing\n\n"}, "did not answer in time|did not open a session"),
        ({"fault": b"data: " + b"x" * 5_000_000 + b"\n\n"}, LARGE),
        ({"fault": b"data: " + b"x" * 65536, "endless": True}, LARGE),
        ({"fault": b"data: {", "cut": True}, "broke the connection"),
        ({"fault": b"data: \xff\n\n"}, "did not answer in time|did not open a session"),
    ],
    ids=["never answers", "large", "endless", "cut", "invalid UTF-8"],
)
async def test_a_fault_over_http_sse_is_a_clear_failure_and_the_next_call_works(server: dict[str, Any], says: str, method: str) -> None:
    over_events = OverEvents(method, **server)
    async with talking(over_events.app(), "/sse", "SSE", says) as client:
        assert re.search(says, await said(client, "tools/list" if method == "initialize" else method))
        over_events.well = True
        assert (await client.call_tool("echo", {})).output == "well"
