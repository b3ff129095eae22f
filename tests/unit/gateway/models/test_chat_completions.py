"""Rounds on a model server, over real connections where the connection matters."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from junctor.gateway.config import base_url
from junctor.gateway.models.chat_completions import ChatCompletionsUpstream
from junctor.gateway.models.model_server import ModelClients, Timeouts
from junctor.gateway.models.ports import (
    ChatMessage,
    FunctionTool,
    ModelCall,
    ModelEvent,
    ModelRequest,
    ReasoningDelta,
    RoundAccepted,
    RoundEnd,
    RoundUsage,
    TextDelta,
    UpstreamError,
)
from tests.support.model_server import Call, ModelServer, Round

USER = ChatMessage("user", "Weather in Köln?")
TOOL = FunctionTool("get_weather", "", {"type": "object", "properties": {"city": {"type": "string"}}})
BERLIN, KOELN = Call("get_weather", {"city": "Berlin"}, "c1"), Call("get_weather", {"city": "Köln 🌦"}, "c2")

SCRIPTS = {
    "text": [Round(text="Sunny in Köln 🌦.", reasoning="Think.")],
    "split": [Round(text="Köln 🌦🌦", split=1)],
    "both": [Round(text="x", reasoning="Think.", reasoning_field="both")],
    "content": [Round(text="x", reasoning="Think.", reasoning_field="reasoning_content")],
    "no-done": [Round(text="Sunny", done=False)],
    "length": [Round(text="Sunny", calls=[Call("get_weather", '{"city": "Ber')], finish_reason="length")],
    "late-error": [Round(text="Sunny in the whole", error={"message": "EngineCore died on 10.0.0.7"}, after=2)],
    "late-refusal": [Round(text="Sunny in the whole", error={"message": "too long", "code": 400}, after=2)],
    "drops": [Round(text="Sunny in the whole", drop=2)],
    "hangs": [Round(text="Sunny in the whole", hang=2)],
    "hangs-at-once": [Round(text="Sunny", hang=0)],
    "overloaded": [Round(status=503, error="10.0.0.7 has no room", retry_after="7")],
    **{style: [Round(calls=[BERLIN, KOELN], style=style)] for style in ("vllm", "together", "leftover", "null")},
}


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer(SCRIPTS, key="sk-gateway") as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[ModelClients]:
    async with ModelClients() as client:
        yield client


@pytest.fixture
def upstream(server: ModelServer, client: ModelClients) -> ChatCompletionsUpstream:
    server.requests.clear()
    server.received.clear()
    return ChatCompletionsUpstream(server.url, clients=client, key=lambda: "sk-gateway", headers={"x-tenant": "a"})


def ask(model: str, **more: Any) -> ModelRequest:
    return ModelRequest(model, [USER], **more)


async def play(upstream: ChatCompletionsUpstream, request: ModelRequest) -> list[ModelEvent]:
    accepted, *events = [event async for event in upstream.round(request)]
    assert accepted == RoundAccepted()
    return events


async def collect(upstream: ChatCompletionsUpstream, request: ModelRequest, events: list[ModelEvent]) -> None:
    async for event in upstream.round(request):
        events.append(event)


async def failure(upstream: ChatCompletionsUpstream, request: ModelRequest) -> tuple[list[ModelEvent], UpstreamError]:
    events: list[ModelEvent] = []
    with pytest.raises(UpstreamError) as caught:
        await collect(upstream, request, events)
    return events, caught.value


def said(events: list[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def thought(events: list[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, ReasoningDelta))


async def test_text_and_reasoning_stream_and_usage_ends(upstream: ChatCompletionsUpstream) -> None:
    *deltas, end = await play(upstream, ask("text"))
    assert (said(deltas), thought(deltas)) == ("Sunny in Köln 🌦.", "Think.")
    assert len(deltas) > 2
    assert end == RoundEnd("stop", (), RoundUsage(3, 5), "text")


async def test_key_and_headers_are_sent(upstream: ChatCompletionsUpstream, server: ModelServer) -> None:
    await play(upstream, ask("text"))
    [request] = server.requests
    assert request.headers["authorization"] == "Bearer sk-gateway"
    assert request.headers["x-tenant"] == "a"
    assert request.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("style", ["vllm", "together", "leftover", "null"])
async def test_calls_come_whole(upstream: ChatCompletionsUpstream, style: str) -> None:
    [end] = await play(upstream, ask(style, tools=[TOOL]))
    assert isinstance(end, RoundEnd)
    assert end.finish_reason == "tool_calls"
    assert list(end.calls) == [ModelCall(call.id, call.name, call.text) for call in (BERLIN, KOELN)]


@pytest.mark.parametrize("choice", ["auto", "none", "required", "get_weather"])
@pytest.mark.parametrize("tools", [(), (TOOL,)])
async def test_server_takes_every_choice(upstream: ChatCompletionsUpstream, choice: str, tools: tuple[FunctionTool, ...]) -> None:
    end = (await play(upstream, ask("text", tools=tools, tool_choice=choice)))[-1]
    assert isinstance(end, RoundEnd)


async def test_definitions_that_collide_are_taken_by_the_server(upstream: ChatCompletionsUpstream) -> None:
    tools = [FunctionTool(name, "", {"$defs": {"Place": {"type": kind}}}) for name, kind in (("a", "string"), ("b", "object"))]
    assert said(await play(upstream, ask("text", tools=tools, tool_choice="required")))


@pytest.mark.parametrize(
    ("model", "text", "reasoning"),
    [("split", "Köln 🌦🌦", ""), ("both", "x", "Think."), ("content", "x", "Think."), ("no-done", "Sunny", "")],
)
async def test_other_ways_to_stream(upstream: ChatCompletionsUpstream, model: str, text: str, reasoning: str) -> None:
    events = await play(upstream, ask(model))
    assert (said(events), thought(events)) == (text, reasoning)


async def test_calls_that_were_cut_off_are_dropped(upstream: ChatCompletionsUpstream) -> None:
    end = (await play(upstream, ask("length", tools=[TOOL])))[-1]
    assert isinstance(end, RoundEnd)
    assert (end.finish_reason, end.calls) == ("length", ())


@pytest.mark.parametrize(
    ("model", "status", "code", "message"),
    [
        ("late-error", 502, "server_error", "the model server failed (500)"),
        ("late-refusal", 400, None, "too long"),
        ("drops", 502, "server_error", "the connection to the model server broke"),
    ],
)
async def test_stream_that_fails_raises_after_its_deltas(
    upstream: ChatCompletionsUpstream, model: str, status: int, code: str | None, message: str
) -> None:
    events, error = await failure(upstream, ask(model))
    assert said(events) == "Sunny in"
    assert (error.status, error.code, str(error)) == (status, code, message)


@pytest.mark.parametrize(
    ("request_", "status", "code", "param"),
    [
        (ask("nobody"), 404, "model_not_found", "model"),
        (ask("text", tools=[TOOL], tool_choice="other"), 400, None, "tool_choice"),
        (ask("overloaded"), 503, "server_error", None),
        (ask("text", options={"temperature": float("nan")}), 400, "invalid_value", None),
    ],
)
async def test_refusals(
    upstream: ChatCompletionsUpstream, request_: ModelRequest, status: int, code: str | None, param: str | None
) -> None:
    events, error = await failure(upstream, request_)
    assert (events, error.status, error.code, error.param) == ([], status, code, param)
    assert "10.0.0.7" not in str(error)


async def test_logprobs_come_with_the_text(upstream: ChatCompletionsUpstream) -> None:
    events = await play(upstream, ask("text", options={"logprobs": True, "top_logprobs": 1}))
    deltas = [event for event in events if isinstance(event, TextDelta)]
    assert [[token["token"] for token in delta.logprobs] for delta in deltas] == [[delta.text] for delta in deltas]
    assert deltas[0].logprobs[0]["top_logprobs"][0]["token"] == deltas[0].text


async def test_an_overloaded_server_says_when_to_come_again(upstream: ChatCompletionsUpstream) -> None:
    _, error = await failure(upstream, ask("overloaded"))
    assert error.retry_after == 7


async def test_secrets_that_the_server_repeats_are_not_told() -> None:
    def repeat(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            400, json={"error": {"message": f"bad request: {request.headers['authorization']} {request.headers['api-key']}"}}
        )

    client = ModelClients(httpx.MockTransport(repeat))
    upstream = ChatCompletionsUpstream("http://model", clients=client, key=lambda: "sk-gateway", headers={"api-key": "another-key"})
    _, error = await failure(upstream, ask("m"))
    assert str(error) == "bad request: Bearer *** ***"


async def test_refused_key_is_the_gateways_fault(server: ModelServer, client: ModelClients) -> None:
    _, error = await failure(ChatCompletionsUpstream(server.url, clients=client, key=lambda: "sk-wrong"), ask("text"))
    assert error.status == 502
    assert "gateway's key" in str(error)


async def test_server_that_is_not_there_is_503(client: ModelClients) -> None:
    # Bound, but not listening: nobody else gets the port.
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        upstream = ChatCompletionsUpstream(f"http://127.0.0.1:{unused.getsockname()[1]}", clients=client)
        _, error = await failure(upstream, ask("text"))
    assert (error.status, str(error)) == (503, "the model server cannot be reached")


async def test_silent_server_is_given_up(server: ModelServer, client: ModelClients) -> None:
    upstream = ChatCompletionsUpstream(server.url, clients=client, key=lambda: "sk-gateway", timeouts=Timeouts(silence=0.1))
    _, error = await failure(upstream, ask("hangs-at-once"))
    assert (error.status, str(error)) == (502, "the model server was silent for too long")


async def test_closing_the_iterator_ends_the_generation(upstream: ChatCompletionsUpstream, server: ModelServer) -> None:
    events = upstream.round(ask("hangs"))
    assert [await anext(events), await anext(events)] == [RoundAccepted(), TextDelta("Sunny in")]
    await events.aclose()
    assert await asyncio.to_thread(server.requests[0].ended.wait, 10)
    assert server.requests[0].cut


@pytest.mark.parametrize("model", ["hangs", "hangs-at-once"])
async def test_cancelling_ends_the_generation(upstream: ChatCompletionsUpstream, server: ModelServer, model: str) -> None:
    playing = asyncio.create_task(play(upstream, ask(model)))
    assert await asyncio.to_thread(server.received.wait, 10)
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert await asyncio.to_thread(server.requests[0].ended.wait, 10)
    assert server.requests[0].cut


async def test_rounds_share_connections(upstream: ChatCompletionsUpstream, server: ModelServer) -> None:
    for _ in range(3):
        await asyncio.gather(*(play(upstream, ask("text")) for _ in range(2)))
    assert len({request.peer for request in server.requests}) == 2


async def test_a_round_that_was_left_does_not_spoil_the_next(upstream: ChatCompletionsUpstream) -> None:
    async with aclosing(upstream.round(ask("hangs"))) as events:
        assert [await anext(events), await anext(events)] == [RoundAccepted(), TextDelta("Sunny in")]
    assert isinstance((await play(upstream, ask("text")))[-1], RoundEnd)


# --- servers that no script describes


class Broken(httpx.AsyncByteStream):
    """Bytes, then an error of the connection."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data
        raise httpx.ReadError("reset")


