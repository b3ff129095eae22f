"""Who may use a connector, and that for all others it does not exist."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from junctor.connectormap.entry import Entry
from junctor.gateway.app import McpClients
from junctor.gateway.auth import ANONYMOUS, Caller
from junctor.gateway.auth.ports import subjects_of
from junctor.gateway.catalog.routes import public_app
from junctor.gateway.config import only_upstream
from junctor.gateway.responses.routes import ResponsesService
from junctor.gateway.serving.connector import Connector
from junctor.gateway.serving.directory import ConnectorDirectory
from junctor.gateway.serving.served_map import ServedMap
from junctor.gateway.web.errors import Unauthorized
from junctor.net.network_policy import OWN_MACHINE_POLICY
from tests.unit.gateway.catalog.test_routes import served_map
from tests.unit.gateway.maps import content, discovered, registry

ALICE = Caller("User", "alice", ("team-a", "ops"))
APP = Caller("ServiceAccount", "app", ("system:serviceaccounts:team-a",), "team-a")


def subject(kind: str, name: str, namespace: str | None = None) -> dict[str, Any]:
    return {"kind": kind, "name": name} | ({"namespace": namespace} if namespace else {})


def only_for(*subjects: dict[str, Any]) -> dict[str, Any]:
    """The fields of an entry with subjects, as the planner makes it."""
    return {"access": {"subjects": list(subjects)}, "requires": ["access/1"]}


def may_use(caller: Caller, **fields: Any) -> bool:
    """Whether a caller may use the connector of an entry."""
    access = Connector.of(Entry.of(content("a", **fields))).access
    return access is None or not access.isdisjoint(subjects_of(caller))


# --- who is meant -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "caller"),
    [
        (subject("User", "alice"), ALICE),
        (subject("Group", "ops"), ALICE),
        (subject("ServiceAccount", "app", "team-a"), APP),
        (subject("Group", "system:serviceaccounts:team-a"), APP),
        (subject("User", "team-a"), Caller("User", "team-a")),
    ],
)
def test_a_subject_means_its_caller_beside_others(named: dict[str, Any], caller: Caller) -> None:
    assert may_use(caller, **only_for(named))
    assert may_use(caller, **only_for(subject("Group", "others"), named, subject("User", "somebody")))


@pytest.mark.parametrize(
    ("named", "caller"),
    [
        (subject("User", "alice"), Caller("User", "Alice")),
        (subject("User", "alice"), Caller("User", "bob", ("alice",))),
        (subject("User", "team-a"), ALICE),
        (subject("Group", "alice"), ALICE),
        (subject("Group", "team"), ALICE),
        (subject("User", "app"), APP),
        (subject("Group", "app"), APP),
        (subject("ServiceAccount", "app", "team-b"), APP),
        (subject("ServiceAccount", "other", "team-a"), APP),
        # API keys may have any name.
        (subject("ServiceAccount", "app", "team-a"), Caller("User", "app", ("team-a",))),
        (subject("ServiceAccount", "app", "team-a"), Caller("User", "team-a/app")),
        (subject("ServiceAccount", "app", "team-a"), Caller("User", "system:serviceaccount:team-a:app")),
        (subject("User", "anonymous"), ANONYMOUS),
        (subject("Group", "anonymous"), ANONYMOUS),
        (subject("ServiceAccount", "anonymous", "team-a"), ANONYMOUS),
    ],
)
def test_a_subject_means_nobody_else(named: dict[str, Any], caller: Caller) -> None:
    assert not may_use(caller, **only_for(named))


@pytest.mark.parametrize("caller", [ALICE, APP, ANONYMOUS])
def test_without_access_everybody_may(caller: Caller) -> None:
    assert may_use(caller)


@pytest.mark.parametrize(
    "fields",
    [
        {"access": None},
        {"access": {}},
        {"access": []},
        {"access": "alice"},
        {"access": {"subjects": None}},
        {"access": {"subjects": []}},
        {"access": {"subjects": {"kind": "User", "name": "alice"}}},
        {"access": {"subjects": [subject("User", "alice")], "except": []}},
        {"access": {"subjects": [subject("User", "alice"), subject("Team", "x")]}},
        {"access": {"subjects": [subject("User", "alice", "team-a")]}},
        {"access": {"subjects": [subject("User", "alice") | {"until": "2026"}]}},
        {"access": {"subjects": [{"kind": "User", "name": ["alice"]}]}},
        {"access": {"subjects": [subject("User", "alice"), subject("ServiceAccount", "app")]}},
        {"access": {"subjects": ["alice"]}},
        {"access": {"subjects": [subject("User", "alice")]}, "requires": ["access/2"]},
        {"requires": ["access/2"]},
    ],
)
def test_what_is_not_understood_means_nobody(fields: dict[str, Any]) -> None:
    assert not may_use(ALICE, **fields)


@pytest.mark.parametrize(
    "fields",
    [{"available": False, "reason": "SecretNotFound"}, {"requires": ["access/1", "teleport/1"]}, {"headers": 7}],
    ids=["unavailable", "unknown feature", "invalid"],
)
def test_what_cannot_be_used_is_hidden_all_the_same(fields: dict[str, Any]) -> None:
    hidden = only_for(subject("User", "alice")) | fields
    assert not may_use(APP, **hidden)
    assert may_use(ALICE, **hidden)


def test_equal_subjects_are_held_once() -> None:
    entries = [content(key, **only_for(subject("User", "alice"), subject("Group", "x"))) for key in ("a", "b")]
    first, second = (Connector.of(Entry.of(entry)) for entry in entries)
    assert first.access is second.access


# --- what it does not exist for -----------------------------------------------------------------------------------------------------------


class Everyone:
    """Callers who send their name as the key."""

    async def identify(self, authorization: str | None, peer: str = "") -> Caller:
        name = (authorization or "").removeprefix("Bearer ")
        if not name:
            raise Unauthorized
        return Caller("User", name)

    async def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def client_of(served: Callable[[], ServedMap | None], caller: str = "alice") -> AsyncIterator[httpx.AsyncClient]:
    """A caller's client of a gateway with a model server that is not there."""
    directory, clients = ConnectorDirectory(served), McpClients(OWN_MACHINE_POLICY)
    service = ResponsesService(directory, [only_upstream("http://127.0.0.1:9")], clients.pool)
    app = public_app(directory, clients.bind, more=service.routes(), callers=Everyone())
    options: Any = {"base_url": "http://gateway/v1", "headers": {"Authorization": f"Bearer {caller}"}}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), **options) as client:
        yield client
    await service.close()
    await clients.close()


