"""One server that is down or slow delays no request to another: what shows is the order in which things end."""

import asyncio
import json
import select
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response
from starlette.responses import Response as HttpResponse

from tests.cluster.processes import gateway
from tests.support.mcp_servers import ScriptedServer, serving
from tests.support.model_server import ModelServer, Round
from tests.support.ports import free_port
from tests.support.running_gateway import ANSWER, ECHO, RunningGateway, calls_of, mcp_tool, respond
from tests.support.waiting import until

SLOW = 12
QUICK = 50


async def ask(client: AsyncOpenAI, model: str, connector: str, number: int = 0) -> Response:
    """Streamed and not by turns."""
    return await respond(client, stream=number % 2 == 1, model=model, tools=[mcp_tool(connector)], input="say hi")


async def cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def quick_url() -> AsyncIterator[str]:
    """A server that answers well."""
    async with serving(ScriptedServer().app()) as url:
        yield url


def holding(*methods: str) -> tuple[ScriptedServer, asyncio.Event]:
    """A server that answers these methods when the event is set."""
    server, released = ScriptedServer(), asyncio.Event()

    async def later(request: dict[str, Any]) -> HttpResponse:
        await released.wait()
        return server.well(request)

    server.answers = dict.fromkeys(methods, later)
    return server, released


@pytest.mark.parametrize(
    ("methods", "limits"),
    [
        (("server/discover", "initialize"), {}),
        (("tools/list",), {}),
        (("tools/call",), {}),
        (("tools/call",), {"maxConcurrentCalls": 1}),
    ],
    ids=["handshake", "listing", "calls", "calls at the limit of the connector"],
)
async def test_requests_to_other_servers_end_while_one_server_does_not_answer(
    shared_gateway: RunningGateway, client: AsyncOpenAI, quick_url: str, methods: tuple[str, ...], limits: dict[str, int]
) -> None:
    server, released = holding(*methods)
    async with serving(server.app()) as slow_url:
        slow = await shared_gateway.connector(slow_url, limits={"connectTimeoutSeconds": 60, **limits})
        quick = await shared_gateway.connector(quick_url)
        model = shared_gateway.plays(ECHO, ANSWER)
        pending = [asyncio.create_task(ask(client, model, slow, number)) for number in range(SLOW)]
        held = SLOW if methods == ("tools/call",) and not limits else 1
        await until(lambda: server.asked(methods[0]) >= held)
        ended = await asyncio.gather(*(ask(client, model, quick, number) for number in range(QUICK)))
        assert [call.output for response in ended for call in calls_of(response)] == ["well"] * QUICK
        assert not any(task.done() for task in pending)
        released.set()
        assert [call.output for response in await asyncio.gather(*pending) for call in calls_of(response)] == ["well"] * SLOW


async def test_requests_to_other_servers_end_while_one_takes_no_connection(
    shared_gateway: RunningGateway, client: AsyncOpenAI, quick_url: str
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as mute:
        port = mute.getsockname()[1]
        slow = await shared_gateway.connector(f"http://127.0.0.1:{port}", limits={"connectTimeoutSeconds": 60})
        quick = await shared_gateway.connector(quick_url)
        model = shared_gateway.plays(ECHO, ANSWER)
        pending = [asyncio.create_task(ask(client, model, slow, number)) for number in range(SLOW)]
        await until(lambda: select.select([mute], [], [], 0)[0])
        ended = await asyncio.gather(*(ask(client, model, quick, number) for number in range(QUICK)))
        assert [response.status for response in ended] == ["completed"] * QUICK
        assert not any(task.done() for task in pending)
        await cancel(pending)


@pytest.fixture
async def two_models(tmp_path: Path, quick_url: str) -> AsyncIterator[tuple[AsyncOpenAI, ModelServer, ModelServer]]:
    """A gateway with the model servers of the models `slow` and `quick`, and the connector `echo`."""
    with ModelServer({"slow": [Round(hang=0)]}) as slow, ModelServer({"quick": [ECHO, ANSWER]}) as quick:
        connector = {"apiVersion": "junctor.dev/v1alpha1", "kind": "MCPConnector", "metadata": {"name": "echo"}}
        (tmp_path / "echo.json").write_text(json.dumps({**connector, "spec": {"url": f"{quick_url}/mcp"}}))
        command = [sys.executable, "-m", "junctor.cli.main", "render", str(tmp_path / "echo.json")]
        rendered = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
        (tmp_path / "map.yaml").write_bytes(rendered.stdout)
        upstreams = [{"models": [name], "url": server.url} for name, server in (("slow", slow), ("quick", quick))]
        configuration = {"apiVersion": "config.junctor.dev/v1alpha1", "kind": "GatewayConfiguration", "upstreams": upstreams}
        (tmp_path / "gateway.json").write_text(json.dumps(configuration))
        port, management = free_port(), free_port()
        options = ("--config", tmp_path / "gateway.json")
        with gateway(
            f"file:{tmp_path / 'map.yaml'}", *options, log_file=tmp_path / "log", port=port, management_port=management
        ) as process:
            process.wait_until_ready(f"http://127.0.0.1:{management}/-/readyz")
            url = f"http://127.0.0.1:{port}/v1"
            async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0, _strict_response_validation=True) as client:
                yield client, slow, quick


async def test_requests_to_other_model_servers_end_while_one_does_not_answer(
    two_models: tuple[AsyncOpenAI, ModelServer, ModelServer],
) -> None:
    client, slow, _ = two_models
    pending = [asyncio.create_task(ask(client, "slow", "echo", number)) for number in range(SLOW)]
    await until(lambda: len(slow.requests) == SLOW)
    ended = await asyncio.gather(*(ask(client, "quick", "echo", number) for number in range(QUICK)))
    assert [response.status for response in ended] == ["completed"] * QUICK
    assert not any(task.done() for task in pending)
    await cancel(pending)
    # Nor does the model server have to work for nobody.
    await until(lambda: all(request.ended.is_set() and request.cut for request in slow.requests))
