"""Streams, event by event, as OpenAI's strict client reads them."""

import asyncio
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from junctor.gateway.models.ports import ReasoningDelta, RoundAccepted, RoundEnd, TextDelta, UpstreamError
from junctor.gateway.responses.loop import LoopLimits
from junctor.gateway.tools.ports import ToolFailure, ToolOutcome
from junctor.gateway.tools.server_errors import ListingFailed
from tests.unit.gateway.responses.fakes import GMAIL, FakeUpstream, Gateway, RawExchange, Step, answer, call, calls, function, mcp
from tests.unit.gateway.tools.servers import FakeServer, tool

TYPES_OF_A_CALL = [
    "response.output_item.added",
    "response.mcp_call.in_progress",
    "response.mcp_call_arguments.delta",
    "response.mcp_call_arguments.done",
]
TYPES_OF_A_MESSAGE = [
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]
TYPES_OF_THE_BEGINNING = ["response.created", "response.in_progress"]
TYPES_OF_A_LIST = [
    "response.output_item.added",
    "response.mcp_list_tools.in_progress",
    "response.mcp_list_tools.completed",
    "response.output_item.done",
]


async def events_of(gateway: Gateway, **fields: Any) -> list[Any]:
    stream = await gateway.client.responses.create(model="m", input="hi", stream=True, **fields)
    events = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    return events


def types(events: list[Any]) -> list[str]:
    return [event.type for event in events]


async def test_one_call_in_the_order_of_openai() -> None:
    rounds = calls(call("mcp__git__search", '{"q": "x"}'), before=[ReasoningDelta("hm"), ReasoningDelta("m")]), answer()
    server = FakeServer(tool("search", q="string", read_only=True))
    events = await events_of(Gateway(FakeUpstream(*rounds), {GMAIL: server}), tools=[mcp()])
    assert types(events) == [
        *TYPES_OF_THE_BEGINNING,
        *TYPES_OF_A_LIST,
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_text.delta",
        "response.reasoning_text.delta",
        "response.reasoning_text.done",
        "response.content_part.done",
        "response.output_item.done",
        *TYPES_OF_A_CALL,
        "response.mcp_call.completed",
        "response.output_item.done",
        *TYPES_OF_A_MESSAGE,
        "response.completed",
    ]
    final = events[-1].response
    assert [item.type for item in final.output] == ["mcp_list_tools", "reasoning", "mcp_call", "message"]
    assert [item.id.split("_")[0] for item in final.output] == ["mcpl", "rs", "mcp", "msg"]
    assert [event.item for event in events if event.type == "response.output_item.done"] == final.output
    listed = final.output[0].tools[0]
    assert (listed.name, listed.annotations) == ("search", {"read_only": True})
    made = final.output[2]
    assert (made.name, made.arguments, made.output, made.error, made.status) == (
        "search",
        '{"q": "x"}',
        "search{'q': 'x'}",
        None,
        "completed",
    )
    assert final.usage.to_dict() == {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 30,
    }
    begun = next(event for event in events if event.type == "response.output_item.added" and event.item.type == "mcp_call")
    assert (begun.item.arguments, begun.item.status) == ("", "in_progress")
    assert events[0].response.output == []


async def test_calls_end_in_the_order_of_the_model_whatever_the_order_of_the_servers() -> None:
    second_ended = asyncio.Event()

    async def behaviour(name: str, arguments: Any) -> ToolOutcome:
        if name == "first":
            await second_ended.wait()
            return ToolOutcome(None, ToolFailure("http", "gone", 502), "Error: gone")
        second_ended.set()
        return ToolOutcome(name, None, name)

    server = FakeServer(tool("first"), tool("second"), behaviour=behaviour)
    upstream = FakeUpstream(calls(call("mcp__git__first"), call("mcp__git__second")), answer())
    events = await events_of(Gateway(upstream, {GMAIL: server}), tools=[mcp()])
    assert types(events)[6:-7] == [
        *TYPES_OF_A_CALL,
        *TYPES_OF_A_CALL,
        "response.mcp_call.failed",
        "response.output_item.done",
        "response.mcp_call.completed",
        "response.output_item.done",
    ]
    failed, fine = events[-1].response.output[1:3]
    assert (failed.status, failed.output, failed.error.to_dict()) == (
        "failed",
        None,
        {"type": "http_error", "code": 502, "message": "gone"},
    )
    assert fine.output == "second"
    assert [(message.call_id, message.content) for message in upstream.requests[1].messages[-2:]] == [
        ("call_mcp__git__first", "Error: gone"),
        ("call_mcp__git__second", "second"),
    ]