def told(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    """All that an answer says, its number aside."""
    return answer.status_code, {name: value for name, value in answer.headers.items() if name != "x-request-id"}, answer.content


NOT_FOR_ALICE = only_for(subject("User", "bob"), subject("Group", "alice"))
SHOWN = [content(key) for key in ("connector_github", "connector_gitlab", "connector_wiki", "yak_zz", "zebra_x")] + [
    content("connector_private", description="for Alice and Bob", **only_for(subject("User", "alice"), subject("User", "bob")))
]
#: More than candidates for near ids are looked at: some have the longest word, some are neighbours in the order of ids.
HIDDEN = [
    *(content(f"yak_y{number}", **NOT_FOR_ALICE) for number in range(100)),
    *(content(f"zebra_x{number}", **NOT_FOR_ALICE) for number in range(100)),
    *(content(f"connector_github_{number}", **NOT_FOR_ALICE) for number in range(300)),
    *(content(f"aconnector_gith{number}", title="github", **NOT_FOR_ALICE) for number in range(300)),
    content("connector_off", available=False, reason="SecretNotFound", **NOT_FOR_ALICE),
    content("connector_future", **NOT_FOR_ALICE | {"requires": ["teleport/1"]}),
    registry(**NOT_FOR_ALICE),
    discovered("io.github.acme/files"),
    discovered("io.github.acme/lost", "missing"),
]
ASKED = [
    "connectors", "connectors?limit=2", "connectors?limit=5", "connectors?after=connector_github_7&limit=1", "connectors?search=GITHUB",
    "connectors?search=bob", "connectors?id=connector_github_7", "connectors/connector_github_7", "connectors/connector_github_7/tools",
    "connectors/connector_github_7/nothing", "connectors/connector_off", "connectors/connector_off/tools", "connectors/connector_future",
    "connectors/connector_githu", "connectors/connector_github_x", "connectors/onnector_github_7", "connectors/connector_priv",
    "connectors/yaj_zz", "connectors/zebrx_x",
    "connectors/mcp::internal::io.github.acme/files", "connectors/mcp::internal::io.github.acme/files/tools",
    "connectors/mcp::internal::io.github.acme/file", "connectors/mcp::missing::io.github.acme/lost", "connectors?registry_id=internal",
    "registries", "registries/internal", "registries?search=internal", "registries?limit=1",
]  # fmt: skip


@pytest.mark.parametrize("path", ASKED)
async def test_the_catalog_answers_as_if_they_were_not_there(path: str) -> None:
    everything, shown = await served_map(*SHOWN, *HIDDEN), await served_map(*SHOWN)
    async with client_of(lambda: everything) as client, client_of(lambda: shown) as other:
        answer, wanted = await client.get(path), await other.get(path)
    assert told(answer) == told(wanted)


@pytest.mark.parametrize(
    "connector_id", ["connector_github_7", "connector_off", "connector_future", "connector_githu", "connector_github_x"]
)
@pytest.mark.parametrize("stream", [False, True])
async def test_responses_answer_as_if_they_were_not_there(connector_id: str, stream: bool) -> None:
    everything, shown = await served_map(*SHOWN, *HIDDEN), await served_map(*SHOWN)
    ids = ["connector_private", connector_id]
    tools = [{"type": "mcp", "server_label": f"l{number}", "connector_id": key} for number, key in enumerate(ids)]
    request = {"model": "m", "input": "hi", "stream": stream, "tools": tools}
    async with client_of(lambda: everything) as client, client_of(lambda: shown) as other:
        answer, wanted = await client.post("responses", json=request), await other.post("responses", json=request)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "tools[1].connector_id")
    assert told(answer) == told(wanted)


