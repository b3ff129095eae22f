"""Every failure of a handler becomes one error answer, and a body that is too large is refused without being kept."""

import asyncio
import json
from collections.abc import Sequence

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from junctor.gateway.web.errors import ApiError, BadRequest, MapNotLoaded
from junctor.gateway.web.middleware import ErrorMiddleware

LIMIT = 10


class Exchange:
    """One request to the middleware, as an ASGI server sends it. left: the parts of the body that nobody has read."""

    def __init__(self, parts: Sequence[bytes] = (b"",), headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self.left = list(parts)
        self.scope: Scope = {"type": "http", "method": "POST", "path": "/v1/x", "headers": list(headers)}
        self.sent: list[Message] = []

    async def run(self, app: ASGIApp) -> None:
        wrapped = ErrorMiddleware(app, body_limit=LIMIT, render=lambda error: {"error": error.message, "code": error.code})
        await wrapped(self.scope, self._receive, self._send)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def answer(self) -> dict[str, str]:
        answer: dict[str, str] = json.loads(b"".join(message.get("body", b"") for message in self.sent))
        return answer

    async def _receive(self) -> Message:
        part = self.left.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(self.left)}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


def failing(error: BaseException, *, started: bool = False) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if started:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    return app


async def read_body(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body and answer 200."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


@pytest.mark.parametrize(
    ("error", "status", "message", "code"),
    [
        (BadRequest("id is wrong", code="invalid_value"), 400, "id is wrong", "invalid_value"),
        (ApiError("away", status=503), 503, "away", None),
        (HTTPException(404), 404, "there is nothing at /v1/x", "unknown_url"),
        (HTTPException(405, headers={"Allow": "GET"}), 405, "POST is not possible on /v1/x; use GET", "method_not_allowed"),
        (HTTPException(400, detail="broken form"), 400, "broken form", None),
        (RuntimeError("hunter2"), 500, "the gateway failed on this request; its log says more", None),
    ],
)
async def test_a_failure_becomes_an_answer(error: Exception, status: int, message: str, code: str | None) -> None:
    exchange = Exchange()
    await exchange.run(failing(error))
    assert (exchange.status, exchange.answer["error"]) == (status, message)
    if code is not None:
        assert exchange.answer["code"] == code
    assert exchange.headers["x-request-id"].startswith("req_")


async def test_the_headers_of_an_error_reach_the_client() -> None:
    exchange = Exchange()
    await exchange.run(failing(MapNotLoaded()))
    assert (exchange.status, exchange.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("error", [BadRequest("late"), HTTPException(404), RuntimeError("a bug"), asyncio.CancelledError()])
async def test_a_failure_after_the_answer_has_begun_reaches_the_server(error: BaseException) -> None:
    exchange = Exchange()
    with pytest.raises(type(error)):
        await exchange.run(failing(error, started=True))
    assert [message["type"] for message in exchange.sent] == ["http.response.start"]


async def test_a_request_that_is_cancelled_before_its_answer_hears_that_the_gateway_stops() -> None:
    exchange = Exchange()
    with pytest.raises(asyncio.CancelledError):
        await exchange.run(failing(asyncio.CancelledError()))
    assert (exchange.status, exchange.headers["connection"]) == (503, "close")


async def test_a_client_that_is_away_gets_no_answer() -> None:
    exchange = Exchange()
    await exchange.run(failing(ClientDisconnect()))
    assert exchange.sent == []


@pytest.mark.parametrize(
    ("parts", "headers", "status"),
    [
        ((b"x" * LIMIT,), (), 200),
        ((b"x" * LIMIT,), ((b"content-length", b"10"),), 200),
        ((b"x",), ((b"content-length", b"ten"),), 200),
        ((b"x" * 5, b"x" * 5), (), 200),
        ((b"x" * (LIMIT + 1),), (), 413),
        ((b"x" * 5, b"x" * 6), (), 413),
        ((b"x" * 11,), ((b"content-length", b"11"),), 413),
        ((b"x" * 11,), ((b"content-length", b"11"), (b"expect", b"100-continue")), 413),
    ],
)
async def test_a_body_has_at_most_so_many_bytes(parts: tuple[bytes, ...], headers: tuple[tuple[bytes, bytes], ...], status: int) -> None:
    exchange = Exchange(parts, headers)
    await exchange.run(read_body)
    assert exchange.status == status
    assert exchange.headers.get("connection") == ("close" if status == 413 else None)


@pytest.mark.parametrize(("expects", "left"), [((), []), (((b"expect", b"100-continue"),), [b"x" * 11, b"y"])])
async def test_the_rest_of_a_refused_body_is_dropped_unless_the_client_waits_for_permission_to_send_it(
    expects: tuple[tuple[bytes, bytes], ...], left: list[bytes]
) -> None:
    exchange = Exchange((b"x" * 11, b"y"), ((b"content-length", b"12"), *expects))
    await exchange.run(read_body)
    assert (exchange.status, exchange.left) == (413, left)


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
async def test_other_connections_are_not_served(kind: str) -> None:
    exchange = Exchange()
    exchange.scope["type"] = kind
    with pytest.raises(RuntimeError, match=kind):
        await exchange.run(read_body)
