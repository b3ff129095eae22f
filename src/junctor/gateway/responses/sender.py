"""Sends a response as one JSON body, or as server-sent events while it is generated. A client that disconnects ends the work."""

import asyncio
from collections.abc import Sequence
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from junctor.gateway.responses.accumulator import ResponseAccumulator
from junctor.gateway.responses.events import DONE, KEEP_ALIVE, Event, encode
from junctor.gateway.responses.loop import ToolLoop, Turn
from junctor.gateway.responses.refusals import not_to_be_retried
from junctor.gateway.web.disconnect import cancel_and_wait, wait_for_disconnect
from junctor.gateway.web.errors import GatewayStopping
from junctor.gateway.web.json_response import JSONResponse, send_body
from junctor.net.formats import OpenAIObject

KEEP_ALIVE_SECONDS: Final = 15.0
#: Events that may wait for a client before the model has to.
_MOST_WAITING: Final = 256

_STREAM_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # Keeps nginx and similar proxies from buffering events.
    (b"x-accel-buffering", b"no"),
]


class _Waiting:
    """Events that wait for the client. news: there are some, or something has ended. has_room: there are not too many."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.news = asyncio.Event()
        self.has_room = asyncio.Event()
        self.has_room.set()

    def put(self, events: Sequence[Event]) -> None:
        self.events += events
        if len(self.events) >= _MOST_WAITING:
            self.has_room.clear()
        self.news.set()

    def take(self) -> list[Event]:
        events, self.events = self.events, []
        return events

    def were_sent(self) -> None:
        if len(self.events) < _MOST_WAITING:
            self.has_room.set()


class ResponseSender(Response):
    """The answer to one request. Raises ApiError while nothing was sent.

    keep_alive: seconds of silence before a stream gets a comment.
    """

    def __init__(self, turn: Turn, accumulator: ResponseAccumulator, *, stream: bool, keep_alive: float = KEEP_ALIVE_SECONDS) -> None:
        super().__init__()
        # An object of its own: if the loop knew its sender, the two would stay until the garbage collector comes to them.
        self._waiting = _Waiting()
        self._loop = ToolLoop(turn, accumulator, self._waiting.put if stream else None, self._waiting.has_room)
        self._stream = stream
        self._keep_alive = keep_alive
        self._has_started = False
        #: Whether a part of a frame may have been sent.
        self._is_torn = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the tool loop and send the response."""
        work = asyncio.create_task(self._loop.execute_with_mcp())
        disconnect = asyncio.create_task(wait_for_disconnect(receive))
        for task in (work, disconnect):
            task.add_done_callback(lambda _: self._waiting.news.set())
        try:
            if self._stream:
                await self._send_events(work, disconnect, send)
            else:
                await self._send_body(work, disconnect, scope, receive, send)
        except asyncio.CancelledError:
            await cancel_and_wait(work, disconnect)
            await self._stop(send)
            raise
        finally:
            await cancel_and_wait(work, disconnect)

    async def _send_body(
        self, work: asyncio.Task[OpenAIObject], disconnect: asyncio.Task[None], scope: Scope, receive: Receive, send: Send
    ) -> None:
        while not work.done():
            if disconnect.done():
                raise ClientDisconnect
            await self._waiting.news.wait()
            self._waiting.news.clear()
        response = JSONResponse(work.result())
        self._has_started = True
        await response(scope, receive, send)

    async def _send_events(self, work: asyncio.Task[OpenAIObject], disconnect: asyncio.Task[None], send: Send) -> None:
        while True:
            # Look at the task first: events that it emitted before its end are then still sent below.
            has_ended = work.done()
            if disconnect.done():
                raise ClientDisconnect
            if self._waiting.events:
                await self._send_pending(send)
            elif has_ended:
                break
            else:
                await self._wait(send)
        work.result()
        await send({"type": "http.response.body", "body": DONE, "more_body": False})

    async def _wait(self, send: Send) -> None:
        try:
            async with asyncio.timeout(self._keep_alive):
                await self._waiting.news.wait()
        except TimeoutError:
            if self._has_started:
                await send({"type": "http.response.body", "body": KEEP_ALIVE, "more_body": True})
        self._waiting.news.clear()

    async def _send_pending(self, send: Send) -> None:
        events = self._waiting.take()
        if not self._has_started:
            self._has_started = True
            await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        self._is_torn = True
        # Waits while the client does not read.
        await send_body(send, b"".join(map(encode, events)), more_body=True)
        self._is_torn = False
        self._waiting.were_sent()

    async def _stop(self, send: Send) -> None:
        """End a stream properly when the gateway stops, and keep clients from repeating a request whose tools had an effect."""
        if self._is_torn:
            return
        if self._stream and self._has_started:
            accumulator = self._loop.accumulator
            if not accumulator.ended:
                self._waiting.put(accumulator.fail(GatewayStopping()))
            await self._send_pending(send)
            await send({"type": "http.response.body", "body": DONE, "more_body": False})
        elif self._loop.tools_ran and not self._has_started:
            raise not_to_be_retried(GatewayStopping())
