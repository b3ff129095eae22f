"""Chat completions and models, handed to a model server and back."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.routing import Router
from starlette.types import ASGIApp, Message

from junctor.gateway.models.chat_completions import ChatCompletionsUpstream
from junctor.gateway.models.model_server import ModelClients
from junctor.gateway.models.passthrough import passthrough_routes
from junctor.gateway.models.router import UpstreamRoute, UpstreamRouter
from junctor.gateway.web.bodies import HoldingMiddleware
from junctor.gateway.web.errors import openai_body
from junctor.gateway.web.middleware import ErrorMiddleware
from junctor.net.globs import Globs
from tests.support.model_server import ModelServer, Round

PATH = "/v1/chat/completions"
USER = [{"role": "user", "content": "hi"}]
SCRIPTS = {
    "text": [Round(text="Sunny in Köln 🌦")],
    "hangs": [Round(text="Sunny in the whole", hang=2)],
    "hangs-at-once": [Round(text="Sunny", hang=0)],
    "drops": [Round(text="Sunny in the whole", drop=2)],
    "late-error": [Round(text="Sunny in the whole", error={"message": "died"}, after=2)],
    "overloaded": [Round(status=503, error="no room")],
    "busy": [Round(status=429, error="slow down", retry_after="7")],
}


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer(SCRIPTS, key="sk-gateway") as server:
        yield server


def app(url: str, client: ModelClients, key: str | None = "sk-gateway", *, body_limit: int = 1000) -> ASGIApp:
    upstream = ChatCompletionsUpstream(url, clients=client, key=lambda: key, headers={"x-tenant": "ours"})
    routes = passthrough_routes(UpstreamRouter([UpstreamRoute(Globs(["*"]), upstream)]), body_limit=body_limit)
    return ErrorMiddleware(HoldingMiddleware(Router(routes, redirect_slashes=False), lambda _: None), body_limit=10_000, render=openai_body)


def caller(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")


@pytest.fixture
async def gateway(server: ModelServer) -> AsyncIterator[ASGIApp]:
    server.requests.clear()
    server.received.clear()
    async with ModelClients() as client:
        yield app(server.url, client)


async def post(gateway: ASGIApp, **body: Any) -> httpx.Response:
    async with caller(gateway) as client:
        return await client.post(PATH, json={"messages": USER, **body})


async def test_answer_is_the_model_servers(gateway: ASGIApp) -> None:
    answer = await post(gateway, model="text")
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "Sunny in Köln 🌦"


async def test_stream_is_the_model_servers_byte_for_byte(gateway: ASGIApp, server: ModelServer) -> None:
    answer = await post(gateway, model="text", stream=True)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.text.endswith("data: [DONE]\n\n")
    assert '"content": "Sunny in"' in answer.text


async def test_body_is_sent_as_it_came(gateway: ASGIApp, server: ModelServer) -> None:
    await post(gateway, model="text", whatever={"a": [1, None]}, temperature=0.25)
    assert server.bodies == [{"messages": USER, "model": "text", "whatever": {"a": [1, None]}, "temperature": 0.25}]


async def test_callers_credentials_go_nowhere(gateway: ASGIApp, server: ModelServer) -> None:
    headers = {
        "Authorization": "Bearer sk-caller",
        "api-key": "sk-caller",
        "x-api-key": "sk-caller",
        "Cookie": "session=sk-caller",
        "Proxy-Authorization": "sk-caller",
        "Connection": "x-secret",
        "x-secret": "sk-caller",
        "x-tenant": "theirs",
        "traceparent": "00-1-1-00",
    }
    async with caller(gateway) as client:
        await client.post(PATH, json={"model": "text", "messages": USER}, headers=headers)
    [request] = server.requests
    assert "sk-caller" not in json.dumps(request.headers)
    assert request.headers["authorization"] == "Bearer sk-gateway"
    assert request.headers["x-tenant"] == "ours"
    assert request.headers["traceparent"] == "00-1-1-00"


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"model": "nobody"}, 404, "model_not_found", "model"),
        ({"model": "text", "tools": []}, 400, None, "tools"),
        ({"model": "overloaded"}, 503, "server_error", None),
        ({"model": "drops"}, 502, "server_error", None),
        ({"model": ""}, 400, "missing_required_parameter", "model"),
        ({}, 400, "missing_required_parameter", "model"),
        ({"model": "text", "more": "x" * 1000}, 413, "request_too_large", None),
    ],
)
async def test_errors_are_openais(gateway: ASGIApp, body: dict[str, Any], status: int, code: str | None, param: str | None) -> None:
    answer = await post(gateway, **body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
    assert error["type"] == ("server_error" if status >= 500 else "invalid_request_error")


async def test_a_busy_server_says_when_to_come_again(gateway: ASGIApp) -> None:
    answer = await post(gateway, model="busy")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert (answer.json()["error"]["type"], answer.json()["error"]["code"]) == ("rate_limit_error", "rate_limit_exceeded")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 900])
async def test_body_that_names_no_model_is_refused(gateway: ASGIApp, server: ModelServer, content: bytes) -> None:
    async with caller(gateway) as client:
        answer = await client.post(PATH, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert server.requests == []


async def test_refused_key_is_not_the_callers_401(server: ModelServer) -> None:
    async with ModelClients() as client:
        answer = await post(app(server.url, client, "sk-wrong"), model="text")
        assert (answer.status_code, "gateway's key" in answer.text) == (502, True)
        async with caller(app(server.url, client, "sk-wrong")) as asking:
            assert (await asking.get("/v1/models")).status_code == 502


async def test_server_that_is_not_there_is_503() -> None:
    # Bound, but not listening: nobody else gets the port.
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with ModelClients() as client:
            answer = await post(app(f"http://127.0.0.1:{unused.getsockname()[1]}", client), model="text")
    assert answer.status_code == 503


@pytest.mark.parametrize("model", ["drops", "late-error"])
async def test_stream_that_breaks_ends_with_an_error_event(gateway: ASGIApp, model: str) -> None:
    answer = await post(gateway, model=model, stream=True)
    assert answer.status_code == 200
    events = [event for event in answer.text.split("\n\n") if event and event != "data: [DONE]"]
    assert json.loads(events[-1].removeprefix("data: "))["error"]["message"]


async def test_models_are_listed(gateway: ASGIApp) -> None:
    async with caller(gateway) as client:
        listed = (await client.get("/v1/models", headers={"Authorization": "Bearer sk-caller"})).json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["scripted", *SCRIPTS]


@pytest.mark.parametrize(("model", "stream"), [("hangs", True), ("hangs-at-once", True), ("hangs-at-once", False)])
async def test_caller_that_goes_away_ends_the_generation(gateway: ASGIApp, server: ModelServer, model: str, stream: bool) -> None:
    body = json.dumps({"model": model, "messages": USER, "stream": stream}).encode()
    gone = asyncio.Event()
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    sent: list[Message] = []
    json_body = [(b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": PATH,
        "headers": json_body,
        "query_string": b"",
        "root_path": "",
        "http_version": "1.1",
    }
    serving = asyncio.create_task(_call(gateway, scope, receive, send))
    assert await asyncio.to_thread(server.received.wait, 10)
    gone.set()
    await serving
    [request] = server.requests
    assert await asyncio.to_thread(request.ended.wait, 10)
    assert request.cut


async def _call(app: ASGIApp, scope: Any, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
    await app(scope, receive, send)


async def test_answer_headers_that_are_the_servers_own_stay_there() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        headers = {"set-cookie": "a=b", "www-authenticate": "Basic", "server": "x", "x-request-id": "r1", "x-ratelimit-limit-tokens": "9"}
        return httpx.Response(200, json={}, headers=headers)

    async with ModelClients(httpx.MockTransport(answer)) as client:
        got = await post(app("http://model", client), model="text")
    assert got.headers["x-request-id"].startswith("req_")
    assert {name: value for name, value in got.headers.items() if name != "x-request-id"} == {
        "content-type": "application/json",
        "x-ratelimit-limit-tokens": "9",
    }


async def test_the_model_server_gets_the_request_id_of_the_answer(gateway: ASGIApp, server: ModelServer) -> None:
    answer = await post(gateway, model="text")
    assert server.requests[0].headers["x-request-id"] == answer.headers["x-request-id"]
