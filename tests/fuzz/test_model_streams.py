"""Any stream of a model server, cut anywhere: events that end once, or UpstreamError."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from junctor.gateway.models.chat_completions import ChatCompletionsUpstream
from junctor.gateway.models.model_errors import refusal
from junctor.gateway.models.model_server import ModelClients
from junctor.gateway.models.ports import ChatMessage, ModelRequest, RoundAccepted, RoundEnd, UpstreamError
from tests.support.fuzzing import JSON_TOKENS, mutated, replays

REQUEST = ModelRequest("m", (ChatMessage("user", "hi"),))
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":'}}
DELTAS = [
    {"role": "assistant", "content": "Sun"},
    {"reasoning_content": "Think.", "content": None},
    {"tool_calls": [CALL]},
    {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
]
TOKEN = {"token": "S", "logprob": -0.5, "bytes": [83], "top_logprobs": [{"token": "S", "logprob": -0.5}]}
LAST = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}}


def stream(*chunks: object, end: str = "\n\n") -> bytes:
    return "".join(f"data: {json.dumps(chunk)}{end}" for chunk in chunks).encode() + f"data: [DONE]{end}".encode()


CHUNKS = [{"model": "m", "choices": [{"index": 0, "delta": delta, "logprobs": {"content": [TOKEN]}}]} for delta in DELTAS]
REASONS = ("stop", "tool_calls", "length", "error")
FINISH: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]} for reason in REASONS]
SEEDS = [
    *(stream(*CHUNKS, finish, LAST) for finish in FINISH),
    stream(*CHUNKS, {"error": {"message": "EngineCore died", "code": 500}}, end="\r\n\r\n"),
    stream({"object": "error", "message": "too long", "code": 400, "param": None}),
]
TOKENS = (
    *JSON_TOKENS,
    b"data:",
    b"data: ",
    b"\n\n",
    b"\r\n",
    b"\r",
    b"[DONE]",
    b":\n",
    b"event: x\n",
    b'"finish_reason":"stop"',
    b'"index":true,',
)


class Scripted(httpx.MockTransport):
    """A model server that answers each request with the stream that is set."""

    def __init__(self) -> None:
        super().__init__(lambda _: httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=self.stream))
        self.stream: httpx.AsyncByteStream = Chunks(b"", [])


@pytest.fixture(scope="module")
def server() -> Scripted:
    return Scripted()


@pytest.fixture(scope="module")
def clients(server: Scripted) -> ModelClients:
    return ModelClients(server)


class Chunks(httpx.AsyncByteStream):
    def __init__(self, data: bytes, cuts: list[int]) -> None:
        ends = sorted(min(cut, len(data)) for cut in cuts)
        self.chunks = [data[begin:end] for begin, end in zip([0, *ends], [*ends, len(data)], strict=True)]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk


@replays("model-streams", cuts=[3, 10, 40])
@given(data=mutated(SEEDS, TOKENS), cuts=st.lists(st.integers(0, 1500), max_size=4))
async def test_any_stream_of_a_model_is_events_or_an_error(server: Scripted, clients: ModelClients, data: bytes, cuts: list[int]) -> None:
    server.stream = Chunks(data, cuts)
    events = []
    try:
        async with aclosing(ChatCompletionsUpstream("http://model", clients=clients).round(REQUEST)) as round_:
            async for event in round_:
                events.append(event)
    except UpstreamError as error:
        str(error).encode()
        return
    assert isinstance(events[0], RoundAccepted)
    assert [isinstance(event, RoundEnd) for event in events] == [False] * (len(events) - 1) + [True]
    repr(events).encode()


ERRORS = [
    b'{"error":{"message":"too long","type":"BadRequestError","param":"messages","code":400}}',
    b'{"object":"error","message":"no such model","code":"x"}',
    b'{"error":"overloaded"}',
]


@replays("model-errors", status=400, retry_after="1")
@given(
    data=mutated(ERRORS), status=st.integers(300, 599), retry_after=st.none() | st.text(max_size=12) | st.sampled_from(["1e999", "9" * 400])
)
def test_any_refusal_of_a_model_server_is_an_error(data: bytes, status: int, retry_after: str | None) -> None:
    error = refusal(status, data, retry_after=retry_after)
    assert 400 <= error.status <= 599
    assert error.retry_after is None or 1 <= error.retry_after <= 60
