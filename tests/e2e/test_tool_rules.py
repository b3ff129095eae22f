"""What a request says of its tools, through a real gateway process to a model server with vLLM's rules: what is offered, and what runs."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.support.mcp_servers import ECHO_TOOL, ScriptedServer, result, serving
from tests.support.model_server import Call, Round
from tests.support.running_gateway import ANSWER, ECHO, RunningGateway, calls_of, mcp_tool, read_by_model, respond

STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
WEATHER: Any = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
ALL = ["mcp__demo__echo", "mcp__demo__drop", "weather"]


async def two_tools(request: dict[str, Any]) -> Any:
    return result(request, {"tools": [ECHO_TOOL, {**ECHO_TOOL, "name": "drop"}]})


@pytest.fixture
async def server(shared_gateway: RunningGateway) -> AsyncIterator[tuple[ScriptedServer, str]]:
    """A server with the tools `echo` and `drop`, and its connector."""
    scripted = ScriptedServer({"tools/list": two_tools})
    async with serving(scripted.app()) as url:
        yield scripted, await shared_gateway.connector(url)


def called(server: ScriptedServer) -> list[str]:
    """The tools that were called at the server."""
    return [params["name"] for method, _, params in server.requests if method == "tools/call"]


@STREAM
@pytest.mark.parametrize(
    ("choice", "offered", "sent"),
    [
        ("auto", ALL, "auto"),
        ("required", ALL, "required"),
        ("none", [], None),
        ({"type": "function", "name": "weather"}, ["weather"], {"type": "function", "function": {"name": "weather"}}),
        ({"type": "mcp", "server_label": "demo"}, ALL[:2], "required"),
        ({"type": "mcp", "server_label": "demo", "name": "drop"}, ALL[1:2], {"type": "function", "function": {"name": ALL[1]}}),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "server_label": "demo"}]}, ALL[:2], "auto"),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]}, ALL[2:], "required"),
    ],
    ids=["auto", "required", "none", "function", "server", "tool", "allowed, auto", "allowed, required"],
)
async def test_the_model_server_takes_every_form_of_tool_choice(
    shared_gateway: RunningGateway,
    client: AsyncOpenAI,
    server: tuple[ScriptedServer, str],
    choice: Any,
    offered: Any,
    sent: Any,
    stream: bool,
) -> None:
    model = shared_gateway.plays(ANSWER)
    tools = [mcp_tool(server[1]), WEATHER]
    response = await respond(client, stream=stream, model=model, tools=tools, tool_choice=choice, input="hi")
    assert response.to_dict()["tool_choice"] == choice
    [asked] = shared_gateway.asked(model)
    assert [tool["function"]["name"] for tool in asked.get("tools", [])] == offered
    assert asked.get("tool_choice") == sent


@STREAM
@pytest.mark.parametrize("allowed", [["echo"], {"tool_names": ["echo"]}], ids=["list", "filter"])
async def test_a_tool_that_is_not_allowed_is_not_called_even_if_the_model_knows_it(
    shared_gateway: RunningGateway, client: AsyncOpenAI, server: tuple[ScriptedServer, str], allowed: Any, stream: bool
) -> None:
    model = shared_gateway.plays(Round(calls=[Call("mcp__demo__drop"), Call("mcp__demo__made_up")]), ECHO, ANSWER)
    tools = [mcp_tool(server[1], allowed_tools=allowed)]
    response = await respond(client, stream=stream, model=model, tools=tools, input="hi")
    assert [item.type for item in response.output] == ["mcp_list_tools", "mcp_call", "message"]
    assert called(server[0]) == ["echo"]
    told = read_by_model(shared_gateway.asked(model)[:2])
    assert ["there is no tool" in text and "mcp__demo__echo" in text for text in told] == [True, True]


@STREAM
async def test_calls_beyond_max_tool_calls_are_not_made(
    shared_gateway: RunningGateway, client: AsyncOpenAI, server: tuple[ScriptedServer, str], stream: bool
) -> None:
    model = shared_gateway.plays(ECHO, Round(calls=[*ECHO.calls, Call("mcp__demo__drop", {})]), ANSWER)
    response = await respond(client, stream=stream, model=model, tools=[mcp_tool(server[1])], max_tool_calls=2, input="hi")
    assert (response.status, response.output_text) == ("completed", "That is all.")
    assert called(server[0]) == ["echo", "echo"]
    assert "the limit of tool calls is reached" in read_by_model(shared_gateway.asked(model))[-1]
    assert "tools" not in shared_gateway.asked(model)[-1]


@STREAM
async def test_only_the_first_call_is_made_when_calls_must_not_be_parallel(
    shared_gateway: RunningGateway, client: AsyncOpenAI, server: tuple[ScriptedServer, str], stream: bool
) -> None:
    model = shared_gateway.plays(Round(calls=[*ECHO.calls, Call("mcp__demo__drop", {})]), ANSWER)
    await respond(client, stream=stream, model=model, tools=[mcp_tool(server[1])], parallel_tool_calls=False, input="hi")
    assert called(server[0]) == ["echo"]
    assert shared_gateway.asked(model)[0]["parallel_tool_calls"] is False


@STREAM
async def test_a_turn_with_calls_of_both_kinds_goes_on_when_the_caller_has_done_its_part(
    shared_gateway: RunningGateway, client: AsyncOpenAI, server: tuple[ScriptedServer, str], stream: bool
) -> None:
    tools = [mcp_tool(server[1]), WEATHER]
    both = Round(text="Let me see.", calls=[Call("weather"), *ECHO.calls])
    first = await respond(client, stream=stream, model=shared_gateway.plays(both), tools=tools, input="hi")
    assert [item.type for item in first.output] == ["mcp_list_tools", "message", "mcp_call", "function_call"]
    [ran], function = calls_of(first), first.output[-1]
    assert (ran.output, function.type == "function_call" and function.name) == ("well", "weather")
    done = {"type": "function_call_output", "call_id": getattr(function, "call_id", ""), "output": "rain"}
    model = shared_gateway.plays(both, ANSWER)
    second = await respond(client, stream=stream, model=model, tools=tools, input=[{"role": "user", "content": "hi"}, *first.output, done])
    assert second.output_text == "That is all."
    assert sorted(read_by_model(shared_gateway.asked(model))) == ["rain", "well"]
    assert called(server[0]) == ["echo"]