async def test_an_approval_is_an_item_and_ends_the_response() -> None:
    server = FakeServer(tool("read"), tool("write"))
    upstream = FakeUpstream(calls(call("mcp__git__write", '{"a":1}'), call("mcp__git__read")))
    tools = [mcp(require_approval={"never": {"tool_names": ["read"]}})]
    events = await events_of(Gateway(upstream, {GMAIL: server}), tools=tools)
    assert types(events)[6:] == [
        "response.output_item.added",
        "response.output_item.done",
        *TYPES_OF_A_CALL,
        "response.mcp_call.completed",
        "response.output_item.done",
        "response.completed",
    ]
    final = events[-1].response
    request = final.output[1]
    assert (request.type, request.name, request.arguments, request.id[:5]) == ("mcp_approval_request", "write", '{"a":1}', "mcpr_")
    assert final.status == "completed"
    assert [name for name, _ in server.calls] == ["read"]
    assert len(upstream.requests) == 1


async def test_calls_of_both_kinds_run_here_and_end_there() -> None:
    server = FakeServer(tool("read"))
    upstream = FakeUpstream(calls(call("weather", '{"city":"x"}'), call("mcp__git__read"), before=[TextDelta("Let me see.")]))
    gateway = Gateway(upstream, {GMAIL: server})
    async with gateway.client.responses.stream(model="m", input="hi", tools=[mcp(), function("weather")]) as stream:
        seen = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert seen[-6:] == [
        "response.output_item.done",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [item.type for item in final.output] == ["mcp_list_tools", "message", "mcp_call", "function_call"]
    assert server.calls
    assert len(upstream.requests) == 1


class City(BaseModel):
    name: str


async def test_text_before_calls_is_commentary_when_json_is_wanted() -> None:
    server = FakeServer(tool("read"))
    upstream = FakeUpstream(
        calls(call("mcp__git__read"), before=[TextDelta("Let me "), ReasoningDelta("hm"), TextDelta("see.")]), answer('{"name": "Bonn"}')
    )
    gateway = Gateway(upstream, {GMAIL: server})
    async with gateway.client.responses.stream(model="m", input="hi", tools=[mcp()], text_format=City) as stream:
        final = await stream.get_final_response()
    assert [getattr(item, "phase", None) for item in final.output] == [None, "commentary", None, "commentary", None, "final_answer"]
    assert final.output_parsed == City(name="Bonn")
    parsed = await Gateway(FakeUpstream(*upstream.rounds), {GMAIL: server}).client.responses.parse(
        model="m", input="hi", tools=[mcp()], text_format=City
    )
    assert parsed.output_parsed == City(name="Bonn")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_without_a_list_is_a_424_before_the_first_byte(stream: bool) -> None:
    hanging = FakeServer(hangs=True)
    failing = FakeServer(error=ListingFailed("It wants other credentials.", 401))
    gateway = Gateway(FakeUpstream(), {GMAIL: failing, "connector_dropbox": hanging})
    with pytest.raises(openai.APIStatusError) as refused:
        await gateway.client.responses.create(model="m", input="hi", stream=stream, tools=[mcp("box", "connector_dropbox"), mcp("mail")])
    error = refused.value
    assert (error.status_code, error.type, error.param, error.code) == (424, "external_connector_error", "tools", "http_error")
    assert "'mail'" in error.message
    assert "401" in error.message
    assert hanging.cancelled == 1
    assert not gateway.upstream.requests


async def test_a_listing_has_a_deadline() -> None:
    server = FakeServer(hangs=True)
    gateway = Gateway(FakeUpstream(), {GMAIL: server}, limits=LoopLimits(listing_seconds=0))
    with pytest.raises(openai.APIStatusError, match="504") as refused:
        await gateway.client.responses.create(model="m", input="hi", tools=[mcp()])
    assert refused.value.status_code == 424
    assert server.cancelled == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("before", [[], [RoundAccepted()]], ids=["refused", "accepted"])
async def test_a_refusal_of_the_model_server_keeps_its_status_until_the_first_byte(before: list[Step], stream: bool) -> None:
    refusal = UpstreamError("too long", status=400, code="context_length_exceeded", param="input")
    gateway = Gateway(FakeUpstream([*before, refusal]))
    with pytest.raises(openai.BadRequestError, match="too long") as refused:
        await gateway.client.responses.create(model="m", input="hi", stream=stream)
    assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "input")
    assert "x-should-retry" not in refused.value.response.headers


