"""Each answer has an id, which the log gives beside what went wrong."""

import logging
import re

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from junctor.gateway.catalog.routes import public_app
from junctor.gateway.models.ports import TextDelta, UpstreamError
from junctor.gateway.serving.directory import ConnectorDirectory
from junctor.gateway.web.errors import ApiError
from tests.unit.gateway.catalog.test_routes import no_server
from tests.unit.gateway.responses.fakes import FakeUpstream, Gateway, RawExchange


async def show(request: Request) -> Response:
    return JSONResponse({"header": request.headers["x-request-id"], "state": request.state.request_id})


async def fail(request: Request) -> Response:
    status = request.query_params.get("status")
    if status is None:
        raise RuntimeError("a bug")
    raise ApiError("hunter2", status=int(status), code="c", param="p")


def client_of(body_limit: int = 1000) -> httpx.AsyncClient:
    more = [Route("/show", show, methods=["GET"]), Route("/fail", fail, methods=["GET"])]
    app = public_app(ConnectorDirectory(lambda: None), no_server, more=more, body_limit=body_limit)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://gateway")


@pytest.mark.parametrize("path", ["/show", "/v1/connectors", "/nowhere", "/fail?status=400", "/fail"])
async def test_every_answer_has_an_id_of_its_own(path: str) -> None:
    async with client_of() as client:
        ids = [(await client.get(path)).headers.get_list("x-request-id") for _ in range(2)]
    assert all(len(given) == 1 and re.fullmatch(r"req_[0-9a-f]{32}", given[0]) for given in ids)
    assert ids[0] != ids[1]


async def test_a_body_that_is_too_large_is_refused_with_an_id() -> None:
    async with client_of(body_limit=1) as client:
        refused = await client.post("/show", content=b"xx")
    assert (refused.status_code, "x-request-id" in refused.headers) == (413, True)


@pytest.mark.parametrize("given", ["mine-1", "0a1b2c3d-4e5f-6789-abcd-ef0123456789", "a" * 128])
async def test_the_callers_own_id_is_kept(given: str) -> None:
    async with client_of() as client:
        answer = await client.get("/show", headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"] == given
    assert answer.json() == {"header": given, "state": given}


@pytest.mark.parametrize("given", [[""], ["a b"], ["a\tb"], ["a" * 129], ["{}"], ["a", "b"]])
async def test_an_id_that_is_not_sane_is_replaced(given: list[str]) -> None:
    async with client_of() as client:
        answer = await client.get("/show", headers=[("x-request-id", value) for value in given])
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.json()["header"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("path", "told"),
    [("/fail?status=400", "400 c p"), ("/fail?status=503", "503 c: hunter2"), ("/fail?status=424", "424 c: hunter2"), ("/fail", "failed")],
)
async def test_the_log_names_the_request_that_failed(caplog: pytest.LogCaptureFixture, path: str, told: str) -> None:
    caplog.set_level(logging.INFO)
    async with client_of() as client:
        await client.get(path, headers={"x-request-id": "mine-1"})
    [record] = [record for record in caplog.records if record.name.startswith("junctor")]
    assert record.getMessage().startswith("request mine-1: GET '/fail'")
    assert record.getMessage().endswith(told)


async def test_the_words_of_a_refusal_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with client_of() as client:
        await client.get("/fail?status=400")
    assert "hunter2" not in caplog.text


async def test_the_log_names_the_request_whose_stream_broke(caplog: pytest.LogCaptureFixture) -> None:
    gateway = Gateway(FakeUpstream([TextDelta("Wel"), UpstreamError("it broke")]))
    exchange = RawExchange(gateway.app, b'{"model": "m", "input": "hi", "stream": true}')
    await exchange.run()
    assert f"request {exchange.headers[b'x-request-id'].decode()}: the stream of resp_" in caplog.text


async def test_openais_client_shows_it() -> None:
    response = await Gateway(FakeUpstream()).client.responses.create(model="m", input="hi", extra_headers={"x-request-id": "mine-1"})
    assert response._request_id == "mine-1"