def answering(content: bytes | httpx.AsyncByteStream, kind: str = "text/event-stream", **more: Any) -> ChatCompletionsUpstream:
    answer: Callable[[httpx.Request], httpx.Response]
    if isinstance(content, bytes):
        data = content
        answer = lambda _: httpx.Response(200, content=data, headers={"content-type": kind})  # noqa: E731
    else:
        stream = content
        answer = lambda _: httpx.Response(200, stream=stream, headers={"content-type": kind})  # noqa: E731
    return ChatCompletionsUpstream("http://model", clients=ModelClients(httpx.MockTransport(answer)), **more)


HALF = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'
WHOLE = HALF + b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "too early"),
        (HALF, "too early"),
        (HALF + b'data: {"choices": [{"del', "not JSON"),
        (HALF + b"data: [1]\n\n", "not JSON"),
        (HALF + b"data: " + b"[" * 100_000 + b"\n\n", "not JSON"),
        (b"data: [DONE]\n\n", "before it began"),
        (Broken(HALF), "broke"),
        (WHOLE + b'data: {"error": {"message": "died", "code": 500}}\n\n', "failed"),
    ],
)
async def test_stream_that_makes_no_sense_is_502(content: bytes | httpx.AsyncByteStream, message: str) -> None:
    _, error = await failure(answering(content), ask("m"))
    assert error.status == 502
    assert message in str(error)


