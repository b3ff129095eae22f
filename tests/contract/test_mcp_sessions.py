"""Sessions over real servers: transports, restarts, and what is repeated."""

import asyncio
from typing import Any

import pytest
from starlette.responses import Response

from junctor.gateway.tools.ports import ToolFailure
from tests.contract.mcp_pools import entry, pooling, said, sdk_app
from tests.support.mcp_servers import ScriptedServer, error, everything, serving
from tests.support.ports import free_port
from tests.support.waiting import until
from tests.unit.gateway.maps import connector, content

ERAS = pytest.mark.parametrize("era", ["modern", "legacy"])


# --- real servers -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "transport"), [("streamableHttp", "Auto"), ("sse", "Auto"), ("sse", "SSE")])
async def test_the_reference_server(mode: str, transport: str) -> None:
    async with everything(mode) as url, pooling() as pool:
        client = pool.from_config(connector(content("a", url=url, transport=transport)), {})
        assert "echo" in [tool.name for tool in await client.list_tools()]
        assert await said(client) == "Echo: hi"
        image = await client.call_tool("get-tiny-image", {})
        assert "[image image/png" in image.for_model
        outcomes = await asyncio.gather(*(said(client, str(n)) for n in range(20)))
        assert outcomes == [f"Echo: {n}" for n in range(20)]


@pytest.mark.parametrize("mode", ["streamableHttp", "sse"])
async def test_the_reference_server_is_found_again_after_a_restart(mode: str) -> None:
    port = free_port()
    async with pooling() as pool:
        async with everything(mode, port) as url:
            client = pool.from_config(connector(content("a", url=url)), {})
            assert await said(client) == "Echo: hi"
        assert (await client.call_tool("echo", {"message": "away"})).failure is not None
        async with everything(mode, port):
            assert await said(client) == "Echo: hi"


@ERAS
async def test_the_sdk_server(era: str) -> None:
    async with serving(sdk_app(era)) as url, pooling() as pool:
        client = pool.from_config(entry(url), {})
        assert [tool.name for tool in await client.list_tools()] == ["echo", "add", "fails", "slow", "grow"]
        assert await said(client) == "Echo: hi"
        assert (await client.call_tool("add", {"a": 1, "b": 2})).output == "3"
        failure = (await client.call_tool("fails", {})).failure
        assert failure is not None
        assert failure.kind == "execution"


@ERAS
async def test_a_server_that_restarts_is_used_again(era: str) -> None:
    port = free_port()
    async with pooling() as pool:
        async with serving(sdk_app(era), port) as url:
            client = pool.from_config(entry(url), {})
            assert await said(client) == "Echo: hi"
        failure = (await client.call_tool("echo", {"message": "away"})).failure
        assert failure is not None
        assert failure.code == 502
        async with serving(sdk_app(era), port):
            assert await said(client) == "Echo: hi"
            assert len(await client.list_tools()) == 5


@ERAS
async def test_a_server_that_dies_in_a_call_fails_that_call_only(era: str) -> None:
    port = free_port()
    async with pooling() as pool:
        async with serving(sdk_app(era), port) as url:
            client = pool.from_config(entry(url), {})
            await client.list_tools()
            call = asyncio.create_task(client.call_tool("slow", {"seconds": 60}))
            await until(lambda: client.is_busy)
            assert await said(client) == "Echo: hi"
        failure = (await call).failure
        assert failure is not None
        assert (failure.kind, failure.code) == ("http", 502)
        async with serving(sdk_app(era), port):
            assert await said(client) == "Echo: hi"


@ERAS
async def test_a_cancelled_or_late_call_leaves_the_session_and_other_calls_alone(era: str) -> None:
    async with serving(sdk_app(era)) as url, pooling() as pool:
        client = pool.from_config(entry(url, limits={"callTimeoutSeconds": 1}), {})
        late = asyncio.create_task(client.call_tool("slow", {"seconds": 60}))
        cancelled = asyncio.create_task(client.call_tool("slow", {"seconds": 60}))
        assert await said(client) == "Echo: hi"
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert (await late).failure == ToolFailure("http", "the server did not answer in time", 504)
        assert await said(client) == "Echo: hi"


@ERAS
async def test_a_tool_that_appears_is_listed_when_the_server_says_so(era: str) -> None:
    async with serving(sdk_app(era)) as url, pooling() as pool:
        client = pool.from_config(entry(url), {})
        assert len(await client.list_tools()) == 5
        async with asyncio.timeout(60):
            # What is announced before the stream is open reaches nobody.
            while len(await client.list_tools()) == 5:
                assert (await client.call_tool("grow", {})).failure is None


# --- what may be repeated -----------------------------------------------------------------------------------------------------------


async def test_a_call_refused_for_a_lost_session_is_repeated_once_on_a_fresh_one() -> None:
    server = ScriptedServer(with_sessions=True)
    async with serving(server.app()) as url, pooling() as pool:
        client = pool.from_config(entry(url), {})
        assert await said(client) == "well"
        server.sessions.clear()
        assert await said(client) == "well"
        assert server.asked("tools/call") == 3
        assert server.asked("initialize") == 2


async def test_a_server_that_never_knows_its_sessions_is_asked_twice_and_no_more() -> None:
    async def unknown(request: dict[str, Any]) -> Response:
        return error(request, -32600, "Session not found", 404)

    server = ScriptedServer({"tools/call": unknown}, with_sessions=True)
    async with serving(server.app()) as url, pooling() as pool:
        failure = (await pool.from_config(entry(url), {}).call_tool("echo", {})).failure
        assert failure == ToolFailure("http", "the server does not know the session any more", 404)
        assert server.asked("tools/call") == 2


@pytest.mark.parametrize("status", [200, 400, 404, 500])
async def test_no_other_failure_of_a_call_is_repeated(status: int) -> None:
    async def fail(request: dict[str, Any]) -> Response:
        return error(request, -32603, "something broke", status)

    server = ScriptedServer({"tools/call": fail})
    async with serving(server.app()) as url, pooling() as pool:
        assert (await pool.from_config(entry(url), {}).call_tool("echo", {})).failure is not None
    assert server.asked("tools/call") == 1


async def test_calling_lists_no_tools_behind_the_scenes() -> None:
    server = ScriptedServer()
    async with serving(server.app()) as url, pooling() as pool:
        client = pool.from_config(entry(url), {})
        await asyncio.gather(*(said(client) for _ in range(3)))
    assert server.asked("tools/list") == 0
