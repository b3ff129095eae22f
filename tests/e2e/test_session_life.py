"""Sessions with MCP servers as their servers see them: bounded, ended when idle, and dropped when their connector changes."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from starlette.responses import Response

from junctor.gateway.config import only_upstream
from junctor.gateway.mcp import McpClientPool
from junctor.gateway.web.server import Listening
from junctor.standalone.app import StandaloneSettings, serve_standalone
from tests.support.mcp_servers import ScriptedServer, serving
from tests.support.model_server import ModelServer
from tests.support.running_gateway import ANSWER, ECHO, RunningGateway, calls_of, mcp_tool, respond
from tests.support.waiting import until


async def say(client: AsyncOpenAI, model: str, connector: str) -> str | None:
    """What the connector's tool gave."""
    [call] = calls_of(await respond(client, stream=False, model=model, tools=[mcp_tool(connector)], input="say hi"))
    return str(call.output)


@asynccontextmanager
async def bounded_gateway(
    servers: Sequence[ScriptedServer], manifests: Path, monkeypatch: pytest.MonkeyPatch, **bounds: Any
) -> AsyncIterator[AsyncOpenAI]:
    """A gateway with the connectors `server-0`, ...; in this process, because the bounds of its sessions are no options."""
    monkeypatch.setattr("junctor.gateway.mcp.McpClientPool", partial(McpClientPool, **bounds))
    async with AsyncExitStack() as stack:
        for number, server in enumerate(servers):
            url = await stack.enter_async_context(serving(server.app()))
            connector = {"apiVersion": "junctor.dev/v1alpha1", "kind": "MCPConnector", "metadata": {"name": f"server-{number}"}}
            (manifests / f"{number}.json").write_text(json.dumps({**connector, "spec": {"url": f"{url}/mcp"}}))
        model = stack.enter_context(ModelServer({"m": [ECHO, ANSWER]}))
        stop, listening = asyncio.Event(), asyncio.get_running_loop().create_future()
        settings = StandaloneSettings(manifests, port=0, management_port=0, upstreams=(only_upstream(model.url),))
        running = asyncio.create_task(serve_standalone(settings, stop=stop, started=listening.set_result))
        try:
            await asyncio.wait((running, listening), return_when=asyncio.FIRST_COMPLETED)
            addresses: Listening = listening.result()
            async with AsyncOpenAI(base_url=f"{addresses.url}/v1", api_key="none", max_retries=0) as client:
                yield client
        finally:
            stop.set()
            await running


async def test_the_session_that_was_used_longest_ago_ends_when_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = [ScriptedServer(with_sessions=True) for _ in range(5)]
    async with bounded_gateway(servers, tmp_path, monkeypatch, max_clients=3) as client:
        for number in (0, 1, 2, 0, 3, 4):
            assert await say(client, "m", f"server-{number}") == "well"
        await until(lambda: [server.asked("DELETE") for server in servers] == [0, 1, 1, 0, 0])
        assert await say(client, "m", "server-0") == "well"
        assert [server.asked("initialize") for server in servers] == [1] * 5


async def test_idle_sessions_end_and_the_next_call_opens_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = [ScriptedServer(with_sessions=True) for _ in range(2)]
    async with bounded_gateway(servers, tmp_path, monkeypatch, idle_seconds=0.2) as client:
        await asyncio.gather(*(say(client, "m", f"server-{number}") for number in range(2)))
        await until(lambda: all(server.asked("DELETE") == server.asked("initialize") for server in servers))
        opened = servers[0].asked("initialize")
        assert await say(client, "m", "server-0") == "well"
        assert servers[0].asked("initialize") > opened


async def test_after_its_url_has_changed_a_connector_is_called_at_the_new_server_only(
    shared_gateway: RunningGateway, client: AsyncOpenAI
) -> None:
    released = asyncio.Event()

    async def slowly(request: dict[str, Any]) -> Response:
        await released.wait()
        return old.well(request)

    old, new = ScriptedServer(with_sessions=True), ScriptedServer(with_sessions=True)
    async with serving(old.app()) as old_url, serving(new.app()) as new_url:
        connector = await shared_gateway.connector(old_url)
        model = shared_gateway.plays(ECHO, ANSWER)
        assert await say(client, model, connector) == "well"
        old.answers["tools/call"] = slowly
        running = asyncio.create_task(say(client, model, connector))
        await until(lambda: old.asked("tools/call") == 2)
        await shared_gateway.connector(new_url, name=connector)
        await served(client, connector, new_url)
        assert await say(client, model, connector) == "well"
        assert new.asked("tools/call") == 1
        assert old.asked("DELETE") == 0  # its last call still runs
        released.set()
        assert await running == "well"
        await until(lambda: old.asked("DELETE") == 1)
        heard = len(old.requests)
        for _ in range(3):
            assert await say(client, model, connector) == "well"
        assert new.asked("tools/call") == 4
        assert (len(old.requests), old.asked("initialize"), new.asked("initialize")) == (heard, 1, 1)


async def served(client: AsyncOpenAI, connector: str, url: str) -> None:
    """Wait until the gateway serves the connector with this server."""
    async with asyncio.timeout(60):
        while (await client.get(f"/connectors/{connector}", cast_to=dict[str, Any]))["server_url"] != url:  # noqa: ASYNC110  # the process tells nobody
            await asyncio.sleep(0.01)


async def test_after_its_credential_has_changed_a_connector_opens_a_session_with_the_new_one(
    shared_gateway: RunningGateway, client: AsyncOpenAI
) -> None:
    server = ScriptedServer(with_sessions=True)

    def used(method: str) -> list[str]:
        return [headers["authorization"] for asked, headers, _ in server.requests if asked == method]

    shared_gateway.secret("rotating", "first-token")
    async with serving(server.app()) as url:
        auth = {"bearer": {"secretKeyRef": {"name": "rotating", "key": "token"}}}
        connector = await shared_gateway.connector(url, auth=auth)
        model = shared_gateway.plays(ECHO, ANSWER)
        assert await say(client, model, connector) == "well"
        shared_gateway.secret("rotating", "second-token")
        async with asyncio.timeout(60):
            while used("tools/call")[-1] == "Bearer first-token":
                assert await say(client, model, connector) == "well"
        # Whoever opened a session ends it; a call that began before the change may have opened another one with the old token.
        await until(lambda: used("DELETE") == ["Bearer first-token"] * used("initialize").count("Bearer first-token"))
        server.requests.clear()
        for _ in range(3):
            assert await say(client, model, connector) == "well"
        assert {headers["authorization"] for _, headers, _ in server.requests} == {"Bearer second-token"}
        assert server.asked("initialize") == 0
