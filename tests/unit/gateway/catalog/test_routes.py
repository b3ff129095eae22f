"""The catalog as applications see it."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from junctor.connectormap.reader import read_map
from junctor.gateway.catalog.routes import public_app
from junctor.gateway.serving.directory import Available, ConnectorDirectory
from junctor.gateway.serving.served_map import PreparedMap, ServedMap
from junctor.gateway.tools.ports import ToolServer
from tests.unit.gateway.maps import MAP, MemorySource, bearer, content, discovered, publish, registry

KEY = "3f7a000000000000.1b2c000000000000"
DISCOVERED = "mcp::internal::io.github.acme/files"


async def served_map(*contents: dict[str, Any]) -> ServedMap:
    source = MemorySource()
    publish(source, 1, *contents)
    found = await read_map(MAP, source.fetch_head, source.fetch_shard)
    assert found is not None
    return ServedMap.of(await PreparedMap.of(found), {KEY: b"hunter2"}, datetime.now(UTC))


async def no_server(found: Available) -> ToolServer:
    raise AssertionError("no test here lists tools")


def client_of(served: Callable[[], ServedMap | None], **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(public_app(ConnectorDirectory(served), no_server, **options)), base_url="http://gateway"
    )


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    served = await served_map(
        content(
            "connector_github",
            title="GitHub",
            description="Issues and pull requests",
            url="https://user:pw@api.github.com:8443/mcp?key=hunter2#x",
            headers=[{"name": "X-Key", "value": "hunter2"}, {"name": "X-Other", "credential": KEY}],
            auth=bearer(KEY),
            tools={"allowed": ["search"]},
        ),
        content("connector_off", available=False, reason="SecretNotFound"),
        content("connector_future", requires=["teleport/1"]),
        content("connector_odd", headers=7, title=None),
        registry(),
        discovered("io.github.acme/files", description="STRASSE"),
    )
    async with client_of(lambda: served) as client:
        yield client


async def get(client: httpx.AsyncClient, url: str, status: int = 200) -> Any:
    response = await client.get(url)
    assert response.status_code == status, response.text
    return response.json()


async def test_a_connector_shows_its_policy_and_no_credential(client: httpx.AsyncClient) -> None:
    shown = await get(client, "/v1/connectors/connector_github")
    assert shown == {
        "id": "connector_github",
        "object": "connector",
        "title": "GitHub",
        "description": "Issues and pull requests",
        "available": True,
        "server_url": "https://api.github.com:8443",
        "transport": "Auto",
        "caller_authorization": "Allow",
        "tools": {"allowed": ["search"]},
        "approval": {"mode": "AsRequested"},
        "origin": {"kind": "MCPConnector", "namespace": "team-a", "name": "connector_github"},
    }


async def test_nothing_that_is_listed_holds_a_credential(client: httpx.AsyncClient) -> None:
    text = json.dumps(await get(client, "/v1/connectors"))
    assert not [secret for secret in ("hunter2", KEY, "X-Key", "user", "pw@") if secret in text]


@pytest.mark.parametrize(
    ("connector_id", "reason"),
    [("connector_off", "SecretNotFound"), ("connector_future", "UnknownFeature"), ("connector_odd", "InvalidEntry")],
)
async def test_what_cannot_be_used_is_listed_with_the_reason(client: httpx.AsyncClient, connector_id: str, reason: str) -> None:
    shown = await get(client, f"/v1/connectors/{connector_id}")
    assert (shown["available"], shown["reason"]) == (False, reason)


@pytest.mark.parametrize(
    "url",
    [f"/v1/connectors/{DISCOVERED}", f"/v1/connectors/{quote(DISCOVERED, safe='')}", f"/v1/connectors?id={quote(DISCOVERED, safe='')}"],
)
async def test_a_discovered_connector_is_found_however_its_slash_is_written(client: httpx.AsyncClient, url: str) -> None:
    assert (await get(client, url))["id"] == DISCOVERED


@pytest.mark.parametrize("connector_id", ["connector_github", DISCOVERED, quote(DISCOVERED, safe="")])
async def test_what_follows_an_id_is_a_sub_resource(client: httpx.AsyncClient, connector_id: str) -> None:
    error = (await get(client, f"/v1/connectors/{connector_id}/toolbox", 404))["error"]
    assert "has no sub-resource 'toolbox'" in error["message"]


@pytest.mark.parametrize(
    ("wanted", "near"),
    [("connector_gihub", "connector_github"), ("conector_github", "connector_github"), ("mcp::internal::io.github.acme/fils", DISCOVERED)],
)
async def test_an_unknown_id_is_a_404_with_near_ids(client: httpx.AsyncClient, wanted: str, near: str) -> None:
    error = (await get(client, f"/v1/connectors/{wanted}", 404))["error"]
    assert error["type"] == "invalid_request_error"
    assert (error["param"], error["code"]) == ("id", "connector_not_found")
    assert repr(near) in error["message"]


@pytest.mark.parametrize("wanted", ["%00", "a" * 5000, "mcp::", "mcp::a", "%2F", "ü", "a%20b"])
async def test_an_impossible_id_is_a_404(client: httpx.AsyncClient, wanted: str) -> None:
    error = (await get(client, f"/v1/connectors/{wanted}", 404))["error"]
    assert len(error["message"]) < 500


@pytest.mark.parametrize(
    ("search", "found"),
    [("GITHUB", ["connector_github", DISCOVERED]), ("pull req", ["connector_github"]), ("straße", [DISCOVERED]), ("nothing", [])],
)
async def test_search_looks_in_id_title_and_description(client: httpx.AsyncClient, search: str, found: list[str]) -> None:
    assert [item["id"] for item in (await get(client, f"/v1/connectors?search={quote(search)}"))["data"]] == found


async def test_an_empty_page_has_no_ids(client: httpx.AsyncClient) -> None:
    assert await get(client, "/v1/connectors?search=nothing") == {
        "object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False,
    }  # fmt: skip


@given(
    ids=st.sets(st.from_regex(r"[A-Za-z0-9._-]{1,4}", fullmatch=True), max_size=40),
    gone=st.sets(st.integers(0, 39)),
    limit=st.integers(1, 10),
)
@settings(max_examples=30)
async def test_paging_gives_each_lasting_id_once_in_order_while_ids_vanish(ids: set[str], gone: set[int], limit: int) -> None:
    everything, vanishing = sorted(ids), {sorted(ids)[index] for index in gone if index < len(ids)}
    current = await served_map(*(content(key) for key in everything))
    after, seen = "", []
    async with client_of(lambda: current) as client:
        more = True
        while more:
            page = await get(client, f"/v1/connectors?limit={limit}" + (f"&after={after}" if after else ""))
            seen += [item["id"] for item in page["data"]]
            more, after = page["has_more"], page["last_id"]
            current = await served_map(*(content(key) for key in everything if key not in vanishing))
    assert seen == sorted(set(seen))
    assert ids - vanishing <= set(seen) <= ids


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("limit=", "limit"), ("limit=-1", "limit"),
        ("limit=%C2%B2", "limit"), ("after=", "after"), ("after=a%20b", "after"), ("after=mcp::x", "after"),
        ("search=a&search=b", "search"), ("search=" + "x" * 300, "search"), ("order=desc", "order"),
        ("registry_id=", "registry_id"), ("registry_id=a%2Fb", "registry_id"),
        ("registry_id=A", "registry_id"), ("id=connector_github&registry_id=internal", "registry_id"),
        ("id=connector_github&limit=1", "limit"),
    ],
)  # fmt: skip
async def test_a_parameter_that_is_wrong_or_unknown_is_refused_by_name(client: httpx.AsyncClient, query: str, param: str) -> None:
    error = (await get(client, f"/v1/connectors?{query}", 400))["error"]
    assert error["param"] == param
    assert param in error["message"]


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/connectors/", "/v1/models", "/-/reload", "/-/readyz", "/metrics"])
async def test_an_unknown_path_is_a_404_of_the_same_form(client: httpx.AsyncClient, path: str) -> None:
    error = (await get(client, path, 404))["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["code"] == "unknown_url"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_a_wrong_method_is_a_405_with_allow(client: httpx.AsyncClient, method: str) -> None:
    response = await client.request(method, "/v1/connectors")
    assert (response.status_code, response.json()["error"]["code"]) == (405, "method_not_allowed")
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD"}


async def test_head_works_as_get(client: httpx.AsyncClient) -> None:
    head, whole = await client.head("/v1/connectors"), await client.get("/v1/connectors")
    assert head.status_code == 200
    assert head.headers["content-length"] == whole.headers["content-length"]


async def test_a_declared_body_over_the_limit_is_a_413(client: httpx.AsyncClient) -> None:
    response = await client.request("GET", "/v1/connectors", headers={"Content-Length": str(11 * 1024 * 1024)})
    assert (response.status_code, response.json()["error"]["code"]) == (413, "request_too_large")


async def test_before_the_first_map_it_is_a_503_that_says_when_to_come_back() -> None:
    async with client_of(lambda: None) as client:
        response = await client.get("/v1/connectors")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["error"]["code"] == "no_connector_map"


async def test_a_failure_is_a_500_that_tells_nothing_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> ServedMap | None:
        raise ZeroDivisionError("hunter2")

    async with client_of(broken) as client:
        response = await client.get("/v1/connectors")
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "server_error"
    assert "hunter2" not in response.text
    assert "ZeroDivisionError" in caplog.text
