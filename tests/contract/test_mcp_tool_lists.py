"""Tool lists over real servers: shared, kept, and never in the way of calls."""

import asyncio
from typing import Any

import pytest
from starlette.responses import Response

from junctor.gateway.tools.server_errors import ListingFailed
from tests.contract.mcp_pools import Clock, entry, pooling, said
from tests.support.mcp_servers import ECHO_TOOL, ScriptedServer, result, serving, text_result
from tests.support.waiting import until


async def test_a_list_that_fails_leaves_the_calls_of_others_alone() -> None:
    released = asyncio.Event()

    async def slowly(request: dict[str, Any]) -> Response:
        await released.wait()
        return text_result(request, "well")

    async def gone(_: dict[str, Any]) -> Response:
        return Response(status_code=405)

    server = ScriptedServer({"tools/call": slowly, "tools/list": gone})
    async with serving(server.app()) as url, pooling() as pool:
        client = pool.from_config(entry(url), {})
        call = asyncio.create_task(said(client))
        await until(lambda: server.asked("tools/call") == 1)
        with pytest.raises(ListingFailed):
            await client.list_tools()
        released.set()
        assert await call == "well"


async def test_a_list_is_asked_for_once_by_many_and_kept_for_five_minutes() -> None:
    server, clock = ScriptedServer(), Clock()
    async with serving(server.app()) as url, pooling(clock=clock) as pool:
        client = pool.from_config(entry(url), {})
        await asyncio.gather(*(client.list_tools() for _ in range(10)))
        clock.now += 299
        await client.list_tools()
        assert server.asked("tools/list") == 1
        clock.now += 2
        await client.list_tools()
        assert server.asked("tools/list") == 2


async def test_one_who_stops_waiting_for_a_list_does_not_stop_the_others() -> None:
    released = asyncio.Event()

    async def slowly(request: dict[str, Any]) -> Response:
        await released.wait()
        return result(request, {"tools": [ECHO_TOOL]})

    server = ScriptedServer({"tools/list": slowly})
    async with serving(server.app()) as url, pooling() as pool:
        client = pool.from_config(entry(url), {})
        first, second = (asyncio.create_task(client.list_tools()) for _ in range(2))
        await until(lambda: server.asked("tools/list") == 1)
        first.cancel()
        released.set()
        assert len(await second) == 1


async def test_a_list_younger_than_ten_minutes_serves_while_the_server_cannot_be_asked() -> None:
    clock = Clock()
    server = ScriptedServer()
    async with serving(server.app()) as url, pooling(clock=clock) as pool:
        client = pool.from_config(entry(url), {})
        await client.list_tools()

        async def down(_: dict[str, Any]) -> Response:
            return Response(status_code=503)

        server.answers["tools/list"] = down
        clock.now += 599
        assert len(await client.list_tools()) == 1
        clock.now += 2
        with pytest.raises(ListingFailed) as caught:
            await client.list_tools()
        assert caught.value.status == 503
