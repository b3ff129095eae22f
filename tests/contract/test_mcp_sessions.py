"""Sessions and tool lists over real servers: eras, transports, restarts, changes, sharing and bounds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from junctor.connectormap.policy import Limits
from junctor.gateway.mcp import McpClient, McpClientPool
from junctor.gateway.mcp.connections import KEEPALIVE_SECONDS
from junctor.gateway.mcp.http_pools import HttpPools
from junctor.gateway.mcp.target import target_of_params
from junctor.gateway.serving.connector import Connector
from junctor.gateway.tools.ports import ToolFailure
from junctor.gateway.tools.server_errors import EntryUnusable, ListingFailed
from junctor.net.network_policy import OWN_MACHINE_POLICY
from tests.support.mcp_servers import (
    ECHO_TOOL,
    LegacyOnly,
    ScriptedServer,
    error,
    everything,
    result,
    sdk_server,
    self_signed,
    serving,
    text_result,
)
from tests.support.ports import free_port
from tests.support.waiting import until
from tests.unit.gateway.maps import bearer, connector, content, served_map

KEY = "3f7a000000000000.1b2c000000000000"
ERAS = pytest.mark.parametrize("era", ["modern", "legacy"])


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def pooling(**options: Any) -> AsyncIterator[McpClientPool]:
    pool = McpClientPool(OWN_MACHINE_POLICY, **options)
    try:
        yield pool
    finally:
        await pool.close()


def sdk_app(era: str) -> ASGIApp:
    app = sdk_server().streamable_http_app()
    return LegacyOnly(app) if era == "legacy" else app


def entry(url: str, connector_id: str = "a", **fields: Any) -> Connector:
    return connector(content(connector_id, url=f"{url}/mcp", **fields))


async def said(client: McpClient, message: str = "hi") -> str | None:
    return (await client.call_tool("echo", {"message": message})).output


class Counting:
    """Counts what passes, by JSON-RPC method as the headers tell it, else by HTTP method; answers `status` for the first `refused`."""

    def __init__(self, app: ASGIApp, *, refused: int = 0, status: int = 503) -> None:
        self._app, self._refused, self._status = app, refused, status
        self.passed: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            self.passed.append(headers.get(b"mcp-method", scope["method"].encode()).decode())
            if self._refused:
                self._refused -= 1
                await Response(status_code=self._status)(scope, receive, send)
                return
        await self._app(scope, receive, send)


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


# --- eras ---------------------------------------------------------------------------------------------------------------------------


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


# --- lists --------------------------------------------------------------------------------------------------------------------------


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


# --- the pool -----------------------------------------------------------------------------------------------------------------------


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


async def test_tls_trusts_the_bundle_of_the_entry_and_nothing_else(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    async with serving(sdk_app("modern"), tls=(certificate, key)) as url, pooling() as pool:
        trusted = pool.from_config(entry(url, tls={"caBundle": certificate.read_text()}), {})
        assert await said(trusted) == "Echo: hi"
        with pytest.raises(ListingFailed, match="certificate is not valid"):
            await pool.from_config(entry(url, "b"), {}).list_tools()


async def test_an_idle_stream_outlives_the_time_out_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("junctor.gateway.mcp.wire.READ_GRACE", 0.0)
    monkeypatch.setattr("junctor.gateway.mcp.transport.READ_GRACE", 0.0)
    app = Counting(sdk_app("legacy"))
    async with serving(app) as url, pooling() as pool:
        client = pool.from_config(entry(url, limits={"callTimeoutSeconds": 1}), {})
        assert len(await client.list_tools()) == 5
        await until(lambda: "GET" in app.passed)
        for _ in range(3):
            assert (await client.call_tool("slow", {"seconds": 60})).failure is not None
        await client.call_tool("grow", {})
        async with asyncio.timeout(60):
            while len(await client.list_tools()) == 5:  # noqa: ASYNC110  # the server's doing
                await asyncio.sleep(0.01)
    assert app.passed.count("GET") == 1


async def test_connections_are_kept_longer_than_the_five_seconds_of_the_library() -> None:
    pools = HttpPools(OWN_MACHINE_POLICY)
    target = target_of_params("http://127.0.0.1:1", None, {})
    first = pools.acquire(target)
    await pools.release(target)
    assert pools.acquire(target) is first
    assert KEEPALIVE_SECONDS > 5
    await pools.release(target)
    await pools.close()


async def test_sse_that_names_an_endpoint_of_another_origin_gets_nothing() -> None:
    seen: list[str] = []

    async def elsewhere(request: Request) -> Response:
        seen.append(request.method)
        return Response()

    async with serving(Starlette(routes=[Route("/x", elsewhere, methods=["POST"])])) as other:

        async def stream(_: Request) -> Response:
            async def events() -> AsyncIterator[str]:
                yield f"event: endpoint\ndata: {other}/x\n\n"
                await asyncio.Event().wait()

            return StreamingResponse(events(), media_type="text/event-stream")

        async with serving(Starlette(routes=[Route("/mcp", stream)])) as url, pooling() as pool:
            client = pool.from_config(entry(url, transport="SSE", limits={"connectTimeoutSeconds": 1}), {})
            with pytest.raises(ListingFailed):
                await client.list_tools()
    assert not seen


async def test_a_ca_bundle_that_cannot_be_read_is_refused_before_anything_is_sent() -> None:
    async with pooling() as pool:
        with pytest.raises(EntryUnusable, match="CA bundle"):
            pool.from_config(connector(content("a", tls={"caBundle": "nonsense"})), {})


async def test_streamable_http_alone_does_not_fall_back_to_sse() -> None:
    async with everything("sse") as url, pooling() as pool:
        client = pool.from_config(connector(content("a", url=url, transport="StreamableHTTP")), {})
        with pytest.raises(ListingFailed) as caught:
            await client.list_tools()
        assert caught.value.status == 404
        assert urlsplit(url).path == "/sse"
