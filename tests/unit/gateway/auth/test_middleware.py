"""What stands in front of everything on the public port."""

from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from junctor.gateway.auth import ANONYMOUS, AllowAll, Caller, CallersError, open_callers
from junctor.gateway.auth.ports import bearer_token
from junctor.gateway.catalog.routes import public_app
from junctor.gateway.serving.directory import ConnectorDirectory
from junctor.gateway.web.errors import Unauthorized
from tests.unit.gateway.catalog.test_routes import no_server

ALICE = Caller("User", "alice", ("team-a",))


class OnlyAlice:
    async def identify(self, authorization: str | None, peer: str = "") -> Caller:
        if authorization != "Bearer right":
            raise Unauthorized
        return ALICE

    async def close(self) -> None:
        """Nothing is open."""


async def show(request: Request) -> Response:
    caller: Caller = request.state.caller
    return JSONResponse({"caller": [caller.kind, caller.name, list(caller.groups)], "headers": list(request.headers)})


def client_of(callers: Any) -> httpx.AsyncClient:
    app = public_app(ConnectorDirectory(lambda: None), no_server, more=[Route("/show", show, methods=["GET"])], callers=callers)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")


@pytest.mark.parametrize("path", ["/v1/connectors", "/v1/connectors/x", "/show", "/nowhere", "/", "//", "/v1/responses"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD"])
async def test_no_path_answers_without_a_key(method: str, path: str) -> None:
    async with client_of(OnlyAlice()) as client:
        answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_the_refusal_is_openai_s() -> None:
    async with client_of(OnlyAlice()) as client:
        error = (await client.get("/show", headers={"Authorization": "Bearer wrong"})).json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "invalid_api_key", None)
    assert "wrong" not in error["message"]


async def test_handlers_get_the_caller_and_not_its_key() -> None:
    async with client_of(OnlyAlice()) as client:
        shown = (await client.get("/show", headers={"Authorization": "Bearer right", "Proxy-Authorization": "Basic x", "X-A": "1"})).json()
    assert shown["caller"] == ["User", "alice", ["team-a"]]
    assert "x-a" in shown["headers"]
    assert not {"authorization", "proxy-authorization"} & set(shown["headers"])


async def test_two_keys_at_once_are_refused() -> None:
    async with client_of(OnlyAlice()) as client:
        answer = await client.get("/show", headers=[("Authorization", "Bearer right"), ("Authorization", "Bearer right")])
    assert answer.status_code == 401


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer anything"}, {"Authorization": "nonsense"}])
async def test_everybody_is_let_in_when_nobody_is_asked(headers: dict[str, str]) -> None:
    async with client_of(AllowAll()) as client:
        shown = (await client.get("/show", headers=headers)).json()
    assert shown["caller"] == [ANONYMOUS.kind, ANONYMOUS.name, []]
    assert "authorization" not in shown["headers"]


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer a b", None),
        ("Basic abc", None),
        ("abc", None),
        ("Bearer k\u00f6", None),
        ("Bearer " + "a" * 20_000, None),
    ],
)
def test_bearer_tokens(header: str | None, token: str | None) -> None:
    assert bearer_token(header) == token


@pytest.mark.parametrize("who", ["all", "apikeys", "apikeys:", "none:", "kubernetes:x"])
async def test_callers_that_are_none_are_told(who: str) -> None:
    with pytest.raises(CallersError, match="write"):
        await open_callers(who)
