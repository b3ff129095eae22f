"""GET /v1/models, and POST /v1/chat/completions, which is forwarded to a model server unchanged."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from junctor.gateway.models.model_errors import ModelFailed
from junctor.gateway.models.model_server import ModelServer
from junctor.gateway.models.model_server import read_body as read_answer
from junctor.gateway.models.ports import UpstreamError
from junctor.gateway.models.router import UpstreamRouter
from junctor.gateway.web.bodies import Hold, parse_json, read_body
from junctor.gateway.web.disconnect import cancel_and_wait, wait_for_disconnect
from junctor.gateway.web.errors import ApiError, BadRequest, openai_body
from junctor.gateway.web.json_response import JSONResponse, send_body
from junctor.gateway.web.limits import BODY_BYTES

_log = logging.getLogger(__name__)

BODY_LIMIT: Final = BODY_BYTES
#: Bytes of an answer that is not streamed.
ANSWER_LIMIT: Final = 64 * 1024 * 1024

#: The caller's headers that are forwarded. An allowlist, because nobody can list all headers that hold credentials.
_REQUEST_HEADERS: Final = ("accept", "openai-beta", "traceparent", "tracestate", "user-agent", "x-request-id")
_ANSWER_HEADERS: Final = ("cache-control", "content-type", "openai-processing-ms", "retry-after")


def passthrough_routes(upstreams: UpstreamRouter, *, body_limit: int = BODY_LIMIT) -> list[Route]:
    """Return the routes, for an app whose middleware answers ApiError. body_limit: bytes."""
    handlers = _Handlers(upstreams, body_limit)
    return [
        Route("/v1/models", handlers.models, methods=["GET"]),
        Route("/v1/chat/completions", handlers.chat_completions, methods=["POST"]),
    ]


class _Handlers:
    def __init__(self, upstreams: UpstreamRouter, body_limit: int) -> None:
        self._upstreams = upstreams
        self._body_limit = body_limit

    async def models(self, request: Request) -> Response:
        """List the models of all model servers."""
        try:
            return JSONResponse({"object": "list", "data": await self._upstreams.models()})
        except UpstreamError as error:
            raise ModelFailed(error) from error

    async def chat_completions(self, request: Request) -> Response:
        """Forward the request and its answer."""
        body = await read_body(request, self._body_limit)
        model = _model(await parse_json(body))
        if _may_repeat_model(body) and await asyncio.to_thread(_repeats_model, body):
            raise BadRequest(_MODEL_TWICE, param="model", code="invalid_value")
        server = self._upstreams.find(model).server
        headers = {name: request.headers[name] for name in _REQUEST_HEADERS if name in request.headers}
        return _ForwardingResponse(server, body, headers, request.state.hold)


class _ForwardingResponse(Response):
    """Sends the request to the model server and passes its answer on. A client that disconnects ends the request there too."""

    def __init__(self, server: ModelServer, body: bytes, headers: Mapping[str, str], hold: Hold) -> None:
        super().__init__()
        self._server = server
        self._request_body = body
        self._request_headers = headers
        self._hold = hold

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        forwarding = asyncio.create_task(self._forward(send), name="chat completion")
        disconnect = asyncio.create_task(wait_for_disconnect(receive), name="client disconnect")
        try:
            await asyncio.wait((forwarding, disconnect), return_when=asyncio.FIRST_COMPLETED)
        finally:
            unfinished = not forwarding.done()
            await cancel_and_wait(forwarding, disconnect)
        if not unfinished:
            forwarding.result()

    async def _forward(self, send: Send) -> None:
        try:
            async with self._server.send("POST", "/chat/completions", content=self._request_body, headers=self._request_headers) as answer:
                if answer.headers.get("content-type", "").startswith("text/event-stream"):
                    await _send_stream(answer, send)
                    return
                body = await read_answer(answer, ANSWER_LIMIT, self._hold)
                headers = _answer_headers(answer)
        except UpstreamError as error:
            raise ModelFailed(error) from error
        if body is None:
            raise ApiError("the model server's answer is larger than the gateway takes", status=502, code="server_error")
        await send(_start(answer.status_code, headers))
        await send_body(send, body)


async def _send_stream(answer: httpx.Response, send: Send) -> None:
    """Pass a stream on byte for byte. A stream that breaks ends with an error event, as model servers themselves send it."""
    chunks = answer.aiter_bytes()
    # Until the first byte, a failure can still be answered with a status of its own.
    chunk = await _next(chunks)
    await send(_start(answer.status_code, _answer_headers(answer)))
    try:
        while chunk:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            chunk = await _next(chunks)
    except httpx.HTTPError as error:
        _log.warning("a stream of the model server broke: %s", type(error).__name__)
        event = json.dumps(openai_body(ApiError("the connection to the model server broke", status=502, code="server_error")))
        await send({"type": "http.response.body", "body": f"\n\ndata: {event}\n\n".encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _next(chunks: AsyncIterator[bytes]) -> bytes:
    """Return the next bytes that are not empty, or b"" at the end."""
    while (chunk := await anext(chunks, None)) is not None:
        if chunk:
            return chunk
    return b""


def _start(status: int, headers: Sequence[tuple[bytes, bytes]]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


def _answer_headers(answer: httpx.Response) -> list[tuple[bytes, bytes]]:
    return [
        (name.encode("latin-1"), value.encode("latin-1", errors="replace"))
        for name, value in answer.headers.items()
        if name in _ANSWER_HEADERS or name.startswith("x-ratelimit-")
    ]


def _model(document: Any) -> str:
    model = document.get("model") if isinstance(document, dict) else None
    if not isinstance(model, str) or not model:
        raise BadRequest("model is required: the name of a model as text", param="model", code="missing_required_parameter")
    if sum(key.lower() == "model" for key in document) > 1:
        raise BadRequest(_MODEL_TWICE, param="model", code="invalid_value")
    return model


#: The body is forwarded as it came. Model servers may take another one of two models than `json` does, or read `Model` like `model`.
_MODEL_TWICE: Final = "model must be given once, in lower case; remove the others"
#: A key of an object that reads `model`, however it is escaped.
_MODEL_KEY: Final = re.compile(
    rb'"(?:m|\\u006[dD])(?:o|\\u006[fF])(?:d|\\u0064)(?:e|\\u0065)(?:l|\\u006[cC])"[ \t\r\n]*:',
)


def _may_repeat_model(body: bytes) -> bool:
    """Whether the text, in UTF-8, may have the key `model` twice: quickly, and seldom without reason."""
    if b"\\u00" not in body and body.count(b'"model"') == 1:
        return False
    return len(_MODEL_KEY.findall(body)) != 1


def _repeats_model(body: bytes) -> bool:
    """Whether the object has the key `model` twice, not counting those of objects within."""
    keys: list[str] = []

    def remember(members: list[tuple[str, Any]]) -> None:
        nonlocal keys
        keys = [key for key, _ in members]  # the outermost object comes last

    json.loads(body, object_pairs_hook=remember)
    return keys.count("model") > 1
