"""What clients of MCP servers remember, share and give up, over real servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.responses import Response, StreamingResponse

from junctor.gateway.mcp import McpClient, McpClientPool
from junctor.gateway.serving.connector import Connector
from junctor.gateway.tools.server_errors import ListingFailed
from junctor.net.network_policy import OWN_MACHINE_POLICY
from tests.support.mcp_servers import ECHO_TOOL, ScriptedServer, answering, result, serving, text_result
from tests.unit.gateway.maps import connector, content, served_map


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def pooling(server: ScriptedServer, **options: Any) -> AsyncIterator[tuple[McpClientPool, Connector]]:
    pool = McpClientPool(OWN_MACHINE_POLICY, **options)
    async with serving(server.app()) as url:
        try:
            yield pool, connector(content("a", url=f"{url}/mcp"))
        finally:
            await pool.close()


async def fails(client: McpClient) -> str:
    with pytest.raises(ListingFailed) as caught:
        await client.list_tools()
    return f"{caught.value.status} {caught.value}"


async def test_a_list_that_fails_again_and_again_is_asked_for_ever_more_rarely() -> None:
    server, clock = ScriptedServer({"tools/list": answering(500)}), Clock()
    async with pooling(server, clock=clock) as (pool, one):
        client = pool.from_config(one, {})
        first = await fails(client)
        assert {await fails(client) for _ in range(10)} == {first}
        assert server.asked("tools/list") == 2
        clock.now += 1
        assert {await fails(client) for _ in range(10)} == {first}
        assert server.asked("tools/list") == 3
        server.answers.clear()
        clock.now += 1
        assert await fails(client) == first
        clock.now += 1
        assert len(await client.list_tools()) == 1


async def test_a_changed_entry_is_asked_at_once() -> None:
    server = ScriptedServer({"tools/list": answering(500)})
    async with pooling(server) as (pool, one):
        client = pool.from_config(one, {})
        for _ in range(3):
            await fails(client)
        changed = content("a", url=str(one.view.target.url), title="new")
        pool.entries_changed(served_map(changed))
        server.answers.clear()
        assert len(await pool.from_config(connector(changed), {}).list_tools()) == 1


async def test_older_tools_stay_in_use_while_the_server_fails() -> None:
    server, clock = ScriptedServer(), Clock()
    async with pooling(server, clock=clock) as (pool, one):
        client = pool.from_config(one, {})
        tools = await client.list_tools()
        server.answers["tools/list"] = answering(500)
        clock.now += 301
        for _ in range(5):
            assert await client.list_tools() is tools
        assert server.asked("tools/list") == 3
        clock.now += 300
        assert (await fails(client)).startswith("500 ")


@pytest.mark.parametrize(("status", "kept"), [(401, False), (403, False), (500, True)])
async def test_a_client_whose_credential_is_refused_is_not_kept(status: int, kept: bool) -> None:
    server = ScriptedServer({"tools/list": answering(status)})
    async with pooling(server) as (pool, one):
        own, made_up = pool.from_config(one, {}), pool.from_config(one, {}, authorization="made-up", caller="me")
        await fails(own)
        await fails(made_up)
        assert pool.from_config(one, {}) is own
        assert (pool.from_config(one, {}, authorization="made-up", caller="me") is made_up) is kept


async def test_users_with_equal_lists_share_one() -> None:
    async with pooling(ScriptedServer()) as (pool, one):
        lists = [await pool.from_config(one, {}, authorization=name, caller=name).list_tools() for name in ("ann", "bob")]
        assert lists[0] is lists[1]


async def test_results_that_are_too_large_together_fail_and_leave_nothing_behind() -> None:
    """Each answer is within its limit; the last bytes of all wait until every server part has sent the rest."""
    sent, go_on = 0, asyncio.Event()

    async def large(request: dict[str, Any]) -> Response:
        body = bytes(text_result(request, "x" * 1_000_000).body)

        async def pieces() -> AsyncIterator[bytes]:
            nonlocal sent
            yield body[:-10]
            sent += 1
            if sent == 40:
                go_on.set()
            await go_on.wait()
            yield body[-10:]

        return StreamingResponse(pieces(), media_type="application/json")

    server = ScriptedServer({"tools/call": large})
    async with pooling(server) as (pool, one):
        client = pool.from_config(one, {})
        outcomes = await asyncio.gather(*(client.call_tool("echo", {}) for _ in range(40)))
        failures = [outcome.failure.message for outcome in outcomes if outcome.failure is not None]
        assert 0 < len(failures) < 20
        assert all("at one time; try again" in message for message in failures)
        go_on.set()
        assert (await client.call_tool("echo", {})).failure is None


async def test_tools_that_are_listed_in_many_small_pages_are_counted_together() -> None:
    async def page(request: dict[str, Any]) -> Response:
        number = int((request.get("params") or {}).get("cursor") or 0)
        tools = [{**ECHO_TOOL, "name": f"t{number}.{n}", "description": "d" * 16_000} for n in range(20)]
        return result(request, {"tools": tools, "nextCursor": str(number + 1)})

    server = ScriptedServer({"tools/list": page})
    async with pooling(server) as (pool, one):
        assert "more than 4194304 bytes" in await fails(pool.from_config(one, {}))
        assert server.asked("tools/list") < 20
