"""A model server that speaks OpenAI's chat completions: vLLM and nearly all others."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import Final

import httpx

from junctor.gateway.config import base_url
from junctor.gateway.models.bounded_json import parse_bounded
from junctor.gateway.models.chat_request import chat_body
from junctor.gateway.models.chat_turn import ChatTurn
from junctor.gateway.models.model_errors import stream_error
from junctor.gateway.models.model_server import Key, ModelClients, ModelServer, Timeouts, no_key
from junctor.gateway.models.ports import ModelEvent, ModelRequest, RoundAccepted, UpstreamError
from junctor.net.formats import OpenAIObjectView

_DONE: Final = "[DONE]"
_DRAIN_SECONDS: Final = 0.2
MAX_EVENT: Final = 4 * 1024 * 1024
MAX_STREAM: Final = 64 * 1024 * 1024


class ChatCompletionsUpstream:
    """A `ports.Upstream` over chat completions."""

    def __init__(
        self,
        url: str,
        *,
        clients: ModelClients,
        key: Key = no_key,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        max_event: int = MAX_EVENT,
        max_stream: int = MAX_STREAM,
    ) -> None:
        """Describe the model server; nothing is sent yet.

        Args:
            url: of the server, or of its API when it has a path.
            clients: shared with other model servers and closed by their owner.
            key: called for each request.
            headers: sent with each request.
            timeouts: in seconds.
            max_event: bytes that one event of a stream may have.
            max_stream: bytes that a whole stream may have.

        Raises:
            ValueError: the URL is not valid.
        """
        self.server = ModelServer(base_url(url), clients, key, dict(headers or {}), timeouts or Timeouts())
        self._max_event = max_event
        self._max_stream = max_stream

    async def round(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Generate: RoundAccepted, deltas as they arrive, then one RoundEnd. Closing the iterator closes the connection."""
        turn = ChatTurn()
        async with self.server.send("POST", "/chat/completions", content=_encoded(request)) as response:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise UpstreamError("the model server did not answer with a stream", code="server_error")
            yield RoundAccepted()
            secrets = self.server.secrets(response.request)
            async with aclosing(self._events(response, turn)) as events:
                async for data in events:
                    chunk = _decoded(data)
                    if error := stream_error(chunk, secrets=secrets):
                        raise error
                    for event in turn.feed(chunk):
                        yield event
        yield turn.end()

    async def _events(self, response: httpx.Response, turn: ChatTurn) -> AsyncGenerator[str, None]:
        """Yield the data of the stream's events, without [DONE]. Raises UpstreamError when it ends before the model's turn does."""
        reader = EventReader(max_event=self._max_event, max_stream=self._max_stream)
        async with aclosing(_chunks(response, turn)) as chunks:
            async for chunk in chunks:
                for data in reader.feed(chunk):
                    if data == _DONE:
                        await _finish(chunks, turn)
                        return
                    yield data
        for data in reader.finish():
            if data == _DONE and turn.has_begun:
                return
            yield data
        if not turn.is_finished:
            raise UpstreamError("the model server ended its answer too early", code="server_error")


async def _chunks(response: httpx.Response, turn: ChatTurn) -> AsyncGenerator[bytes, None]:
    """Yield the stream's bytes. A connection that breaks after the finish reason loses only the usage, which is not an error."""
    try:
        async for chunk in response.aiter_bytes():
            yield chunk
    except httpx.TransportError:
        if not turn.is_finished:
            raise


async def _finish(chunks: AsyncGenerator[bytes, None], turn: ChatTurn) -> None:
    """Read the end of the body after [DONE], without which the connection cannot be used again."""
    if not turn.has_begun:
        raise UpstreamError("the model server ended its answer before it began", code="server_error")
    with contextlib.suppress(TimeoutError, httpx.TransportError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in chunks:
                pass


def _encoded(request: ModelRequest) -> bytes:
    try:
        return json.dumps(chat_body(request), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(errors="replace")
    except (ValueError, TypeError, RecursionError) as error:
        message = "the request cannot be written as JSON: a number is not finite, or it is nested too deeply"
        raise UpstreamError(message, status=400, code="invalid_value") from error


def _decoded(data: str) -> OpenAIObjectView:
    try:
        chunk = parse_bounded(data)
    except ValueError:
        chunk = None
    if not isinstance(chunk, dict):
        raise UpstreamError("the model server sent a chunk that is not JSON", code="server_error")
    return chunk


class StreamTooLarge(UpstreamError):
    """One event or the whole stream has more bytes than allowed."""

    def __init__(self) -> None:
        super().__init__("the model server's answer is larger than the gateway takes", code="server_error")


class EventReader:
    """Splits a byte stream into events. Only LF and CRLF end a line: no model server sends the lone CR that the standard also allows."""

    def __init__(self, *, max_event: int = MAX_EVENT, max_stream: int = MAX_STREAM) -> None:
        self._max_event = max_event
        self._left = max_stream
        #: The line that has not ended; mutable, because joining it with each piece would take time by the square of its length.
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the data of each event that `chunk` completes. Raises StreamTooLarge."""
        self._left -= len(chunk)
        if self._left < 0:
            raise StreamTooLarge
        first, *others = chunk.split(b"\n")
        self._rest += first
        for begin in others:
            line = bytes(self._rest)
            self._rest[:] = begin
            yield from self._line(line)
        self._check(len(self._rest))

    def finish(self) -> Iterator[str]:
        """Yield the last event when the stream ends: some servers omit the empty line that the standard requires after it."""
        if line := bytes(self._rest):
            self._rest.clear()
            yield from self._line(line)
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[str]:
        line = line.removesuffix(b"\r")
        if not line:
            if self._data:
                # Decode complete events only: a character's bytes may arrive in two chunks.
                data, self._data, self._size = b"\n".join(self._data), [], 0
                yield data.decode("utf-8", errors="replace")
            return
        name, _, value = line.removeprefix(b"\xef\xbb\xbf").partition(b":")
        if name == b"data":
            self._check(len(value))
            self._data.append(value.removeprefix(b" "))
            self._size += len(value)

    def _check(self, more: int) -> None:
        if self._size + more > self._max_event:
            raise StreamTooLarge
