"""Connectors whose entries cannot be used, through the Responses API and the list of tools."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from junctor.connectormap.reader import read_map
from junctor.gateway.app import McpClients
from junctor.gateway.catalog.routes import public_app
from junctor.gateway.config import only_upstream
from junctor.gateway.responses.routes import ResponsesService
from junctor.gateway.serving.directory import ConnectorDirectory
from junctor.gateway.serving.served_map import PreparedMap, ServedMap
from junctor.net.network_policy import OWN_MACHINE_POLICY
from tests.unit.gateway.maps import MAP, MemorySource, bearer, content, publish

KEY = "3f7a000000000000.1b2c000000000000"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"auth": bearer(KEY)}, "correct its Secret"),
        ({"headers": [{"name": "X-Key", "credential": KEY}]}, "correct its Secret"),
        ({"tls": {"caBundle": "no certificate"}}, "CA bundle"),
        ({"url": "https://user@example.com/mcp"}, "URL"),
        ({"transport": "Pigeon"}, "transport 'Pigeon'"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_entry_that_cannot_be_used_is_a_424_that_names_the_label(fields: dict[str, Any], reason: str, stream: bool) -> None:
    source = MemorySource()
    publish(source, 1, content("a", **fields))
    found = await read_map(MAP, source.fetch_head, source.fetch_shard)
    assert found is not None
    served = ServedMap.of(await PreparedMap.of(found), {KEY: b"hunter2\nhunter3"}, datetime.now(UTC))
    directory, clients = ConnectorDirectory(lambda: served), McpClients(OWN_MACHINE_POLICY)
    service = ResponsesService(directory, [only_upstream("http://127.0.0.1:9")], clients.pool)
    app = public_app(directory, clients.bind, more=service.routes())
    tool = {"type": "mcp", "server_label": "tickets", "connector_id": "a"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway/v1") as client:
        answer = await client.post("responses", json={"model": "m", "input": "hi", "tools": [tool], "stream": stream})
        listed = await client.get("connectors/a/tools")
    await service.close()
    await clients.close()
    assert (answer.status_code, listed.status_code) == (424, 424)
    error = answer.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("external_connector_error", "http_error", "tools")
    assert "'tickets'" in error["message"]
    assert reason in error["message"]
    assert "hunter" not in answer.text
