"""A caller reads everything that the gateway shows, in search of secrets that owners put into addresses."""

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio

from tests.support.mcp_servers import ScriptedServer, answering, serving
from tests.support.running_gateway import RunningGateway, mcp_tool

CANARY = "NDk1ZjA3-canary"


class Shown(NamedTuple):
    """What a caller may ask for. url: of the MCP servers, without a path."""

    gateway: RunningGateway
    url: str

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
    server = ScriptedServer(answers={"initialize": answering(500, "no")})
    async with serving(server.app()) as url:
        yield Shown(victim, url)


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
