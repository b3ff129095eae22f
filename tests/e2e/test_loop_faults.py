"""What models and their servers do wrong between calls, through a real gateway process: nothing runs that was not meant, or runs twice."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from starlette.responses import Response

from tests.support.mcp_servers import ECHO_TOOL, ScriptedServer, hang, result, serving
from tests.support.model_server import Call, Round
from tests.support.running_gateway import ANSWER, ECHO, RunningGateway, calls_of, mcp_tool, read_by_model, respond, running_gateway

STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
NO_OBJECTS = ['{"message": "hi"', '["hi"]', '"hi"', "7", "null", "", "message=hi", '{"message": NaN}', '{"message": "hi"} {}']


async def with_parameters(request: dict[str, Any]) -> Response:
    return result(request, {"tools": [{**ECHO_TOOL, "inputSchema": {"type": "object", "properties": {"message": {"type": "string"}}}}]})


@STREAM
@pytest.mark.parametrize("arguments", NO_OBJECTS)
async def test_a_call_whose_arguments_are_no_json_object_fails_and_reaches_no_server(
    shared_gateway: RunningGateway, client: AsyncOpenAI, arguments: str, stream: bool
) -> None:
    server = ScriptedServer({"tools/list": with_parameters})
    model = shared_gateway.plays(Round(calls=[Call("mcp__demo__echo", arguments)]), ECHO, ANSWER)
    async with serving(server.app()) as url:
        tools = [mcp_tool(await shared_gateway.connector(url))]
        response = await respond(client, stream=stream, model=model, tools=tools, input="hi")
    assert (response.status, response.output_text) == ("completed", "That is all.")
    failed, worked = calls_of(response)
    assert (failed.status, failed.output, failed.arguments) == ("failed", None, arguments)
    assert failed.error.type == "mcp_tool_execution_error"
    assert "call the tool again with" in failed.error.content[0]["text"]
    assert failed.error.content[0]["text"] in read_by_model(shared_gateway.asked(model))[0]
    assert (worked.status, worked.output) == ("completed", "well")
    # The second call, whose arguments are an object, is the only one that the server got.
    assert [params["arguments"] for method, _, params in server.requests if method == "tools/call"] == [{"message": "hi"}]


@STREAM
async def test_a_model_that_calls_tools_for_ever_answers_without_them_after_ten_rounds(
    shared_gateway: RunningGateway, client: AsyncOpenAI, stream: bool
) -> None:
    server = ScriptedServer()
    model = shared_gateway.plays(*[ECHO] * 10, ANSWER)
    async with serving(server.app()) as url:
        tools = [mcp_tool(await shared_gateway.connector(url))]
        response = await respond(client, stream=stream, model=model, tools=tools, input="hi")
    assert (response.status, response.output_text) == ("completed", "That is all.")
    assert [call.output for call in calls_of(response)] == ["well"] * 10
    assert server.asked("tools/call") == 10
    assert ["tools" in body for body in shared_gateway.asked(model)] == [True] * 10 + [False]


@STREAM
async def test_a_model_that_calls_tools_even_when_it_has_none_is_stopped(
    shared_gateway: RunningGateway, client: AsyncOpenAI, stream: bool
) -> None:
    server = ScriptedServer()
    model = shared_gateway.plays(*[ECHO] * 20)
    async with serving(server.app()) as url:
        tools = [mcp_tool(await shared_gateway.connector(url))]
        response = await respond(client, stream=stream, model=model, tools=tools, input="hi")
    assert response.status == "completed"
    assert [item.type for item in response.output] == ["mcp_list_tools", *["mcp_call"] * 10]
    assert (server.asked("tools/call"), len(shared_gateway.asked(model))) == (10, 11)


# --- no repetition ------------------------------------------------------------------------------------------------------------------------

#: The round after the one that called a tool.
BREAKS: dict[str, Round] = {
    "429": Round(status=429),
    "500": Round(status=500),
    "503": Round(status=503),
    "refused by the model server": Round(status=400, error="the prompt is too long"),
    "connection lost at once": Round(text="half an answer", drop=0),
    "connection lost": Round(text="half an answer", drop=2),
    "error in the stream": Round(text="half an answer", error="out of memory", after=2),
}


@STREAM
@pytest.mark.parametrize("case", BREAKS)
async def test_once_a_tool_has_run_the_client_does_not_repeat_the_request(shared_gateway: RunningGateway, case: str, stream: bool) -> None:
    server = ScriptedServer()
    model = shared_gateway.plays(ECHO, BREAKS[case])
    async with serving(server.app()) as url, shared_gateway.client(max_retries=2) as client:
        request: dict[str, Any] = {"model": model, "tools": [mcp_tool(await shared_gateway.connector(url))], "input": "hi"}
        if stream:
            with pytest.raises(openai.APIError):
                await respond(client, stream=True, **request)
        else:
            with pytest.raises(openai.APIStatusError) as failed:
                await respond(client, stream=False, **request)
            assert failed.value.response.headers["x-should-retry"] == "false"
    assert (server.asked("tools/call"), len(shared_gateway.asked(model))) == (1, 2)


@pytest.mark.parametrize("case", BREAKS)
async def test_a_stream_that_breaks_after_a_tool_has_run_tells_of_both(shared_gateway: RunningGateway, case: str) -> None:
    async with serving(ScriptedServer().app()) as url, httpx.AsyncClient(trust_env=False, timeout=60) as http:
        tools = [mcp_tool(await shared_gateway.connector(url))]
        request = {"model": shared_gateway.plays(ECHO, BREAKS[case]), "tools": tools, "input": "hi", "stream": True}
        answer = await http.post(f"{shared_gateway.url}/responses", json=request)
    assert answer.status_code == 200
    *data, done = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert done == "[DONE]"
    events = [json.loads(event) for event in data]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    response = events[-1]["response"]
    assert response["error"]["message"] == events[-2]["message"]
    assert [(item["type"], item.get("output")) for item in response["output"][:2]] == [("mcp_list_tools", None), ("mcp_call", "well")]


@STREAM
async def test_before_a_tool_has_run_the_client_may_repeat_the_request(shared_gateway: RunningGateway, stream: bool) -> None:
    server = ScriptedServer()
    model = shared_gateway.plays(Round(status=503))
    async with serving(server.app()) as url, shared_gateway.client(max_retries=1) as client:
        tools = [mcp_tool(await shared_gateway.connector(url))]
        with pytest.raises(openai.InternalServerError):
            await respond(client, stream=stream, model=model, tools=tools, input="hi")
    assert (server.asked("tools/call"), len(shared_gateway.asked(model))) == (0, 2)


@STREAM
async def test_a_gateway_that_stops_during_a_call_does_not_ask_for_repetition(tmp_path: Path, stream: bool) -> None:
    server, called = ScriptedServer(), asyncio.Event()

    async def hanging(request: dict[str, Any]) -> Response:
        called.set()
        return await hang(request)

    server.answers["tools/call"] = hanging
    with running_gateway(tmp_path) as gateway:
        async with serving(server.app()) as url, gateway.client(max_retries=2) as client:
            model, tools = gateway.plays(ECHO), [mcp_tool(await gateway.connector(url))]
            asking = asyncio.create_task(respond(client, stream=stream, model=model, tools=tools, input="hi"))
            await called.wait()
            await asyncio.to_thread(gateway.process.terminate)
            # A repetition would find nobody: another error.
            with pytest.raises(openai.APIError, match="the gateway is stopping"):
                await asking
        assert server.asked("tools/call") == 1
