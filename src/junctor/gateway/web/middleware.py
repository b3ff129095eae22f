"""The outermost layer of both ports: gives each request an id, limits its body and turns every failure into an error answer."""

import asyncio
import logging
import os
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from junctor.gateway.web.errors import ApiError, BadRequest, BodyTooLarge, GatewayStopping, forget_frames, log_failure
from junctor.gateway.web.json_response import JSONResponse

_log = logging.getLogger(__name__)

#: The id of a request, in its answer too: OpenAI's clients show it as `_request_id`, and log lines about failures repeat it.
REQUEST_ID: Final = b"x-request-id"
#: Ids of callers that are safe in logs and headers.
_SAFE_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")

#: How long, and how many bytes, the rest of a body is read and dropped after an early answer. Closing a socket with unread data resets the
#: connection, and the client may never see the answer (RFC 9112 section 9.6).
_LINGER_SECONDS: Final = 2.0
_LINGER_BYTES: Final = 64 * 1024 * 1024

#: Methods whose requests have no body.
WITHOUT_BODY: Final = ("GET", "HEAD")

Render = Callable[[ApiError], Mapping[str, object]]


class ErrorMiddleware:
    """Wraps an ASGI app. Handlers find the request's id as `request.state.request_id`, and raise ApiError to answer with an error.

    body_limit: bytes of a request's body. render: makes the body of an error answer.
    """

    def __init__(self, app: ASGIApp, *, body_limit: int, render: Render) -> None:
        self._app = app
        self._body_limit = body_limit
        self._render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"a {scope['type']} connection is not served here")
        # With an "app" in the scope, Starlette's router raises its 404 and 405; without one it answers them in plain text.
        scope["app"] = self
        request_id = _identify(scope)
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        headers = dict(scope["headers"])
        expects = headers.get(b"expect", b"").lower() == b"100-continue"
        exchange = _Exchange(receive, send, self._body_limit, request_id, expects=expects)
        try:
            length = headers.get(b"content-length", b"0")
            if length.isdigit() and int(length) > self._body_limit:
                raise BodyTooLarge(self._body_limit)
            if scope["method"] in WITHOUT_BODY and (length != b"0" or b"transfer-encoding" in headers):
                # Nobody would read it, and it would be kept until the answer.
                raise BadRequest(f"{scope['method']} takes no body; leave it out")
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            if not exchange.started:
                # uvicorn cancels requests that outlast the grace period of a shutdown.
                await exchange.answer_early(scope, self._response(GatewayStopping()))
            raise
        except (ApiError, HTTPException) as error:
            if exchange.started:
                raise
            answer = error if isinstance(error, ApiError) else _from_starlette(error, scope)
            log_failure(_log, request_id, _name_of(scope), answer)
            await exchange.answer_early(scope, self._response(answer))
            forget_frames(error)
        except Exception as error:
            if exchange.started:
                raise
            _log.exception("request %s: %s failed", request_id, _name_of(scope))
            await exchange.answer_early(scope, self._response(ApiError("the gateway failed on this request; its log says more")))
            forget_frames(error)

    def _response(self, error: ApiError) -> Response:
        return JSONResponse(self._render(error), status_code=error.status, headers=error.headers)


class _Exchange:
    """The messages of one request: counts the body's bytes, notes whether the answer has begun, and adds the request id to its headers."""

    def __init__(self, receive: Receive, send: Send, limit: int, request_id: str, *, expects: bool) -> None:
        self._receive = receive
        self._send = send
        self._limit = limit
        self._request_id = request_id.encode()
        self._received = 0
        self._complete = False
        # A client that waits for 100 Continue has not sent a body yet, so there is nothing to drop.
        self._awaits_continue = expects
        self.started = False

    async def receive(self) -> Message:
        self._awaits_continue = False
        message = await self._receive_counted()
        if self._received > self._limit:
            raise BodyTooLarge(self._limit)
        return message

    async def send(self, message: Message) -> None:
        self.started = True
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (REQUEST_ID, self._request_id)]
        await self._send(message)

    async def answer_early(self, scope: Scope, response: Response) -> None:
        """Send an answer before the body is read. After a 413, drop the rest of the body for a while and close the connection."""
        if response.status_code != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            await response(scope, self.receive, self.send)
            return
        response.headers["Connection"] = "close"
        await self.send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        await self.send({"type": "http.response.body", "body": response.body, "more_body": True})
        if not self._awaits_continue:
            await self._drop_rest()
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _drop_rest(self) -> None:
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while not self._complete and self._received < _LINGER_BYTES:
                    await self._receive_counted()
        except TimeoutError:
            return

    async def _receive_counted(self) -> Message:
        message = await self._receive()
        self._received += len(message.get("body", b""))
        self._complete = message["type"] != "http.request" or not message.get("more_body", False)
        return message


def _from_starlette(error: HTTPException, scope: Scope) -> ApiError:
    path = scope["path"][:200]
    match error.status_code:
        case HTTPStatus.METHOD_NOT_ALLOWED:
            message = f"{scope['method'][:20]} is not possible on {path}; use {(error.headers or {}).get('Allow', '')}"
            return ApiError(message, code="method_not_allowed", headers=error.headers, status=405)
        case HTTPStatus.NOT_FOUND:
            return ApiError(f"there is nothing at {path}", code="unknown_url", headers=error.headers, status=404)
    return ApiError(error.detail, headers=error.headers, status=error.status_code)


def _name_of(scope: Scope) -> str:
    return f"{scope['method'][:20]} {scope['path'][:200]!r}"


def _identify(scope: Scope) -> str:
    """Make one id the only one in the request's headers: the caller's own if it sent exactly one that is safe, else a new one."""
    sent: list[str] = [value.decode("latin-1") for name, value in scope["headers"] if name == REQUEST_ID]
    if len(sent) == 1 and _SAFE_ID.fullmatch(sent[0]):
        return sent[0]
    request_id = new_request_id()
    headers = [(name, value) for name, value in scope["headers"] if name != REQUEST_ID] if sent else scope["headers"]
    scope["headers"] = [*headers, (REQUEST_ID, request_id.encode())]
    return request_id


def new_request_id() -> str:
    """Return an id that nobody can guess."""
    return f"req_{os.urandom(16).hex()}"
