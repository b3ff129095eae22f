"""The outermost layer of both apps: names each request, bounds its body and turns every failure into the app's own kind of error."""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from junctor.gateway.web.errors import ApiError, BodyTooLarge
from junctor.gateway.web.request_ids import HEADER, log_failure, request_id_of

_log = logging.getLogger(__name__)

#: After an early answer the rest of the body is read and dropped for so long, so that the client gets to see the answer: closing a socket
#: with unread data resets the connection and may destroy what was sent (RFC 9112 section 9.6).
_LINGER_SECONDS: Final = 2.0
_LINGER_BYTES: Final = 64 * 1024 * 1024

Render = Callable[[ApiError], Mapping[str, object]]


class JSONResponse(Response):
    """Compact JSON in UTF-8."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode."""
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


class Boundary:
    """Wraps an ASGI app. body_limit: bytes. render: the body of an error. Handlers find the request's id as `request.state.request_id`."""

    def __init__(self, app: ASGIApp, *, body_limit: int, render: Render) -> None:
        self._app = app
        self._body_limit = body_limit
        self._render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"a {scope['type']} connection is not served here")
        # Starlette's router raises its 404 and 405 only for an app of its own; otherwise it answers in plain text.
        scope["app"] = self
        request_id = request_id_of(scope["headers"])
        scope["headers"] = [*((name, value) for name, value in scope["headers"] if name != HEADER), (HEADER, request_id.encode())]
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        headers = dict(scope["headers"])
        expects = headers.get(b"expect", b"").lower() == b"100-continue"
        exchange = _Exchange(receive, send, self._body_limit, request_id, expects=expects)
        what = f"{scope['method'][:20]} {scope['path'][:200]!r}"
        try:
            length = headers.get(b"content-length", b"0")
            if length.isdigit() and int(length) > self._body_limit:
                raise BodyTooLarge(self._body_limit)
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            if not exchange.started:
                # The server stops and the grace is over.
                stopping = ApiError("the gateway is stopping; try again", status=503, headers={"Connection": "close", "Retry-After": "1"})
                await exchange.refuse(scope, self._response(stopping))
            raise
        except (ApiError, HTTPException) as error:
            if exchange.started:
                raise
            told = error if isinstance(error, ApiError) else _from_starlette(error, scope)
            log_failure(_log, request_id, what, told)
            await exchange.refuse(scope, self._response(told))
        except Exception:
            if exchange.started:
                raise
            _log.exception("request %s: %s failed", request_id, what)
            await exchange.refuse(scope, self._response(ApiError("the gateway failed on this request; its log says more")))

    def _response(self, error: ApiError) -> Response:
        return JSONResponse(self._render(error), status_code=error.status, headers=error.headers)


class _Exchange:
    """One request's messages: counts the body's bytes, knows whether an answer began, and puts the request's id on it."""

    def __init__(self, receive: Receive, send: Send, limit: int, request_id: str, *, expects: bool) -> None:
        self._receive = receive
        self._send = send
        self._limit = limit
        self._request_id = request_id.encode()
        self._received = 0
        self._complete = False
        # A client that waits for 100 Continue sends nothing before it, so there is nothing to drop.
        self._waits = expects
        self.started = False

    async def receive(self) -> Message:
        self._waits = False
        message = await self._receive()
        self._received += len(message.get("body", b""))
        self._complete = message["type"] != "http.request" or not message.get("more_body", False)
        if self._received > self._limit:
            raise BodyTooLarge(self._limit)
        return message

    async def send(self, message: Message) -> None:
        self.started = True
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (HEADER, self._request_id)]
        await self._send(message)

    async def refuse(self, scope: Scope, response: Response) -> None:
        """Send an answer; when the client may still be sending, drop the rest for a while and close the connection."""
        if response.status_code != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            await response(scope, self.receive, self.send)
            return
        response.headers["Connection"] = "close"
        await self.send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        await self.send({"type": "http.response.body", "body": response.body, "more_body": True})
        if not self._waits:
            await self._drop_rest()
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _drop_rest(self) -> None:
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while not self._complete and self._received < _LINGER_BYTES:
                    message = await self._receive()
                    self._received += len(message.get("body", b""))
                    self._complete = message["type"] != "http.request" or not message.get("more_body", False)
        except TimeoutError:
            return


def _from_starlette(error: HTTPException, scope: Scope) -> ApiError:
    path = scope["path"][:200]
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "")
        message, code = f"{scope['method'][:20]} is not possible on {path}; use {allowed}", "method_not_allowed"
    elif error.status_code == HTTPStatus.NOT_FOUND:
        message, code = f"there is nothing at {path}", "unknown_url"
    else:
        message, code = error.detail, None
    return ApiError(message, code=code, headers=error.headers, status=error.status_code)
