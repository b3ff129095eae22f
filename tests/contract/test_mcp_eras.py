"""Which era of MCP a server speaks: found out once, remembered, and asked anew when it changes."""

import asyncio
from typing import Any

from starlette.responses import Response

from junctor.connectormap.policy import Limits
from junctor.gateway.tools.ports import ToolFailure
from tests.contract.mcp_pools import Counting, entry, pooling, said, sdk_app
from tests.support.mcp_servers import LegacyOnly, ScriptedServer, sdk_server, serving
from tests.support.ports import free_port


async def test_the_era_is_remembered_so_that_a_legacy_server_is_not_probed_again() -> None:
    app = LegacyOnly(sdk_server().streamable_http_app())
    async with serving(app) as url, pooling() as pool:
        client = pool.from_config(entry(url), {})
        for _ in range(3):
            assert await said(client) == "Echo: hi"
            client.end_if_idle()
    assert app.methods.count("server/discover") == 1
    assert app.methods.count("initialize") == 3


async def test_a_modern_server_is_pinned_and_reconnects_without_negotiation() -> None:
    app = Counting(sdk_server().streamable_http_app())
    async with serving(app) as url, pooling() as pool:
        client = pool.from_config(entry(url), {})
        for _ in range(3):
            assert await said(client) == "Echo: hi"
            client.end_if_idle()
    assert app.passed.count("server/discover") == 1
    assert app.passed.count("tools/call") == 3


async def test_an_outage_on_the_probe_is_not_remembered_as_an_old_era() -> None:
    app = Counting(sdk_server().streamable_http_app(), refused=1)
    async with serving(app) as url, pooling() as pool:
        client = pool.from_config(entry(url), {})
        for _ in range(2):
            assert await said(client) == "Echo: hi"
            client.end_if_idle()
    assert app.passed.count("server/discover") == 2


async def test_the_probe_has_no_time_of_its_own_beyond_the_connect_deadline() -> None:
    async def mute(_: dict[str, Any]) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(ScriptedServer({"server/discover": mute}).app()) as url, pooling() as pool:
        limits = {"connectTimeoutSeconds": 0.2}
        outcome = await pool.from_config(entry(url, limits=limits), {}).call_tool("echo", {})
    assert outcome.failure == ToolFailure("http", "the server did not open a session within 0.2 s", 504)


async def test_a_handshake_may_take_longer_than_a_call() -> None:
    async def slowly(request: dict[str, Any]) -> Response:
        await asyncio.sleep(0.2)
        return server.well(request)

    server = ScriptedServer({"initialize": slowly})
    async with serving(server.app()) as url, pooling() as pool:
        client = pool.from_params(f"{url}/mcp", limits=Limits(call_timeout=0.05))
        assert [tool.name for tool in await client.list_tools()] == ["echo"]


async def test_a_server_that_was_replaced_by_an_older_one_is_asked_anew_what_it_speaks() -> None:
    port = free_port()
    async with pooling() as pool:
        async with serving(sdk_app("modern"), port) as url:
            client = pool.from_config(entry(url), {})
            assert await said(client) == "Echo: hi"
        old = ScriptedServer(with_sessions=True)
        async with serving(old.app(), port):
            assert (await client.call_tool("echo", {})).failure is not None
            assert await said(client) == "well"
