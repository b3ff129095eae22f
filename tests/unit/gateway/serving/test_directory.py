"""One answer for each id: available, unavailable, or unknown, which is also the answer when the caller may not use the connector."""

from typing import Any

import pytest

from junctor.gateway.auth import ANONYMOUS, Caller
from junctor.gateway.serving.connector import Connector
from junctor.gateway.serving.directory import Available, ConnectorDirectory, Unavailable, Unknown
from junctor.gateway.web.errors import MapNotLoaded
from tests.unit.gateway.maps import bearer, content, discovered, registry, served_map

KEY = "0123456789abcdef.1"
ALICE = Caller("User", "alice", ("team-a",))
BOB = Caller("User", "bob")
FOR_TEAM_A: dict[str, Any] = {"access": {"subjects": [{"kind": "Group", "name": "team-a"}]}, "requires": ["access/1"]}


def directory_of(*contents: dict[str, Any], credentials: dict[str, bytes] | None = None) -> ConnectorDirectory:
    served = served_map(*contents, credentials=credentials)
    return ConnectorDirectory(lambda: served)


async def test_an_available_connector_comes_with_the_credentials_of_its_map() -> None:
    directory = directory_of(content("github", auth=bearer(KEY)), credentials={KEY: b"secret"})
    found = await directory.find(ANONYMOUS, "github")
    assert isinstance(found, Available)
    assert (found.connector.id, dict(found.credentials)) == ("github", {KEY: b"secret"})
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"available": False, "reason": "SecretNotFound"}, "SecretNotFound"),
        ({"available": False}, "Unavailable"),
        ({"auth": bearer(KEY)}, "CredentialMissing"),
        ({"requires": ["later/1"]}, "UnknownFeature"),
        ({"hosts": 7}, "InvalidEntry"),
        ({"tools": {"allowed": "search"}}, "InvalidEntry"),
        ({"limits": {"callTimeoutSeconds": "soon"}}, "InvalidEntry"),
    ],
)
async def test_an_unavailable_connector_comes_with_the_reason(fields: dict[str, Any], reason: str) -> None:
    found = await directory_of(content("github", **fields)).find(ANONYMOUS, "github")
    assert isinstance(found, Unavailable)
    assert (found.connector.id, found.reason) == ("github", reason)
    assert found.message == f"Connector 'github' cannot be used now: {reason}."


@pytest.mark.parametrize(
    ("connector_id", "near"),
    [
        ("githab", ("github",)),
        ("xgithub", ("github",)),
        ("GitHub", ("github",)),
        ("mcp::internal::io.github.acme/wether", ("mcp::internal::io.github.acme/weather",)),
        ("elsewhere", ()),
        ("", ()),
        ("git hub", ()),
        ("g" * 1000, ()),
    ],
)
async def test_an_unknown_id_comes_with_similar_ones(connector_id: str, near: tuple[str, ...]) -> None:
    directory = directory_of(content("github"), content("slack"), registry(), discovered())
    assert await directory.find(ANONYMOUS, connector_id) == Unknown(connector_id, near)


@pytest.mark.parametrize(
    ("near", "hint"),
    [
        ((), "GET /v1/connectors lists those that there are"),
        (("github",), "did you mean 'github'?"),
        (("github", "gitlab"), "did you mean 'github' or 'gitlab'?"),
    ],
)
def test_the_message_names_similar_ids(near: tuple[str, ...], hint: str) -> None:
    assert Unknown("githab", near).message == f"there is no connector 'githab'; {hint}"


@pytest.mark.parametrize("asked", ["github", "github-internal", "mcp::internal::io.github.acme/weather", "githubs"])
@pytest.mark.parametrize("others", [(), (content("github-public"), content("slack"))])
async def test_a_connector_that_the_caller_may_not_use_is_answered_like_one_that_does_not_exist(
    asked: str, others: tuple[dict[str, Any], ...]
) -> None:
    shared = registry(access=FOR_TEAM_A["access"], requires=["registry/1", "access/1"])
    private = (
        content("github", **FOR_TEAM_A),
        content("github-internal", available=False, reason="SecretNotFound", **FOR_TEAM_A),
        shared,
        discovered(),
    )
    among, alone = directory_of(*private, *others), directory_of(*others)
    answer = await among.find(BOB, asked)
    assert isinstance(answer, Unknown)
    assert answer == await alone.find(BOB, asked)
    assert not {"github", "github-internal"} & set(answer.near)


async def test_the_same_id_is_available_to_a_caller_that_may_use_it() -> None:
    directory = directory_of(content("github", **FOR_TEAM_A))
    assert isinstance(await directory.find(ALICE, "github"), Available)
    assert isinstance(await directory.find(ANONYMOUS, "github"), Unknown)


async def test_without_a_map_nobody_gets_an_answer() -> None:
    directory = ConnectorDirectory(lambda: None)
    with pytest.raises(MapNotLoaded):
        await directory.find(ALICE, "github")
    with pytest.raises(MapNotLoaded):
        directory.view(ALICE)


async def test_a_view_lists_only_what_the_caller_may_use() -> None:
    directory = directory_of(content("a", **FOR_TEAM_A), content("b"), content("c", **FOR_TEAM_A))

    async def listed(caller: Caller) -> list[str]:
        found: list[Connector] = await directory.view(caller).scan("", range(3), 10)
        return [connector.id for connector in found]

    assert await listed(ALICE) == ["a", "b", "c"]
    assert await listed(BOB) == ["b"]


@pytest.mark.parametrize(("caller", "count"), [(ALICE, 2), (BOB, 1)])
async def test_a_view_counts_only_the_servers_of_a_registry_that_the_caller_may_use(caller: Caller, count: int) -> None:
    directory = directory_of(
        registry(),
        discovered("io.github.acme/weather"),
        discovered("io.github.acme/files", access=FOR_TEAM_A["access"], requires=["registry/1", "access/1"]),
    )
    view = directory.view(caller)
    internal = view.registry("internal")
    assert internal is not None
    assert view.connectors_of(internal) == count
