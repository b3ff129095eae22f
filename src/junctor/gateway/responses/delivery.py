"""Sends a response while it comes into being: as one JSON body, or as server-sent events. A client that goes away ends the work."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from junctor.gateway.responses.events import DONE, KEEP_ALIVE, Event, encode
from junctor.gateway.responses.loop import Turn, execute_with_mcp
from junctor.gateway.responses.refusals import NO_RETRY
from junctor.gateway.web.disconnect import cancel_and_wait, wait_for_disconnect
from junctor.gateway.web.errors import GatewayStopping
from junctor.gateway.web.json_response import JSONResponse

KEEP_ALIVE_SECONDS: Final = 15.0

_STREAM_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # Keeps proxies of nginx's kind from collecting events.
    (b"x-accel-buffering", b"no"),
]


class Delivery(Response):
    """The answer to one request. Raises ApiError while nothing was sent."""

    def __init__(self, turn: Turn, *, stream: bool, keep_alive: float = KEEP_ALIVE_SECONDS) -> None:
        super().__init__()
        self._turn = turn
        self._stream = stream
        self._keep_alive = keep_alive
        self._wake = asyncio.Event()
        self._events: list[Event] = []
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the turn and send what it gives."""
        work = asyncio.create_task(execute_with_mcp(self._turn, self._put if self._stream else None))
        gone = asyncio.create_task(wait_for_disconnect(receive))
        for task in (work, gone):
            task.add_done_callback(lambda _: self._wake.set())
        try:
            if self._stream:
                await self._send_events(work, gone, send)
            else:
                await self._send_body(work, gone, scope, receive, send)
        except asyncio.CancelledError:
            await cancel_and_wait(work, gone)
            await self._stopping(send)
            raise
        finally:
            await cancel_and_wait(work, gone)

    async def _send_body(
        self, work: asyncio.Task[dict[str, Any]], gone: asyncio.Task[None], scope: Scope, receive: Receive, send: Send
    ) -> None:
        while not work.done():
            if gone.done():
                raise ClientDisconnect
            await self._wake.wait()
            self._wake.clear()
        response = JSONResponse(work.result())
        self._started = True
        await response(scope, receive, send)

    async def _send_events(self, work: asyncio.Task[dict[str, Any]], gone: asyncio.Task[None], send: Send) -> None:
        while True:
            # In this order: what was put before the work ended is taken after it was seen to end.
            ended = work.done()
            if gone.done():
                raise ClientDisconnect
            if self._events:
                await self._send_pending(send)
            elif ended:
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
            if self._started:
                await send({"type": "http.response.body", "body": KEEP_ALIVE, "more_body": True})
        self._wake.clear()

    async def _send_pending(self, send: Send) -> None:
        events, self._events = self._events, []
        if not self._started:
            self._started = True
            await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        await send({"type": "http.response.body", "body": b"".join(map(encode, events)), "more_body": True})

    async def _stopping(self, send: Send) -> None:
        """The gateway stops: end a stream properly, and keep clients from repeating what had an effect."""
        stopping = GatewayStopping()
        if self._stream and self._started:
            if not self._turn.accumulator.ended:
                self._events += self._turn.accumulator.fail(stopping)
            await self._send_pending(send)
            await send({"type": "http.response.body", "body": DONE, "more_body": False})
        elif self._turn.tools_ran and not self._started:
            stopping.headers = {"Connection": "close", **NO_RETRY}
            raise stopping

    def _put(self, events: Sequence[Event]) -> None:
        self._events += events
        self._wake.set()
