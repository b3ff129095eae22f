"""Connectors that registries brought: what they inherit, when they fail closed, and how maps follow changes of a registry."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from junctor.connectormap.entry import Entry
from junctor.connectormap.layout import Layout, Shard, bucket_of
from junctor.connectormap.reader import ConnectorMap, read_map
from junctor.connectormap.view import EntryView
from junctor.gateway.serving.connector import Connector, Registry
from junctor.gateway.serving.map_loader import MapLoader
from junctor.gateway.serving.rejections import MAX_NAMED_PER_REGISTRY
from junctor.gateway.serving.served_map import PreparedMap, ServedMap
from tests.unit.gateway.maps import MAP, MemorySource, bearer, content, discovered, head_of, publish, registry

KEY = "3f7a000000000000.1b2c000000000000"
WEATHER = "mcp::internal::io.github.acme/weather"
NEWER: dict[str, Any] = {"requires": ["registry/1", "teleport/1"]}
TEAM_A: dict[str, Any] = {"access": {"subjects": [{"kind": "Group", "name": "team-a"}]}, "requires": ["registry/1", "access/1"]}


def connector(own: dict[str, Any], shared: dict[str, Any] | None = None) -> Connector:
    return Connector.of(Entry.of(own), Registry.of(Entry.of(shared or registry())))


async def served_map(*contents: dict[str, Any]) -> ServedMap:
    source = MemorySource()
    publish(source, 1, *contents)
    return await MapLoader(source).reload(1)


# --- what is inherited --------------------------------------------------------------------------------------------------------------------


def test_what_the_entry_does_not_say_comes_from_the_registry() -> None:
    shared = registry(tools={"denied": ["drop"]}, tls={"caBundle": "PEM"}, callerAuthorization="Forbid", **TEAM_A)
    found = connector(discovered(title="Weather"), shared)
    inherited = {key: value for key, value in shared.items() if key not in ("id", "registry", "requires")}
    requires = ["registry/1", "access/1", "registry/1"]
    assert found.view == EntryView(discovered(title="Weather") | inherited | {"requires": requires})
    assert found.access == frozenset({("Group", "", "team-a")})
    assert (found.unavailable, found.rejected) == ("", "")


def test_the_entries_own_words_go_before_those_of_the_registry() -> None:
    own = discovered(available=False, reason="HostNotAllowed", callerAuthorization="Require")
    found = connector(own, registry(callerAuthorization="Forbid"))
    assert (found.unavailable, found.view.caller_authorization) == ("HostNotAllowed", "Require")


def test_addresses_are_public_unless_the_registry_says_that_any_will_do() -> None:
    silent = registry()
    del silent["addresses"]
    assert connector(discovered(), silent).view.target.public_only
    assert not connector(discovered(), registry(addresses="any")).view.target.public_only


def test_the_digest_changes_with_the_entry_and_with_the_registry() -> None:
    digests = {
        connector(own, shared).digest
        for own in (discovered(), discovered(title="x"))
        for shared in (registry(), registry(tools={"readOnly": True}))
    }
    assert len(digests) == 4


# --- fail closed --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "shared", "reason"),
    [
        (discovered(), registry(**NEWER), "UnknownFeature"),
        (discovered(**NEWER), registry(), "UnknownFeature"),
        (discovered(requires="registry/1"), registry(), "UnknownFeature"),
        (discovered(), registry(requires="registry/1"), "UnknownFeature"),
        (discovered(), registry(registry=None), "InvalidEntry"),
        (discovered(), registry(registry={"id": "other", "url": "https://r.example.com"}), "InvalidEntry"),
        (discovered(), registry(registry={"id": "internal"}), "InvalidEntry"),
        (discovered(), registry(available=False, reason="UnresolvedRefs"), "UnresolvedRefs"),
        (discovered(), registry(available=None), "Unavailable"),
        (discovered(headers=[{"name": "X", "parts": 7}]), registry(), "InvalidEntry"),
        (discovered(hosts=7), registry(), "InvalidEntry"),
        (discovered(approval="Always"), registry(), "InvalidEntry"),
        (discovered(), registry(limits={"maxConcurrentCalls": 0}), "InvalidEntry"),
        (discovered(hosts=["*"], url="https://[::1"), registry(), "InvalidEntry"),
    ],
)
def test_what_is_not_understood_cannot_be_used(own: dict[str, Any], shared: dict[str, Any], reason: str) -> None:
    assert connector(own, shared).unavailable == reason


@pytest.mark.parametrize(
    ("hosts", "allowed"),
    [
        (["mcp.acme.com"], True),
        (["*.acme.com"], True),
        (["*.ACME.com"], True),
        (["other.com", "mcp.acme.???"], True),
        (["acme.com"], False),
        (["mcp.acme.com.evil.com"], False),
        ([], False),
        (None, False),
    ],
)
def test_credentials_go_only_to_hosts_that_their_owner_listed(hosts: list[str] | None, allowed: bool) -> None:
    given: dict[str, Any] = {} if hosts is None else {"hosts": hosts}
    found = connector(discovered(url="https://MCP.acme.com:8443/mcp", auth=bearer(KEY), **given))
    assert found.unavailable == ("" if allowed else "HostNotAllowed")


@pytest.mark.parametrize(
    "url",
    [r"https://evil.com\.acme.com/mcp", "https://evil.com%2f.acme.com/mcp", "https://evil。com.acme.com/mcp", "https:///mcp.acme.com"],
)
def test_a_host_that_some_read_otherwise_gets_no_credentials(url: str) -> None:
    assert connector(discovered(url=url, auth=bearer(KEY), hosts=["*acme.com"])).unavailable == "HostNotAllowed"


def test_without_credentials_no_host_needs_to_be_listed() -> None:
    assert connector(discovered()).unavailable == ""


def test_other_connectors_need_no_list_of_hosts() -> None:
    assert Connector.of(Entry.of(content("a", auth=bearer(KEY)))).unavailable == ""


async def test_without_its_registry_nobody_may_use_it_and_that_is_told_once() -> None:
    served = await served_map(discovered(), discovered("io.github.acme/files"), content("a"))
    lost = served.get(WEATHER)
    assert lost is not None
    assert (lost.unavailable, lost.access) == ("RegistryMissing", frozenset())
    assert [rejection.id for rejection in served.rejected] == ["mcp::internal"]


async def test_a_registry_that_is_not_understood_is_told_once() -> None:
    served = await served_map(
        registry(**NEWER), discovered(), discovered("io.github.acme/files"), discovered("io.github.acme/odd", headers=7)
    )
    assert [(rejection.id, "teleport/1" in rejection.reason) for rejection in served.rejected] == [("mcp::internal", True)]


async def test_a_discovered_connector_that_is_not_understood_is_told_as_others_are() -> None:
    served = await served_map(registry(), discovered(**NEWER), discovered("io.github.acme/files"))
    assert [rejection["id"] for rejection in served.acknowledgement().to_json()["rejected"]] == [WEATHER]


async def test_when_many_servers_of_a_registry_are_not_understood_a_few_are_named_and_all_are_counted() -> None:
    odd = [discovered(f"io.github.acme/odd-{number}", headers=7) for number in range(30)]
    rejected = (await served_map(registry(), *odd, content("a", headers=7))).rejected
    assert [rejection.id for rejection in rejected][:2] == ["a", "mcp::internal"]
    assert rejected[1].reason.startswith("30 of its servers are not used; of one of them: its headers")
    assert len(rejected) == 2 + MAX_NAMED_PER_REGISTRY


async def test_a_missing_credential_of_all_servers_is_told_within_bounds() -> None:
    many = [discovered(f"io.github.acme/s{number}", auth=bearer(KEY), hosts=["*"]) for number in range(30)]
    served = await served_map(registry(), *many)
    one = served.get(many[29]["id"])
    assert one is not None
    assert served.unavailable(one) == "CredentialMissing"
    assert len(served.rejected) == 1 + MAX_NAMED_PER_REGISTRY


# --- a registry is no connector -----------------------------------------------------------------------------------------------------------


async def test_a_registry_is_no_connector() -> None:
    served = await served_map(content("a"), registry(), discovered(), registry("empty"))
    assert (served.ids, len(served)) == (("a", WEATHER), 2)
    assert served.get("mcp::internal") is None
    assert list(served.registries) == ["mcp::empty", "mcp::internal"]
    assert served.rejected == ()


async def test_an_inherited_access_that_this_version_does_not_know_lets_nobody_in() -> None:
    served = await served_map(registry(requires=["registry/1", "access/2"]), discovered())
    found = served.get(WEATHER)
    assert found is not None
    assert found.access == frozenset()


# --- following changes --------------------------------------------------------------------------------------------------------------------


async def _map_of(layout: Layout, sequence: int, current: ConnectorMap | None) -> ConnectorMap:
    texts = {shard.ref.name: shard.text for shard in layout.shards.values()} | {MAP: head_of(layout, sequence).to_text()}

    async def fetch(name: str) -> str | None:
        return texts.get(name)

    found = await read_map(MAP, lambda: fetch(MAP), fetch, current)
    assert found is not None
    return found


def _large(*more: dict[str, Any]) -> Layout:
    """A layout of many shards."""
    servers = [discovered(f"io.github.acme/server-{number}", description="x" * 3000) for number in range(200)]
    return Layout.build(MAP, [Entry.of(item) for item in (registry(), *servers, *more)])


async def test_a_changed_registry_prepares_its_servers_anew_and_no_others() -> None:
    layout = _large(content("a"), registry("other"), discovered(registry_id="other"))
    first = await _map_of(layout, 1, None)
    before = await PreparedMap.of(first)
    second = await _map_of(layout.replace({"mcp::internal": Entry.of(registry(tools={"readOnly": True}))}), 2, first)
    after = await PreparedMap.of(second, before)
    assert len(second.shards.keys() & first.shards.keys()) == len(layout.shards) - 1 > 3
    changed = {key for key in after.ids if after.connectors[key] is not before.connectors[key]}
    assert changed == {key for key in before.ids if key.startswith("mcp::internal::")}
    assert all(after.connectors[key].view.policy.tools.read_only for key in changed)
    assert after.ids is before.ids


async def test_a_changed_server_leaves_all_others_as_they_were() -> None:
    layout = _large()
    first = await _map_of(layout, 1, None)
    before = await PreparedMap.of(first)
    changed = discovered("io.github.acme/server-7", title="new", description="x" * 3000)
    after = await PreparedMap.of(await _map_of(layout.replace({changed["id"]: Entry.of(changed)}), 2, first), before)
    assert [key for key in after.ids if after.connectors[key] is not before.connectors[key]] == [changed["id"]]


async def test_requests_run_while_a_large_map_is_prepared() -> None:
    layout = _large()
    first = await _map_of(layout, 1, None)
    before = await PreparedMap.of(first)
    second = await _map_of(layout.replace({"mcp::internal": Entry.of(registry(url="https://new.example.com"))}), 2, first)
    preparing = asyncio.create_task(PreparedMap.of(second, before))
    turns = 0
    while not preparing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= len(layout.shards)


servers = st.builds(
    lambda number, registry_id, title: discovered(f"acme/s{number}", registry_id, title=title),
    st.integers(0, 5), st.sampled_from(["r1", "r2"]), st.sampled_from(["x", "y"]),
)  # fmt: skip
entries = (
    servers
    | st.builds(lambda number: content(f"c{number}"), st.integers(0, 3))
    | st.builds(
        lambda registry_id, fields: registry(registry_id, **fields),
        st.sampled_from(["r1", "r2"]),
        st.sampled_from([{}, {"tools": {"readOnly": True}}, TEAM_A, NEWER, {"registry": 7}]),
    )
)
maps = st.lists(entries, max_size=12, unique_by=lambda item: str(item["id"]))


def _spread(contents: list[dict[str, Any]], buckets: int) -> Layout:
    """A layout of so many shards, however small."""
    groups: dict[int, list[Entry]] = {}
    for item in contents:
        groups.setdefault(bucket_of(item["id"], buckets), []).append(Entry.of(item))
    return Layout(MAP, {bucket: Shard.of(MAP, bucket, group) for bucket, group in groups.items()}, buckets)


def _all_of(prepared: PreparedMap) -> dict[str, Any]:
    def facts(connectors: Iterable[Connector]) -> dict[str, Any]:
        return {c.id: (c.view, c.digest, c.unavailable, c.rejected, c.access, c.haystack, c.credentials) for c in connectors}

    return {
        "ids": prepared.ids,
        "connectors": facts(prepared.connectors.values()),
        "registries": [(key, found.view, found.unavailable, found.access) for key, found in prepared.registries.items()],
        "discovered": dict(prepared.discovered),
        "needed": prepared.needed,
    }


@given(steps=st.lists(maps, min_size=2, max_size=5), buckets=st.sampled_from([1, 8]))
@settings(max_examples=60)
async def test_a_map_that_follows_changes_is_the_one_that_is_read_whole(steps: list[list[dict[str, Any]]], buckets: int) -> None:
    read: ConnectorMap | None = None
    prepared: PreparedMap | None = None
    for sequence, contents in enumerate(steps, 1):
        layout = _spread(contents, buckets)
        read = await _map_of(layout, sequence, read)
        prepared = await PreparedMap.of(read, prepared)
        assert _all_of(prepared) == _all_of(await PreparedMap.of(await _map_of(layout, sequence, None)))
