"""The openai client, through a real gateway process: a connector by its id, a real MCP server, a scripted model."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from tests.support.mcp_servers import sdk_server, serving
from tests.support.running_gateway import ANSWER, ECHO, RunningGateway, mcp_tool, respond, running_gateway


@pytest.fixture
async def tools_server() -> AsyncIterator[str]:
    async with serving(sdk_server().streamable_http_app()) as url:
        yield url


@pytest.fixture
async def connector(shared_gateway: RunningGateway, tools_server: str) -> str:
    return await shared_gateway.connector(tools_server, description="A server for tests")


async def test_a_connector_is_called_by_its_id(shared_gateway: RunningGateway, client: AsyncOpenAI, connector: str) -> None:
    model = shared_gateway.plays(ECHO, ANSWER)
    response = await client.responses.create(model=model, tools=[mcp_tool(connector)], input="say hi")
    assert response.status == "completed", shared_gateway.process.tail()
    assert [item.type for item in response.output] == ["mcp_list_tools", "mcp_call", "message"]
    call = response.output[1]
    assert call.type == "mcp_call"
    assert (call.name, call.server_label, call.error) == ("echo", "demo", None)
    assert call.output == "Echo: hi"
    assert response.output_text == "That is all."


async def test_a_connector_is_called_by_its_id_in_a_stream(shared_gateway: RunningGateway, client: AsyncOpenAI, connector: str) -> None:
    model = shared_gateway.plays(ECHO, ANSWER)
    events = [event async for event in await client.responses.create(model=model, tools=[mcp_tool(connector)], input="say hi", stream=True)]
    kinds = [event.type for event in events]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert "response.mcp_call.completed" in kinds


async def test_chat_completions_and_models_are_passed_through(shared_gateway: RunningGateway, client: AsyncOpenAI) -> None:
    model = shared_gateway.plays(ANSWER)
    assert model in [listed.id async for listed in client.models.list()]
    answer = await client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])
    assert answer.choices[0].message.content == "That is all."


async def test_the_tools_of_a_connector_are_listed(client: AsyncOpenAI, connector: str) -> None:
    listed = await client.get(f"/connectors/{connector}/tools", cast_to=httpx.Response)
    tools = {tool["name"]: tool for tool in listed.json()["data"]}
    assert tools["echo"]["input_schema"]["required"] == ["message"]
    with pytest.raises(openai.NotFoundError):
        await client.get("/connectors/nothing/tools", cast_to=httpx.Response)


async def test_sigterm_ends_a_gateway_with_open_sessions(tools_server: str, tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway:
        tools = [mcp_tool(await gateway.connector(tools_server))]
        async with gateway.client() as client:
            await respond(client, stream=False, model=gateway.plays(ECHO, ANSWER), tools=tools, input="say hi")
        gateway.process.terminate()
        assert gateway.process.returncode == 0
