"""GET /v1/connectors/{id}/tools, without a model server."""

from typing import Any

import httpx

from junctor.gateway.app import McpClients
from junctor.gateway.catalog.routes import public_app
from junctor.gateway.serving.directory import Available, ConnectorDirectory
from junctor.gateway.serving.served_map import ServedMap
from junctor.gateway.tools.ports import ToolServer
from junctor.net.network_policy import OWN_MACHINE_POLICY
from tests.unit.gateway.maps import bearer, content, served_map
from tests.unit.gateway.tools.servers import FakeServer, tool

KEY = "3f7a000000000000.1b2c000000000000"


async def ask(served: ServedMap | None, bind: Any) -> httpx.Response:
    app = public_app(ConnectorDirectory(lambda: served), bind)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway/v1") as client:
        return await client.get("connectors/a/tools")


async def test_tools_that_the_policy_permits_are_listed() -> None:
    server = FakeServer(tool("read", read_only=True, path="string"), tool("write"), tool("drop", read_only=True))

    async def bind(found: Available) -> ToolServer:
        assert found.connector.id == "a"
        return server

    answer = await ask(served_map(content("a", tools={"readOnly": True, "denied": ["drop"]})), bind)
    assert answer.status_code == 200
    assert answer.json() == {
        "object": "list",
        "data": [
            {
                "object": "tool",
                "name": "read",
                "description": "Does read.",
                "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}},
                "annotations": {"read_only": True},
            }
        ],
        "has_more": False,
    }


async def test_before_there_is_a_map_no_connector_is_called_unknown() -> None:
    answer = await ask(None, McpClients(OWN_MACHINE_POLICY).bind)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_connector_map")


async def test_a_credential_that_is_no_header_is_the_connectors_fault() -> None:
    clients = McpClients(OWN_MACHINE_POLICY)
    answer = await ask(served_map(content("a", auth=bearer(KEY)), credentials={KEY: b"one\ntwo"}), clients.bind)
    await clients.close()
    assert answer.status_code == 424
    assert "a credential is empty or holds more than one line" in answer.json()["error"]["message"]


async def test_a_connector_that_cannot_be_used_says_why() -> None:
    answer = await ask(served_map(content("a", available=False, reason="SecretNotFound")), McpClients(OWN_MACHINE_POLICY).bind)
    assert answer.status_code == 424
    assert "Connector 'a' cannot be used now: SecretNotFound." in answer.json()["error"]["message"]


async def test_a_connector_that_needs_the_callers_authorization_says_so() -> None:
    clients = McpClients(OWN_MACHINE_POLICY)
    answer = await ask(served_map(content("a", callerAuthorization="Require")), clients.bind)
    await clients.close()
    assert answer.status_code == 424
    assert "callerAuthorization: Require" in answer.json()["error"]["message"]
