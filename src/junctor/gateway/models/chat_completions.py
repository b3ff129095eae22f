"""A model server that speaks OpenAI's chat completions: vLLM and nearly all others."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final

import httpx

from junctor.gateway.models.chat_request import chat_body
from junctor.gateway.models.chat_turn import ChatTurn
from junctor.gateway.models.clients import StreamingClient
from junctor.gateway.models.endpoint import Endpoint, Key, Timeouts, base_url
from junctor.gateway.models.errors import stream_error
from junctor.gateway.models.keys import no_key
from junctor.gateway.models.ports import ModelEvent, ModelRequest, RoundAccepted, UpstreamError
from junctor.gateway.models.sse import MAX_EVENT, MAX_STREAM, EventReader, StreamTooLarge

_DRAIN_SECONDS: Final = 0.2


class ChatCompletionsUpstream:
    """Implements `ports.Upstream`.

    url: of the server, or of its API when it has a path. key: asked at each request. client: shared, closed by its owner (`ModelClients`).
    max_event, max_stream: bytes. Raises ValueError for a URL that is none.
    """

    def __init__(
        self,
        url: str,
        *,
        client: StreamingClient,
        key: Key = no_key,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        max_event: int = MAX_EVENT,
        max_stream: int = MAX_STREAM,
    ) -> None:
        self.endpoint = Endpoint(base_url(url), client, key, dict(headers or {}), timeouts or Timeouts())
        self._max_event = max_event
        self._max_stream = max_stream

    async def round(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Generate: RoundAccepted, deltas as they come, then one RoundEnd. Closing the iterator closes the connection."""
        turn = ChatTurn(parallel=request.parallel_tool_calls)
        async with self.endpoint.send("POST", "/chat/completions", content=_encoded(request)) as response:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise UpstreamError("the model server did not answer with a stream", code="server_error")
            yield RoundAccepted()
            secrets = self.endpoint.secrets(response.request)
            async with aclosing(self._events(response, turn)) as events:
                async for data in events:
                    chunk = _decoded(data)
                    if error := stream_error(chunk, secrets=secrets):
                        raise error
                    for event in turn.feed(chunk):
                        yield event
        yield turn.end()

    async def _events(self, response: httpx.Response, turn: ChatTurn) -> AsyncGenerator[str, None]:
        """The data of the stream's events, without [DONE]. Raises UpstreamError when it ends before the model's turn does."""
        reader = EventReader(max_event=self._max_event, max_stream=self._max_stream)
        try:
            async with aclosing(_chunks(response, turn)) as chunks:
                async for chunk in chunks:
                    for data in reader.feed(chunk):
                        if data == "[DONE]":
                            if not turn.began:
                                raise UpstreamError("the model server ended its answer before it began", code="server_error")
                            await _drain(chunks)
                            return
                        yield data
            for data in reader.finish():
                if data == "[DONE]" and turn.began:
                    return
                yield data
        except StreamTooLarge:
            raise UpstreamError("the model server's answer is larger than the gateway takes", code="server_error") from None
        if not turn.finished:
            raise UpstreamError("the model server ended its answer too early", code="server_error")


async def _chunks(response: httpx.Response, turn: ChatTurn) -> AsyncGenerator[bytes, None]:
    """The stream's bytes. A connection that breaks after the model's last word takes away only the usage."""
    try:
        async for chunk in response.aiter_bytes():
            yield chunk
    except httpx.TransportError:
        if not turn.finished:
            raise


async def _drain(chunks: AsyncGenerator[bytes, None]) -> None:
    """Read the end of the body after [DONE]: only then can the connection be used again."""
    with contextlib.suppress(TimeoutError, httpx.TransportError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in chunks:
                pass


def _encoded(request: ModelRequest) -> bytes:
    try:
        return json.dumps(chat_body(request), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(errors="replace")
    except (ValueError, TypeError, RecursionError) as error:
        raise UpstreamError(
            "the request cannot be written as JSON: a number is not finite, or it is nested too deeply", status=400
        ) from error


def _decoded(data: str) -> Mapping[str, Any]:
    try:
        chunk = json.loads(data)
    except (ValueError, RecursionError):
        chunk = None
    if not isinstance(chunk, dict):
        raise UpstreamError("the model server sent a chunk that is not JSON", code="server_error")
    return chunk