async def test_they_are_there_for_those_who_are_named() -> None:
    served = await served_map(*SHOWN, *HIDDEN)
    async with client_of(lambda: served, "bob") as client:
        near = (await client.get("connectors/connector_github_77x")).json()["error"]["message"]
        assert (await client.get("connectors/connector_off")).json()["reason"] == "SecretNotFound"
        assert (await client.get("connectors/connector_off/tools")).status_code == 424
        assert len((await client.get("connectors?search=github&limit=100")).json()["data"]) == 100
    assert "'connector_github_77'" in near


@given(ids=st.dictionaries(st.from_regex(r"[a-c._-]{1,4}", fullmatch=True), st.booleans(), max_size=60), limit=st.integers(1, 10))
@settings(max_examples=30)
async def test_pages_are_full_whatever_is_hidden_between(ids: dict[str, bool], limit: int) -> None:
    served = await served_map(*(content(key, **({} if shown else NOT_FOR_ALICE)) for key, shown in ids.items()))
    visible = sorted(key for key, shown in ids.items() if shown)
    after = ""
    pages: list[Any] = []
    async with client_of(lambda: served) as client:
        while not pages or pages[-1]["has_more"]:
            pages.append((await client.get("connectors", params={"limit": limit, **({"after": after} if after else {})})).json())
            after = pages[-1]["last_id"]
    found = [[item["id"] for item in page["data"]] for page in pages]
    assert found == ([visible[begin : begin + limit] for begin in range(0, len(visible), limit)] or [[]])
    assert [(page["first_id"], page["last_id"]) for page in pages if page["data"]] == [(page[0], page[-1]) for page in found if page]


async def test_a_change_counts_from_the_next_request_on() -> None:
    served = await served_map(content("a", **NOT_FOR_ALICE))
    async with client_of(lambda: served) as client:
        assert (await client.get("connectors/a")).status_code == 404
        served = await served_map(content("a", **only_for(subject("User", "alice"))))
        assert (await client.get("connectors/a")).status_code == 200
        served = await served_map(content("a", **NOT_FOR_ALICE))
        assert (await client.get("connectors/a")).status_code == 404
