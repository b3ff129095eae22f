"""The pool of sessions: what shares one, and what bounds and ends them."""

import asyncio
from typing import Any

from starlette.responses import Response

from junctor.connectormap.policy import Limits
from junctor.gateway.mcp import McpClientPool
from junctor.net.network_policy import OWN_MACHINE_POLICY
from tests.contract.mcp_pools import Clock, entry, pooling, said, sdk_app
from tests.support.mcp_servers import ScriptedServer, serving, text_result
from tests.support.ports import free_port
from tests.support.waiting import until
from tests.unit.gateway.maps import bearer, content, served_map

KEY = "3f7a000000000000.1b2c000000000000"


async def test_sessions_are_shared_by_connector_and_credential_and_by_nothing_else() -> None:
    async with pooling() as pool:
        url = f"http://127.0.0.1:{free_port()}"
        one = entry(url, auth=bearer(KEY))
        mine = pool.from_config(one, {KEY: b"x"})
        assert pool.from_config(one, {KEY: b"x"}) is mine
        caller = pool.from_config(one, {KEY: b"x"}, authorization="caller")
        assert caller is not mine
        assert pool.from_config(one, {KEY: b"x"}, authorization="caller") is caller
        assert pool.from_config(one, {KEY: b"x"}, authorization="another") is not caller
        assert pool.from_config(entry(url, "b", auth=bearer(KEY)), {KEY: b"x"}) is not mine
        assert pool.from_config(entry(url, auth=bearer(KEY), title="new"), {KEY: b"x"}) is not mine
        assert pool.from_params(url) is not pool.from_params(url)


async def test_the_callers_authorization_reaches_its_server_and_no_other_session() -> None:
    server = ScriptedServer(with_sessions=True)
    async with serving(server.app()) as url, pooling() as pool:
        one = entry(url, auth=bearer(KEY))
        await asyncio.gather(
            said(pool.from_config(one, {KEY: b"own"})),
            said(pool.from_config(one, {KEY: b"own"}, authorization="alice")),
            said(pool.from_config(one, {KEY: b"own"}, authorization="bob", headers={"X-Trace": "7"})),
        )
    by_session: dict[str, set[str]] = {}
    for method, headers, _ in server.requests:
        if method == "tools/call":
            by_session.setdefault(headers["mcp-session-id"], set()).add(headers["authorization"])
    assert sorted(value for values in by_session.values() for value in values) == ["Bearer alice", "Bearer bob", "Bearer own"]
    assert len(by_session) == 3


async def test_a_changed_entry_lets_go_of_its_session_when_its_calls_have_ended() -> None:
    released = asyncio.Event()

    async def slowly(request: dict[str, Any]) -> Response:
        await released.wait()
        return text_result(request, "well")

    server = ScriptedServer({"tools/call": slowly}, with_sessions=True)
    async with serving(server.app()) as url, pooling() as pool:
        old, kept = entry(url), entry(url, "b")
        client, other = pool.from_config(old, {}), pool.from_config(kept, {})
        await other.list_tools()
        call = asyncio.create_task(said(client))
        await until(lambda: server.asked("tools/call") == 1)
        pool.entries_changed(served_map(content("a", url=f"{url}/mcp", title="new"), content("b", url=f"{url}/mcp")))
        assert client.has_session
        released.set()
        assert await call == "well"
        await until(lambda: client.is_closed and server.asked("DELETE") == 1)
        assert other.has_session
        assert pool.from_config(kept, {}) is other
        pool.entries_changed(served_map())
        await until(lambda: other.is_closed)
        assert pool.from_config(kept, {}) is not other


async def test_the_pool_is_bounded_and_drops_what_was_used_longest_ago() -> None:
    async with serving(ScriptedServer().app()) as url, pooling(max_clients=2) as pool:
        clients = {}
        for name in ("a", "b", "a", "c"):
            clients[name] = pool.from_config(entry(url, name), {})
            assert await said(clients[name]) == "well"
        await until(lambda: clients["b"].is_closed)
        assert clients["a"].has_session
        assert clients["c"].has_session
        assert pool.from_config(entry(url, "a"), {}) is clients["a"]


async def test_an_idle_session_ends_and_the_next_call_opens_another() -> None:
    server, clock = ScriptedServer(with_sessions=True), Clock()
    async with serving(server.app()) as url, pooling(clock=clock) as pool:
        client = pool.from_config(entry(url), {})
        assert await said(client) == "well"
        clock.now += 301
        pool.sweep()
        assert not client.has_session
        await until(lambda: server.asked("DELETE") == 1)
        assert await said(client) == "well"
        clock.now += 601
        pool.sweep()
        await until(lambda: client.is_closed)
        assert pool.from_config(entry(url), {}) is not client


async def test_no_more_calls_run_at_once_than_the_connector_allows() -> None:
    running, most, released = 0, 0, asyncio.Event()

    async def slowly(request: dict[str, Any]) -> Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await released.wait()
        running -= 1
        return text_result(request, "well")

    server = ScriptedServer({"tools/call": slowly})
    async with serving(server.app()) as url, pooling() as pool:
        one = entry(url, limits={"maxConcurrentCalls": 2})
        calls = [asyncio.create_task(said(pool.from_config(one, {}, authorization=str(n % 3)))) for n in range(9)]
        await until(lambda: server.asked("tools/call") == 2)
        released.set()
        assert await asyncio.gather(*calls) == ["well"] * 9
    assert most == 2


async def test_an_event_stream_pins_no_limit_of_connections() -> None:
    async with serving(sdk_app("legacy")) as url, pooling() as pool:
        clients = [pool.from_config(entry(url, f"c{n}"), {}) for n in range(30)]
        assert await asyncio.gather(*map(said, clients)) == ["Echo: hi"] * 30
        assert await asyncio.gather(*map(said, clients)) == ["Echo: hi"] * 30


async def test_closing_the_pool_ends_what_runs_and_leaves_no_task() -> None:
    async with serving(sdk_app("modern")) as url:
        before = asyncio.all_tasks()
        pool = McpClientPool(OWN_MACHINE_POLICY)
        client = pool.from_config(entry(url), {})
        await client.list_tools()
        call = asyncio.create_task(client.call_tool("slow", {"seconds": 60}))
        await until(lambda: client.is_busy)
        await pool.close()
        assert (await call).failure is not None
        await until(lambda: not [task for task in asyncio.all_tasks() - before if "mcp" in task.get_name()])


async def test_a_request_declared_server_leaves_nothing_when_it_is_closed() -> None:
    server = ScriptedServer(with_sessions=True)
    async with serving(server.app()) as url, pooling() as pool:
        async with pool.from_params(f"{url}/mcp", "token", limits=Limits(call_timeout=5)) as client:
            assert await said(client) == "well"
            assert client.has_session
        assert client.is_closed
        assert server.asked("DELETE") == 1
        assert all(headers["authorization"] == "Bearer token" for _, headers, _ in server.requests)
