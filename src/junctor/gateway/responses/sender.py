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
from junctor.gateway.web.json_response import JSONResponse
from junctor.net.formats import OpenAIObject

KEEP_ALIVE_SECONDS: Final = 15.0

_STREAM_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # Keeps nginx and similar proxies from buffering events.
    (b"x-accel-buffering", b"no"),
]


class ResponseSender(Response):
    """The answer to one request. Raises ApiError while nothing was sent.

    keep_alive: seconds of silence before a stream gets a comment.
    """

    def __init__(self, turn: Turn, accumulator: ResponseAccumulator, *, stream: bool, keep_alive: float = KEEP_ALIVE_SECONDS) -> None:
        super().__init__()
        self._loop = ToolLoop(turn, accumulator, self._put if stream else None)
        self._stream = stream
        self._keep_alive = keep_alive
        self._wake = asyncio.Event()
        self._events: list[Event] = []
        self._has_started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the tool loop and send the response."""
        work = asyncio.create_task(self._loop.execute_with_mcp())
        disconnect = asyncio.create_task(wait_for_disconnect(receive))
        for task in (work, disconnect):
            task.add_done_callback(lambda _: self._wake.set())
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
            await self._wake.wait()
            self._wake.clear()
        response = JSONResponse(work.result())
        self._has_started = True
        await response(scope, receive, send)

    async def _send_events(self, work: asyncio.Task[OpenAIObject], disconnect: asyncio.Task[None], send: Send) -> None:
        while True:
            # Look at the task first: events that it emitted before its end are then still sent below.
            has_ended = work.done()
            if disconnect.done():
                raise ClientDisconnect
            if self._events:
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
                await self._wake.wait()
        except TimeoutError:
            if self._has_started:
                await send({"type": "http.response.body", "body": KEEP_ALIVE, "more_body": True})
        self._wake.clear()

    async def _send_pending(self, send: Send) -> None:
        events, self._events = self._events, []
        if not self._has_started:
            self._has_started = True
            await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        await send({"type": "http.response.body", "body": b"".join(map(encode, events)), "more_body": True})

    async def _stop(self, send: Send) -> None:
        """End a stream properly when the gateway stops, and keep clients from repeating a request whose tools had an effect."""
        if self._stream and self._has_started:
            accumulator = self._loop.accumulator
            if not accumulator.ended:
                self._events += accumulator.fail(GatewayStopping())
            await self._send_pending(send)
            await send({"type": "http.response.body", "body": DONE, "more_body": False})
        elif self._loop.tools_ran and not self._has_started:
            raise not_to_be_retried(GatewayStopping())

    def _put(self, events: Sequence[Event]) -> None:
        self._events += events
        self._wake.set()
