"""Servers that give no list of tools: what the callers of a real gateway process are told, before the first byte."""

import asyncio
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from starlette.responses import Response

from tests.support.mcp_servers import ECHO_TOOL, Answer, ScriptedServer, answering, hang, result, sdk_server, serving
from tests.support.ports import free_port
from tests.support.running_gateway import ANSWER, ECHO, RunningGateway, calls_of, mcp_tool, respond

STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


async def no_schema(request: dict[str, Any]) -> Response:
    return result(request, {"tools": [ECHO_TOOL, {**ECHO_TOOL, "name": "bad", "inputSchema": {}}]})


SHORT = {"connectTimeoutSeconds": 1, "callTimeoutSeconds": 1}
#: The faulty answers by method, and what the error says.
LISTING: dict[str, tuple[dict[str, Answer], str]] = {
    "handshake 401": (dict.fromkeys(("server/discover", "initialize"), answering(401)), "Http status code: 401"),
    "handshake 500": (dict.fromkeys(("server/discover", "initialize"), answering(500)), "Http status code: 500"),
    "handshake without end": (dict.fromkeys(("server/discover", "initialize"), hang), "Http status code: 504"),
    "list 401": ({"tools/list": answering(401)}, "Http status code: 401"),
    "list 500": ({"tools/list": answering(500)}, "Http status code: 500"),
    "list without end": ({"tools/list": hang}, "Http status code: 504"),
    "invalid schema": ({"tools/list": no_schema}, "does not conform to MCP (tools.1.inputSchema"),
}


async def assert_not_listed(client: AsyncOpenAI, says: str, **request: Any) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        await client.responses.create(input="hi", **request)
    assert caught.value.status_code == 424
    error = caught.value.response.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("external_connector_error", "http_error", "tools")
    assert error["message"].startswith("Error retrieving tool list from MCP server: 'bad'.")
    assert says in error["message"]


@STREAM
@pytest.mark.parametrize("case", LISTING)
async def test_a_server_that_gives_no_list_is_a_424_until_it_gives_one(
    shared_gateway: RunningGateway, client: AsyncOpenAI, case: str, stream: bool
) -> None:
    answers, says = LISTING[case]
    server = ScriptedServer(dict(answers))
    model = shared_gateway.plays(ANSWER)
    async with serving(server.app()) as url, serving(sdk_server().streamable_http_app()) as well:
        # The error is about the one that fails, wherever it stands.
        tools = [
            mcp_tool(await shared_gateway.connector(well), "well"),
            mcp_tool(await shared_gateway.connector(url, limits=SHORT), "bad"),
        ]
        await assert_not_listed(client, says, model=model, tools=tools, stream=stream)
        assert shared_gateway.asked(model) == []
        server.answers.clear()
        response = await respond(client, stream=stream, model=model, tools=tools, input="hi")
    assert [item.type for item in response.output] == ["mcp_list_tools", "mcp_list_tools", "message"]


@STREAM
async def test_a_server_that_refuses_connections_is_a_424_until_it_is_there(
    shared_gateway: RunningGateway, client: AsyncOpenAI, stream: bool
) -> None:
    port, model = free_port(), shared_gateway.plays(ANSWER)
    tools = [mcp_tool(await shared_gateway.connector(f"http://127.0.0.1:{port}"), "bad")]
    await assert_not_listed(client, "refuses connections", model=model, tools=tools, stream=stream)
    async with serving(sdk_server().streamable_http_app(), port):
        assert (await respond(client, stream=stream, model=model, tools=tools, input="hi")).output_text == "That is all."


@STREAM
async def test_other_requests_go_on_while_a_listing_fails(shared_gateway: RunningGateway, client: AsyncOpenAI, stream: bool) -> None:
    asked, released = asyncio.Event(), asyncio.Event()

    async def late(_: Any) -> Response:
        asked.set()
        await released.wait()
        return Response(status_code=500)

    async with serving(ScriptedServer({"tools/list": late}).app()) as url, serving(sdk_server().streamable_http_app()) as well:
        failing = {"model": shared_gateway.plays(ANSWER), "tools": [mcp_tool(await shared_gateway.connector(url), "bad")]}
        refused = asyncio.create_task(assert_not_listed(client, "Http status code: 500", **failing, stream=stream))
        await asked.wait()
        tools = [mcp_tool(await shared_gateway.connector(well))]
        response = await respond(client, stream=stream, model=shared_gateway.plays(ECHO, ANSWER), tools=tools, input="hi")
        assert calls_of(response)[0].output == "Echo: hi"
        assert not refused.done()
        released.set()
        await refused
