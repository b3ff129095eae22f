"""The openai client, through a real gateway process: a connector by its id, a real MCP server, a scripted model."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from tests.cluster.controlplane import free_port
from tests.cluster.processes import Process, junctor
from tests.support.mcp_servers import sdk_server, serving
from tests.support.model_server import Call, ModelServer, Round

MANIFEST = """
apiVersion: junctor.dev/v1alpha1
kind: MCPConnector
metadata: {{name: demo}}
spec: {{connectorID: connector_demo, url: "{url}/mcp", description: A server for tests}}
"""


@pytest.fixture
async def tools_server() -> AsyncIterator[str]:
    async with serving(sdk_server().streamable_http_app()) as url:
        yield url


@pytest.fixture
async def gateway(tools_server: str, tmp_path: Path) -> AsyncIterator[tuple[AsyncOpenAI, ModelServer, Process]]:
    """The strict client of a gateway with one connector, the model server behind it, and its process."""
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "demo.yaml").write_text(MANIFEST.format(url=tools_server))
    rounds = [Round(calls=[Call("mcp__demo__echo", {"message": "hi"})]), Round(text="The server said hi.")]
    port, management = free_port(), free_port()
    with ModelServer({"m": rounds}) as model:
        options = ("--manifests", manifests, "--port", str(port), "--management-port", str(management), "--upstream", model.url)
        with junctor("standalone", *options, name="standalone", log_file=tmp_path / "log") as process:
            process.wait_until_ready(f"http://127.0.0.1:{management}/-/readyz")
            client = AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0, _strict_response_validation=True)
            async with client:
                yield client, model, process


def tool(connector_id: str = "connector_demo") -> Any:
    """Any: the client's own type lists OpenAI's connectors only."""
    return {"type": "mcp", "server_label": "demo", "connector_id": connector_id, "require_approval": "never"}


async def test_a_connector_is_called_by_its_id(gateway: tuple[AsyncOpenAI, ModelServer, Process]) -> None:
    client, _, process = gateway
    response = await client.responses.create(model="m", tools=[tool()], input="say hi")
    assert response.status == "completed", process.tail()
    assert [item.type for item in response.output] == ["mcp_list_tools", "mcp_call", "message"]
    call = response.output[1]
    assert call.type == "mcp_call"
    assert (call.name, call.server_label, call.error) == ("echo", "demo", None)
    assert "hi" in (call.output or "")
    assert response.output_text == "The server said hi."


async def test_a_connector_is_called_by_its_id_in_a_stream(gateway: tuple[AsyncOpenAI, ModelServer, Process]) -> None:
    client, _, _ = gateway
    events = [event async for event in await client.responses.create(model="m", tools=[tool()], input="say hi", stream=True)]
    kinds = [event.type for event in events]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert "response.mcp_call.completed" in kinds


async def test_an_unknown_connector_is_refused_before_anything_is_sent(gateway: tuple[AsyncOpenAI, ModelServer, Process]) -> None:
    client, model, _ = gateway
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model="m", tools=[tool("connector_dmeo")], input="say hi")
    assert refused.value.param == "tools[0].connector_id"
    assert "connector_demo" in refused.value.message
    assert model.requests == []


async def test_chat_completions_and_models_are_passed_through(gateway: tuple[AsyncOpenAI, ModelServer, Process]) -> None:
    client, _, _ = gateway
    assert "m" in [model.id async for model in client.models.list()]
    answer = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert answer.choices[0].message is not None


async def test_the_tools_of_a_connector_are_listed(gateway: tuple[AsyncOpenAI, ModelServer, Process]) -> None:
    client, _, _ = gateway
    listed = await client.get("/connectors/connector_demo/tools", cast_to=httpx.Response)
    tools = {tool["name"]: tool for tool in listed.json()["data"]}
    assert tools["echo"]["input_schema"]["required"] == ["message"]
    with pytest.raises(openai.NotFoundError):
        await client.get("/connectors/nothing/tools", cast_to=httpx.Response)


async def test_sigterm_ends_a_gateway_with_open_sessions(gateway: tuple[AsyncOpenAI, ModelServer, Process]) -> None:
    client, _, process = gateway
    await client.responses.create(model="m", tools=[tool()], input="say hi")
    process.terminate()
    assert process.returncode == 0
