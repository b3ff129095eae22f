"""Calls of tools that fail, through a real gateway process: the item says why, the model reads it, and the next call works."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError
from openai import AsyncOpenAI
from openai.types.responses import Response as Answered
from openai.types.responses.response_item import McpCall
from starlette.responses import Response
from starlette.types import ASGIApp

from tests.support.mcp_servers import (
    Answer,
    LegacyOnly,
    ScriptedServer,
    answering,
    error,
    everything,
    result,
    sdk_server,
    serving,
    text_result,
)
from tests.support.model_server import Call, Round
from tests.support.ports import free_port
from tests.support.running_gateway import ANSWER, ECHO, RunningGateway, calls_of, mcp_tool, read_by_model, respond

STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
ERAS = pytest.mark.parametrize("era", ["modern", "legacy"])


def first(fault: Answer, times: int = 1) -> Answer:
    """What a server answers that is faulty for some calls, and then well."""
    faults = iter(range(times))

    async def answer(request: dict[str, Any]) -> Response:
        return text_result(request, "well") if next(faults, None) is None else await fault(request)

    return answer


def sdk_app(era: str, server: MCPServer | None = None) -> ASGIApp:
    app = (server or sdk_server()).streamable_http_app()
    return LegacyOnly(app) if era == "legacy" else app


def faulty_server() -> MCPServer:
    server = sdk_server()

    @server.tool()
    def refuses() -> str:
        """Answer with an error of JSON-RPC."""
        raise MCPError(code=-32050, message="out of tokens")

    return server


#: Tool, arguments, the error of the item (text in `content` as a part of it), on servers of the SDK.
REAL: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "isError": ("fails", {}, {"type": "mcp_tool_execution_error", "content": "Error executing tool fails"}),
    "JSON-RPC error": ("refuses", {}, {"type": "mcp_protocol_error", "code": -32050, "message": "out of tokens"}),
    "timeout": ("slow", {"seconds": 600}, {"type": "http_error", "code": 504, "message": "the server did not answer in time"}),
    "oversize": ("echo", {"message": "x" * 2000}, {"type": "mcp_tool_execution_error", "content": "2006 bytes, more than the 1024"}),
}


async def unknown_session(request: dict[str, Any]) -> Response:
    return error(request, -32600, "Session not found", 404)


async def is_error(request: dict[str, Any]) -> Response:
    return result(request, {"isError": True, "content": [{"type": "text", "text": "no such city"}]})


#: The answer to the first call, how often it comes, and the error of the item.
SCRIPTED: dict[str, tuple[Answer, int, dict[str, Any]]] = {
    "401": (answering(401), 1, {"type": "http_error", "code": 401, "message": "the server answered HTTP 401"}),
    "500": (answering(500), 1, {"type": "http_error", "code": 500, "message": "the server answered HTTP 500"}),
    "isError": (is_error, 1, {"type": "mcp_tool_execution_error", "content": "no such city"}),
    # Once is repaired without anybody's notice, as nothing was executed.
    "session lost twice": (
        unknown_session,
        2,
        {"type": "http_error", "code": 404, "message": "the server does not know the session any more"},
    ),
}


def assert_failed(call: McpCall, want: Mapping[str, Any], read: str) -> None:
    """The item has this error, and the model read its text."""
    assert (call.status, call.output) == ("failed", None)
    assert call.error is not None
    told: dict[str, Any] = call.error.model_dump() if not isinstance(call.error, str) else {}
    if "content" in want:
        [part] = told.pop("content")
        assert part["type"] == "text"
        assert want["content"] in part["text"]
        told["content"] = want["content"]
    assert told == want
    assert str(want.get("content") or want["message"]) in read


@STREAM
@ERAS
@pytest.mark.parametrize("case", REAL)
async def test_a_call_that_fails_on_a_real_server_is_told_and_the_next_works(
    shared_gateway: RunningGateway, client: AsyncOpenAI, case: str, era: str, stream: bool
) -> None:
    tool, arguments, want = REAL[case]
    model = shared_gateway.plays(Round(calls=[Call(f"mcp__demo__{tool}", arguments)]), ECHO, ANSWER)
    limits = {"maxResultBytes": 1024, **({"callTimeoutSeconds": 1} if case == "timeout" else {})}
    async with serving(sdk_app(era, faulty_server())) as url:
        tools = [mcp_tool(await shared_gateway.connector(url, limits=limits))]
        response = await respond(client, stream=stream, model=model, tools=tools, input="hi")
    assert_goes_on(response, shared_gateway.asked(model), tool, want, "Echo: hi")


@STREAM
@pytest.mark.parametrize("case", SCRIPTED)
async def test_a_call_that_a_server_refuses_is_told_and_the_next_works(
    shared_gateway: RunningGateway, client: AsyncOpenAI, case: str, stream: bool
) -> None:
    fault, times, want = SCRIPTED[case]
    model = shared_gateway.plays(ECHO, ECHO, ANSWER)
    server = ScriptedServer({"tools/call": first(fault, times)}, with_sessions=True)
    async with serving(server.app()) as url:
        tools = [mcp_tool(await shared_gateway.connector(url))]
        response = await respond(client, stream=stream, model=model, tools=tools, input="hi")
    assert_goes_on(response, shared_gateway.asked(model), "echo", want, "well")
    assert server.asked("tools/call") == times + 1


def assert_goes_on(response: Answered, bodies: Sequence[Mapping[str, Any]], tool: str, want: Mapping[str, Any], output: str) -> None:
    assert [item.type for item in response.output] == ["mcp_list_tools", "mcp_call", "mcp_call", "message"]
    assert (response.status, response.output_text) == ("completed", "That is all.")
    failed, worked = calls_of(response)
    assert failed.name == tool
    assert_failed(failed, want, read_by_model(bodies)[0])
    assert (worked.status, worked.output, worked.error) == ("completed", output, None)


@STREAM
@ERAS
async def test_a_server_that_dies_in_a_call_fails_that_call_only(
    shared_gateway: RunningGateway, client: AsyncOpenAI, era: str, stream: bool
) -> None:
    server, started, port = sdk_server(), asyncio.Event(), free_port()

    @server.tool()
    async def hangs() -> str:
        """Never end."""
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    tools = [mcp_tool(await shared_gateway.connector(f"http://127.0.0.1:{port}"))]
    dying = shared_gateway.plays(Round(calls=[Call("mcp__demo__hangs"), Call("mcp__demo__echo", {"message": "hi"})]), ANSWER)
    async with serving(sdk_app(era, server), port):
        asking = asyncio.create_task(respond(client, stream=stream, model=dying, tools=tools, input="hi"))
        await started.wait()
    response = await asking
    assert (response.status, response.output_text) == ("completed", "That is all.")
    died = calls_of(response)[0]
    assert (died.status, died.error.type, died.error.code) == ("failed", "http_error", 502)
    assert died.error.message in read_by_model(shared_gateway.asked(dying))[0]
    async with serving(sdk_app(era), port):
        response = await respond(client, stream=stream, model=shared_gateway.plays(ECHO, ANSWER), tools=tools, input="hi")
    assert calls_of(response)[0].output == "Echo: hi"


@STREAM
@ERAS
async def test_a_server_that_was_restarted_is_called_once_on_a_new_session(
    shared_gateway: RunningGateway, client: AsyncOpenAI, era: str, stream: bool
) -> None:
    port = free_port()
    tools = [mcp_tool(await shared_gateway.connector(f"http://127.0.0.1:{port}"))]
    for _ in range(2):
        server, executed = sdk_server(), []

        @server.tool()
        def counts() -> str:
            """Count."""
            executed.append(1)  # noqa: B023  # the server is gone when the next begins
            return f"count {len(executed)}"  # noqa: B023

        model = shared_gateway.plays(Round(calls=[Call("mcp__demo__counts")]), ANSWER)
        async with serving(sdk_app(era, server), port):
            response = await respond(client, stream=stream, model=model, tools=tools, input="hi")
        assert [(call.status, call.output) for call in calls_of(response)] == [("completed", "count 1")]
        assert executed == [1]


@STREAM
async def test_the_reference_server_is_gone_and_comes_back(shared_gateway: RunningGateway, client: AsyncOpenAI, stream: bool) -> None:
    port = free_port()
    tools = [mcp_tool(await shared_gateway.connector(f"http://127.0.0.1:{port}"))]
    request: dict[str, Any] = {"tools": tools, "input": "hi"}
    bad = Round(calls=[Call("mcp__demo__echo", {"message": 7})])
    async with everything(port=port):
        response = await respond(client, model=shared_gateway.plays(bad, ECHO, ANSWER), stream=stream, **request)
        assert [(call.status, call.output) for call in calls_of(response)] == [("failed", None), ("completed", "Echo: hi")]
        assert calls_of(response)[0].error.type == "mcp_tool_execution_error"
    gone = shared_gateway.plays(ECHO, ANSWER)
    response = await respond(client, model=gone, stream=stream, **request)
    assert (response.status, response.output_text) == ("completed", "That is all.")
    [call] = calls_of(response)
    assert_failed(
        call, {"type": "http_error", "code": 502, "message": "the server refuses connections"}, read_by_model(shared_gateway.asked(gone))[0]
    )
    async with everything(port=port):
        response = await respond(client, model=shared_gateway.plays(ECHO, ANSWER), stream=stream, **request)
        assert [(call.status, call.output) for call in calls_of(response)] == [("completed", "Echo: hi")]


async def test_the_reference_server_is_killed_in_a_call(shared_gateway: RunningGateway, client: AsyncOpenAI) -> None:
    port = free_port()
    tools = [mcp_tool(await shared_gateway.connector(f"http://127.0.0.1:{port}"))]
    model = shared_gateway.plays(Round(calls=[Call("mcp__demo__trigger-long-running-operation", {"duration": 600})]), ANSWER)
    async with everything(port=port):
        events: Any = aiter(await client.responses.create(model=model, tools=tools, input="hi", stream=True))
        async for event in events:
            if event.type == "response.mcp_call.in_progress":
                break
    response = [event async for event in events][-1].response
    [call] = calls_of(response)
    assert (response.status, call.status, call.error.type, call.error.code) == ("completed", "failed", "http_error", 502)