@pytest.mark.parametrize("stream", [False, True])
async def test_a_busy_model_server_says_when_to_come_again(stream: bool) -> None:
    gateway = Gateway(FakeUpstream([UpstreamError("busy", status=429, code="rate_limit_exceeded", retry_after=7)]))
    with pytest.raises(openai.RateLimitError, match="busy") as refused:
        await gateway.client.responses.create(model="m", input="hi", stream=stream)
    assert refused.value.response.headers["retry-after"] == "7"
    assert (refused.value.type, refused.value.code) == ("rate_limit_error", "rate_limit_exceeded")


async def test_logprobs_come_with_their_text_and_with_the_whole() -> None:
    tokens = [
        {"token": text, "logprob": -0.5, "bytes": list(text.encode()), "top_logprobs": [{"token": "x", "logprob": -1.0, "bytes": [120]}]}
        for text in ("Wel", "come")
    ]
    upstream = FakeUpstream([*(TextDelta(token["token"], [token]) for token in tokens), RoundEnd("stop")])  # type: ignore[arg-type]
    events = await events_of(Gateway(upstream), include=["message.output_text.logprobs"], top_logprobs=1)
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert [logprob.token for event in deltas for logprob in event.logprobs] == ["Wel", "come"]
    [done] = [event for event in events if event.type == "response.output_text.done"]
    whole = events[-1].response.output[0].content[0].logprobs
    assert [logprob.to_dict() for logprob in done.logprobs] == [logprob.to_dict() for logprob in whole] == tokens


async def test_a_stream_that_breaks_ends_with_error_and_failed() -> None:
    upstream = FakeUpstream(calls(call("mcp__git__read")), [TextDelta("Wel"), UpstreamError("it broke")])
    gateway = Gateway(upstream, {GMAIL: FakeServer(tool("read"))})
    stream = await gateway.client.responses.create(model="m", input="hi", stream=True, tools=[mcp()])
    with pytest.raises(openai.APIError, match="it broke") as broken:
        [event async for event in stream]
    assert broken.value.type == "server_error"
    exchange = RawExchange(gateway.app, b'{"model": "m", "input": "hi", "stream": true}')
    await exchange.run()
    frames = exchange.sent.decode().strip().split("\n\n")
    assert [frame.split("\n")[0] for frame in frames[-3:]] == ["event: error", "event: response.failed", "data: [DONE]"]
    assert '"status":"incomplete"' in frames[-4]


@pytest.mark.parametrize("breaks", [[UpstreamError("gone", status=503, retry_after=7)], [RuntimeError("bug")], [TextDelta("x")], []])
async def test_once_a_tool_ran_no_error_asks_for_repetition(breaks: list[Step]) -> None:
    gateway = Gateway(FakeUpstream(calls(call("mcp__git__read")), breaks), {GMAIL: FakeServer(tool("read"))})
    with pytest.raises(openai.InternalServerError) as refused:
        await gateway.client.responses.create(model="m", input="hi", tools=[mcp()])
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.value.response.headers


@pytest.mark.parametrize(("said", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
async def test_an_answer_that_is_cut_off_is_incomplete(said: str, reason: str) -> None:
    server = FakeServer(tool("read"))
    cut: list[Step] = [TextDelta("Wel"), RoundEnd(said, (call("mcp__git__read"),))]
    events = await events_of(Gateway(FakeUpstream(cut), {GMAIL: server}), tools=[mcp()])
    final = events[-1].response
    assert (events[-1].type, final.status, final.incomplete_details.reason) == ("response.incomplete", "incomplete", reason)
    assert final.output[-1].status == "incomplete"
    assert not server.calls
