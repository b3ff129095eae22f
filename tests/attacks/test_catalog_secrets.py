"""A caller reads everything that the gateway shows, in search of secrets that owners put into addresses."""

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.routing import Route

from tests.support.mcp_servers import Answer, ScriptedServer, answering, serving
from tests.support.running_gateway import RunningGateway, mcp_tool

CANARY = "NDk1ZjA3-canary"
SECRET = "c2VjcmV0-canary"


class Shown(NamedTuple):
    """What a caller may ask for. url: of the MCP servers, without a path. server: the one at every path of it."""

    gateway: RunningGateway
    url: str
    server: ScriptedServer

    async def everything(self, *connectors: str) -> dict[str, httpx.Response]:
        """Every answer that concerns the connectors, by what was asked."""
        async with httpx.AsyncClient(base_url=self.gateway.url, trust_env=False, timeout=60) as http:
            answers = {path: await http.get(path) for path in ("/connectors", f"/connectors?search={CANARY}", "/registries")}
            for connector in connectors:
                answers |= {path: await http.get(path) for path in (f"/connectors/{connector}", f"/connectors/{connector}/tools")}
                body = {"model": "any", "input": "hi", "tools": [mcp_tool(connector)]}
                answers[f"response with {connector}"] = await http.post("/responses", json=body)
        return answers


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(victim: RunningGateway) -> AsyncIterator[Shown]:
    server = ScriptedServer()
    app = Starlette(routes=[Route("/{path:path}", server._serve, methods=["GET", "POST", "DELETE"])])
    async with serving(app) as url:
        yield Shown(victim, url, server)


@pytest.mark.asyncio(loop_scope="module")
async def test_no_path_and_no_query_of_an_address_is_shown(shown: Shown) -> None:
    await shown.gateway.connector(f"{shown.url}/s/{CANARY}", connectorID="hosted")
    await shown.gateway.connector(shown.url, connectorID="queried", name="queried", url=f"{shown.url}/mcp?key={CANARY}")
    answers = await shown.everything("hosted", "queried")
    assert [asked for asked, answer in answers.items() if CANARY in answer.text.replace(f"search={CANARY}", "")] == []
    assert answers["/connectors/hosted"].json()["server_url"] == shown.url
    assert answers[f"/connectors?search={CANARY}"].json()["data"] == []
    assert CANARY not in shown.gateway.process.log()


@pytest.mark.asyncio(loop_scope="module")
async def test_the_path_is_shown_where_the_owner_wishes_it(shown: Shown) -> None:
    fields: dict[str, Any] = {"showPath": True, "url": f"{shown.url}/plain/mcp?key={CANARY}"}
    await shown.gateway.connector(shown.url, connectorID="wished", **fields)
    answers = await shown.everything("wished")
    assert answers["/connectors/wished"].json()["server_url"] == f"{shown.url}/plain/mcp"
    assert CANARY not in json.dumps([answer.text for answer in answers.values()])


SECRET_URL: dict[str, Any] = {
    "showPath": True,
    "variables": [
        {"name": "key", "valueFrom": {"secretKeyRef": {"name": "path-key", "key": "token"}}},
        {"name": "region", "value": "eu/west"},
    ],
}
REDIRECT = {"location": f"https://elsewhere.example.com/s/{SECRET}/mcp"}
FAULTS: dict[str, Answer | None] = {
    "works": None,
    "not-found": answering(404, f"Cannot POST /s/{SECRET}/mcp"),
    "refused": answering(401, f"no {SECRET}", www_authenticate=f'Bearer resource_metadata="/s/{SECRET}"'),
    "broken": answering(500, f"/s/{SECRET}"),
    "moved": answering(307, "", **REDIRECT),
    "nonsense": answering(200, f"/s/{SECRET}", content_type="text/plain"),
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_secret_in_an_address_reaches_the_server_only(shown: Shown, fault: str) -> None:
    shown.gateway.secret("path-key", f"{SECRET}/../?#%41")
    answer = FAULTS[fault]
    methods = ("server/discover", "initialize", "tools/list")
    shown.server.answers = {} if answer is None else dict.fromkeys(methods, answer)
    name = f"secret-{fault}"
    await shown.gateway.connector(shown.url, connectorID=name, url=f"{shown.url}/{fault}/{{key}}/{{region}}/mcp?k={{key}}", **SECRET_URL)
    answers = await shown.everything(name)
    assert answers[f"/connectors/{name}/tools"].status_code == (200 if answer is None else 424)
    assert [asked for asked, got in answers.items() if SECRET in got.text.replace(f"search={SECRET}", "")] == []
    assert answers[f"/connectors/{name}"].json()["server_url"] == f"{shown.url}/{fault}/{{key}}/eu%2Fwest/mcp"
    assert SECRET not in shown.gateway.process.log()
    async with httpx.AsyncClient(base_url=shown.gateway.management, trust_env=False, timeout=60) as http:
        told = [await http.get(path) for path in ("/-/revision", "/-/resources")]
    assert all(SECRET not in answer.text for answer in told)
    quoted = f"{SECRET}%2F..%2F%3F%23%2541"
    assert f"/{fault}/{quoted}/eu%2Fwest/mcp?k={quoted}" in shown.server.addresses
