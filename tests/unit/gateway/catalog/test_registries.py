"""Registries and their servers in the catalog, as two teams see them."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from junctor.gateway.auth import Caller
from junctor.gateway.catalog.routes import public_app
from junctor.gateway.serving.directory import ConnectorDirectory
from junctor.gateway.web.errors import Unauthorized
from tests.unit.gateway.catalog.test_routes import no_server, served_map
from tests.unit.gateway.maps import content, discovered, registry

WEATHER = "mcp::internal::io.github.acme/weather"
#: Names as the community registry has them.
NAMES = ["ai.smithery/Hint-Services-obsidian-github-mcp", "com.stripe/mcp", "io.github.acme/weather", "io.github.User-1/x_y.z"]
TEAMS = {"alice": ("team-a",), "bob": ("team-b",)}


def only_for(team: str) -> dict[str, Any]:
    return {"access": {"subjects": [{"kind": "Group", "name": team}]}, "requires": ["registry/1", "access/1"]}


class Teams:
    """Callers who send their name as the key."""

    async def identify(self, authorization: str | None, peer: str = "") -> Caller:
        name = (authorization or "").removeprefix("Bearer ")
        if name not in TEAMS:
            raise Unauthorized
        return Caller("User", name, TEAMS[name])

    async def close(self) -> None:
        """Nothing is open."""


MAP = [
    content("aaa"),
    registry(registry={"id": "internal", "url": "https://user:pw@registry.acme.com/v0.1?key=hunter2"}, tools={"denied": ["drop"]}),
    *(discovered(name) for name in NAMES),
    discovered("io.github.acme/old", title="Old", version="0.9.0", deprecated=True),
    discovered("io.github.acme/off", available=False, reason="HostNotAllowed"),
    registry("internal.b", **only_for("team-b")),
    *(discovered(f"com.b/s{number}", "internal.b") for number in range(30)),
    registry("new", **only_for("team-a")),
    content("zzz"),
]


async def ask(path: str, who: str = "alice", status: int = 200) -> Any:
    served = await served_map(*MAP)
    app = public_app(ConnectorDirectory(lambda: served), no_server, callers=Teams())
    headers = {"Authorization": f"Bearer {who}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway/v1/", headers=headers) as client:
        answer = await client.get(path)
    assert answer.status_code == status, answer.text
    return answer.json()


async def ids(path: str, who: str = "alice") -> list[str]:
    return [item["id"] for item in (await ask(path, who))["data"]]


# --- servers ------------------------------------------------------------------------------------------------------------------------------


async def test_a_discovered_connector_shows_where_it_comes_from_and_what_it_inherits() -> None:
    assert await ask(f"connectors/{WEATHER}") == {
        "id": WEATHER,
        "object": "connector",
        "title": None,
        "description": None,
        "available": True,
        "registry": {"id": "internal"},
        "server": "io.github.acme/weather",
        "version": "1.2.0",
        "deprecated": False,
        "server_url": "https://mcp.acme.com",
        "transport": "StreamableHTTP",
        "caller_authorization": "Allow",
        "tools": {"denied": ["drop"]},
        "approval": {"mode": "AsRequested"},
        "origin": {"kind": "MCPRegistry", "namespace": "team-a", "name": "internal"},
    }


async def test_a_deprecated_server_says_so() -> None:
    shown = await ask("connectors/mcp::internal::io.github.acme/old")
    assert (shown["deprecated"], shown["version"]) == (True, "0.9.0")


async def test_a_server_that_cannot_be_used_is_listed_with_the_reason() -> None:
    shown = await ask("connectors/mcp::internal::io.github.acme/off")
    assert (shown["available"], shown["reason"]) == (False, "HostNotAllowed")


@pytest.mark.parametrize("name", NAMES)
async def test_real_names_are_found_however_they_are_written(name: str) -> None:
    connector_id = f"mcp::internal::{name}"
    encoded = quote(connector_id, safe="")
    paths = (f"connectors/{connector_id}", f"connectors/{encoded}", f"connectors?id={encoded}", f"connectors/{quote(connector_id)}")
    assert [(await ask(path))["id"] for path in paths] == [connector_id] * 4


async def test_names_differ_by_case() -> None:
    error = (await ask("connectors/mcp::internal::io.github.acme/Weather", status=404))["error"]
    assert repr(WEATHER) in error["message"]


@pytest.mark.parametrize("path", ["connectors/mcp::internal", "connectors?id=mcp%3A%3Ainternal", "connectors/mcp::unknown"])
async def test_the_entry_of_a_registry_is_an_unknown_connector(path: str) -> None:
    assert (await ask(path, status=404))["error"]["code"] == "connector_not_found"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("registry_id=internal&search=acme", [f"mcp::internal::io.github.acme/{name}" for name in ("off", "old", "weather")]),
        ("registry_id=internal&limit=1", [f"mcp::internal::{NAMES[0]}"]),
        (f"registry_id=internal&limit=1&after=mcp::internal::{NAMES[0]}", [f"mcp::internal::{NAMES[1]}"]),
        ("registry_id=internal&after=zzz", []),
        ("registry_id=internal&after=aaa&limit=1", [f"mcp::internal::{NAMES[0]}"]),
        ("registry_id=unknown", []),
        ("registry_id=new", []),
        ("registry_id=intern", []),
        ("registry_id=internal.b", []),
    ],
)
async def test_registry_id_leaves_only_the_servers_of_a_registry(query: str, found: list[str]) -> None:
    assert await ids(f"connectors?{query}") == found


async def test_pages_of_a_registry_hold_each_of_its_servers_once() -> None:
    seen: list[str] = []
    more, after = True, ""
    while more:
        page = await ask(f"connectors?registry_id=internal.b&limit=7{after}", "bob")
        seen += [item["id"] for item in page["data"]]
        more, after = page["has_more"], f"&after={page['last_id']}"
    assert seen == sorted(f"mcp::internal.b::com.b/s{number}" for number in range(30))


# --- registries ---------------------------------------------------------------------------------------------------------------------------


async def test_a_registry_shows_its_address_without_keys_and_how_many_servers_the_caller_may_use() -> None:
    shown = {
        "id": "internal",
        "object": "registry",
        "url": "https://registry.acme.com",
        "connectors": len(NAMES) + 2,
        "origin": {"kind": "MCPRegistry", "namespace": "team-a", "name": "internal"},
    }
    assert await ask("registries/internal") == shown
    assert (await ask("registries?limit=1")) == {
        "object": "list", "data": [shown], "first_id": "internal", "last_id": "internal", "has_more": True,
    }  # fmt: skip


async def test_each_team_sees_the_registries_whose_servers_it_may_use() -> None:
    seen = {who: [(item["id"], item["connectors"]) for item in (await ask("registries", who))["data"]] for who in TEAMS}
    assert seen == {"alice": [("internal", 6), ("new", 0)], "bob": [("internal", 6), ("internal.b", 30)]}


@pytest.mark.parametrize("registry_id", ["internal.b", "nothing", "a%20b", "mcp::internal"])
async def test_a_registry_of_others_is_one_that_does_not_exist(registry_id: str) -> None:
    error = (await ask(f"registries/{registry_id}", status=404))["error"]
    assert (error["code"], error["param"]) == ("registry_not_found", "id")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("search=REGISTRY.acme", ["internal"]),
        ("search=hunter2", []),
        ("search=new", ["new"]),
        ("after=internal", ["new"]),
        ("after=internal.b", ["new"]),
        ("after=zzz", []),
    ],
)
async def test_registries_are_searched_and_paged_as_connectors_are(query: str, found: list[str]) -> None:
    assert await ids(f"registries?{query}") == found


@pytest.mark.parametrize(
    ("path", "status", "param"),
    [
        ("registries?limit=0", 400, "limit"),
        ("registries?after=mcp::internal::x", 400, "after"),
        ("registries?registry_id=internal", 400, "registry_id"),
        ("registries/internal?limit=1", 400, "limit"),
        ("registries/internal/servers", 404, None),
        ("registries/", 404, None),
    ],
)
async def test_what_is_no_part_of_the_api_is_refused(path: str, status: int, param: str | None) -> None:
    assert (await ask(path, status=status))["error"]["param"] == param