@pytest.mark.parametrize(
    "content", [HALF + b"data: [DONE]\n\n", HALF + b"data: [DONE]", WHOLE, Broken(WHOLE), WHOLE + b"data: [DONE]\n\ndata: x\n\n"]
)
async def test_stream_that_is_whole_is_taken(content: bytes | httpx.AsyncByteStream) -> None:
    assert await play(answering(content), ask("m")) == [TextDelta("a"), RoundEnd("stop")]


async def test_answer_that_is_no_stream_is_502() -> None:
    _, error = await failure(answering(b"{}", "application/json"), ask("m"))
    assert "did not answer with a stream" in str(error)


@pytest.mark.parametrize("limit", [{"max_event": 20}, {"max_stream": 60}])
async def test_answer_is_bounded(limit: dict[str, Any]) -> None:
    _, error = await failure(answering(WHOLE, **limit), ask("m"))
    assert "larger than the gateway takes" in str(error)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://vllm:8000", "http://vllm:8000/v1"),
        ("http://vllm:8000/", "http://vllm:8000/v1"),
        ("http://vllm:8000/v1/", "http://vllm:8000/v1"),
        ("https://models.example.com/v1beta/openai", "https://models.example.com/v1beta/openai"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
    ],
)
def test_address_without_path_means_v1(url: str, base: str) -> None:
    assert base_url(url) == base


@pytest.mark.parametrize(
    "url", ["", "vllm:8000", "ftp://a", "http://", "http://user:pw@a", "http://a?key=1", "http://a#b", "http://a:99999"]
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        base_url(url)
