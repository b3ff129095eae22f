"""GET /v1/models and POST /v1/chat/completions, handed to the model servers as they are."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from junctor.gateway.models.endpoint import Endpoint, read_body
from junctor.gateway.models.failed import ModelFailed
from junctor.gateway.models.ports import UpstreamError
from junctor.gateway.models.router import UpstreamRouter
from junctor.gateway.web.errors import ApiError, BadRequest, BodyTooLarge, openai_body
from junctor.gateway.web.middleware import JSONResponse

_log = logging.getLogger(__name__)

BODY_LIMIT: Final = 10 * 1024 * 1024
#: Bytes of an answer that is no stream.
ANSWER_LIMIT: Final = 64 * 1024 * 1024

#: What goes to a model server of a caller's headers. A list of what may pass: nobody can list all the headers that hold credentials.
_REQUEST_HEADERS: Final = ("accept", "openai-beta", "traceparent", "tracestate", "user-agent", "x-request-id")
_ANSWER_HEADERS: Final = ("cache-control", "content-type", "openai-processing-ms", "retry-after")


def passthrough_routes(upstreams: UpstreamRouter, *, body_limit: int = BODY_LIMIT) -> list[Route]:
    """The routes, for an app inside a `Boundary`: they raise ApiError. body_limit: bytes."""
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
        """The models of all model servers."""
        try:
            return JSONResponse({"object": "list", "data": await self._upstreams.models()})
        except UpstreamError as error:
            raise ModelFailed(error) from error

    async def chat_completions(self, request: Request) -> Response:
        """The model server's answer, as it comes."""
        body = await _body(request, self._body_limit)
        try:
            endpoint = self._upstreams.find(_model(body)).endpoint
        except UpstreamError as error:
            raise ModelFailed(error) from error
        headers = {name: request.headers[name] for name in _REQUEST_HEADERS if name in request.headers}
        return _Forwarded(endpoint, body, headers)


class _Forwarded(Response):
    """Asks the model server and sends on what it answers; a client that goes away ends the request there too."""

    def __init__(self, endpoint: Endpoint, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._content = body
        self._sent_headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        forwarding = asyncio.create_task(self._forward(send), name="chat completion")
        gone = asyncio.create_task(_gone(receive), name="client gone")
        try:
            await asyncio.wait((forwarding, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            unfinished = not forwarding.done()
            forwarding.cancel()
            gone.cancel()
            await asyncio.gather(forwarding, gone, return_exceptions=True)
        if not unfinished:
            forwarding.result()

    async def _forward(self, send: Send) -> None:
        try:
            async with self._endpoint.send("POST", "/chat/completions", content=self._content, headers=self._sent_headers) as answer:
                if answer.headers.get("content-type", "").startswith("text/event-stream"):
                    await _send_stream(answer, send)
                    return
                body = await read_body(answer, ANSWER_LIMIT)
                headers = _answer_headers(answer)
        except UpstreamError as error:
            raise ModelFailed(error) from error
        if body is None:
            raise ApiError("the model server's answer is larger than the gateway takes", status=502, code="server_error")
        await send(_start(answer.status_code, headers))
        await send({"type": "http.response.body", "body": body, "more_body": False})


async def _send_stream(answer: httpx.Response, send: Send) -> None:
    """Byte for byte. A stream that breaks gets an error as its last event, as model servers themselves tell of one."""
    chunks = answer.aiter_bytes()
    # The first byte decides whether the caller gets a status of its own.
    first = await _next(chunks)
    await send(_start(answer.status_code, _answer_headers(answer)))
    try:
        while first:
            await send({"type": "http.response.body", "body": first, "more_body": True})
            first = await _next(chunks)
    except httpx.HTTPError as error:
        _log.warning("a stream of the model server broke: %s", type(error).__name__)
        told = json.dumps(openai_body(ApiError("the connection to the model server broke", status=502, code="server_error")))
        await send({"type": "http.response.body", "body": f"\n\ndata: {told}\n\n".encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _next(chunks: AsyncIterator[bytes]) -> bytes:
    """The next bytes that are not none; none at the end."""
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


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request, limit: int) -> bytes:
    body = bytearray()
    async with contextlib.aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > limit:
                raise BodyTooLarge(limit)
    return bytes(body)


def _model(body: bytes) -> str:
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("the request body is not JSON") from error
    model = document.get("model") if isinstance(document, dict) else None
    if not isinstance(model, str) or not model:
        raise BadRequest("model is required: the name of a model as text", param="model", code="missing_required_parameter")
    return model
