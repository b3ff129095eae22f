"""The map that follows from a plan: whatever happened before, the same content; and only what changed is touched."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from junctor.connectormap.digests import digest_lines, revision_of
from junctor.connectormap.entry import Entry
from junctor.connectormap.layout import Layout
from junctor.planning.plan import GatewayPlan
from junctor.reconcile.map_state import MapState
from tests.unit.planning.building import Story, connector, discovered, registry, server, synced

Servers = Mapping[str, str]
#: Registries by id with the descriptions of their servers, and connectors with theirs.
worlds = st.tuples(
    st.dictionaries(st.sampled_from(["one", "two"]), st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["x", "y" * 3000]))),
    st.dictionaries(st.sampled_from("uvw"), st.sampled_from(["x", "y"])),
)


def planned(story: Story, registries: Mapping[str, Servers], connectors: Servers, sources: dict[Any, Any]) -> GatewayPlan:
    """The plan of a world. sources: what was discovered of equal worlds before: the same object, as from a sync without changes."""
    resources = {name: registry(name) for name in registries}
    syncs = {}
    for name, servers in registries.items():
        key = name, tuple(sorted(servers.items()))
        entries = (server(part, of=name, description=text) for part, text in servers.items())
        syncs[resources[name].uid] = synced(sources.setdefault(key, discovered(*entries, of=name)))
    declared = [connector(name, description=text) for name, text in connectors.items()]
    gone = frozenset({"uid-team-a-registry-one", "uid-team-a-registry-two", *(f"uid-team-a-{name}" for name in "uvw")})
    return story.plan(*resources.values(), *declared, syncs=syncs, deleted=gone)


def text_of(state: MapState) -> dict[str, str]:
    """All entries without their dates."""
    return {key: entry.body.decode() for key, entry in state.layout.entries().items()}


@given(history=st.lists(worlds, min_size=1, max_size=6))
def test_any_history_ends_in_the_same_map_as_building_it_at_once(history: list[tuple[Mapping[str, Servers], Servers]]) -> None:
    story, sources = Story(), dict[Any, Any]()
    state = MapState(Layout("map", {}))
    changed_in: dict[str, int] = {}
    for sequence, (registries, connectors) in enumerate(history, start=1):
        before = state
        plan = planned(story, registries, connectors, sources)
        state, changes = before.successor(plan, sequence)
        # Every date is that of the last change of the content.
        for key, entry in state.layout.entries().items():
            if text_of(before).get(key) != entry.body.decode():
                changed_in[key] = sequence
            assert entry.since == changed_in[key]
        assert set(changes) == {key for key in text_of(before) | text_of(state) if text_of(before).get(key) != text_of(state).get(key)}
        assert state.connectors == len(text_of(state)) == plan.connectors

    registries, connectors = history[-1]
    anew, _ = MapState(Layout("map", {})).successor(planned(Story(), registries, connectors, {}), 1)
    assert text_of(state) == text_of(anew)
    assert state.revision == anew.revision == revision_of(digest_lines(entry.digest for entry in state.layout.entries().values()))
    assert state.published.records == anew.published.records
    read_back = MapState.of(state.layout, state.published.records.values())
    assert (read_back.published.entries, read_back.published.origins) == (state.published.entries, state.published.origins)
    assert read_back.revision == state.revision
    for registry_id, servers in state.published.discovered.items():
        assert dict(read_back.published.discovered.get(registry_id, {})) == dict(servers)
        assert read_back.discovered_since.get(registry_id, 0) <= state.discovered_since[registry_id]
        assert max((entry.since for entry in servers.values()), default=0) <= state.discovered_since[registry_id]


def large(count: int, **changed: Entry) -> Any:
    entries = {f"n{number}": server(f"n{number}", description="d" * 500) for number in range(count)} | changed
    return discovered(*entries.values())


def state_of(found: Any, *connectors: Any, sequence: int = 1, before: MapState | None = None) -> MapState:
    return (before or MapState(Layout("map", {}))).successor(plan_of(found, *connectors), sequence)[0]


def plan_of(found: Any, *connectors: Any) -> GatewayPlan:
    return Story().plan(registry(), *connectors, syncs={registry().uid: synced(found)})


def test_one_changed_server_touches_one_shard() -> None:
    first = state_of(large(1500))
    second = state_of(large(1500, n7=server("n7", description="new")), sequence=2, before=first)
    assert first.layout.buckets > 1
    touched = [bucket for bucket, shard in second.layout.shards.items() if first.layout.shards[bucket] is not shard]
    assert len(touched) == 1
    assert second.discovered_since == {"mcp::internal": 2}
    assert first.published.discovered["mcp::internal"]["mcp::internal::io.acme/n7"].since == 1


def test_growth_to_many_shards_makes_no_shard_that_is_too_large() -> None:
    small = state_of(large(3), connector("c"))
    grown = state_of(large(1500), connector("c"), sequence=2, before=small)
    assert (small.layout.buckets, max(shard.size for shard in grown.layout.shards.values()) <= 128 * 1024) == (1, True)
    assert all(shard.size == len(shard.text.encode()) for shard in grown.layout.shards.values())
    assert grown.layout.entries()["c"].since == 1


@pytest.mark.parametrize(("connectors", "most"), [(0, 10), (80, 20)])
def test_effort_is_small_while_the_servers_are_the_same_object(connectors: int, most: int) -> None:
    story, resource, found = Story(), registry(), large(1500)
    declared = [connector(f"c{number}") for number in range(connectors)]
    empty = MapState(Layout("map", {}))
    first = story.plan(resource, *declared, syncs={resource.uid: synced(found)})
    assert empty.effort(first) >= 1500
    state, _ = empty.successor(first, 1)
    same = story.plan(resource, *declared, connector("new"), syncs={resource.uid: synced(found)})
    assert state.effort(same) <= most
    gone = story.plan(*declared, deleted=frozenset({resource.uid}))
    assert state.effort(gone) >= 1500


def test_registry_without_servers_waits_for_no_sequence_of_its_own() -> None:
    stored = state_of(discovered())
    restarted = MapState.of(stored.layout, stored.published.records.values())
    again, changes = restarted.successor(plan_of(discovered()), 2)
    assert (changes, again.discovered_since) == ({}, {"mcp::internal": 0})


@pytest.mark.parametrize(
    ("found", "writing", "dates"),
    [
        (discovered(server("a"), server("b")), True, {"mcp::internal": 7}),
        (discovered(server("a"), server("b")), False, {}),
        (discovered(server("a"), server("b"), digest="sha256:other"), True, {}),
        (discovered(server("a"), server("b"), digest=""), True, {}),
    ],
    ids=["next sync", "cannot be written", "other rules", "first sync that is partial"],
)
def test_servers_of_an_earlier_sync_count_while_those_of_the_next_are_written(found: Any, writing: bool, dates: dict[str, int]) -> None:
    state = state_of(discovered(server("a"), digest=found.digest and "sha256:rules"), sequence=7)
    assert state.sequences_of_registries(plan_of(found), is_writing=writing) == dates


def test_registry_that_loses_its_last_server_is_dated() -> None:
    emptied = state_of(discovered(), sequence=5, before=state_of(large(1)))
    assert emptied.discovered_since == {"mcp::internal": 5}


def test_registries_pay_for_the_shards_that_their_servers_change() -> None:
    story, state = Story(), MapState(Layout("map", {}))
    worlds = [
        ({"one": {f"s{number}": "x" * 3000 for number in range(200)}, "two": {"a": "x"}}, {"u": "x"}),
        ({"one": {f"s{number}": "x" * 3000 for number in range(200)}, "two": {"a": "y"}}, {"u": "y"}),
        ({"one": {f"s{number}": "y" * 3000 for number in range(200)}, "two": {"a": "y"}}, {"u": "y"}),
        ({"one": {f"s{number}": "y" * 3000 for number in range(200)}, "two": {"a": "y"}}, {"u": "z"}),
    ]
    written, sources = [], dict[Any, Any]()
    for sequence, (registries, connectors) in enumerate(worlds, start=1):
        state, _ = state.successor(planned(story, registries, connectors, sources), sequence)
        written.append(state.rewritten)
    everything = sum(shard.size for shard in state.layout.shards.values())
    assert written[0].bytes == {"mcp::one": everything, "mcp::two": everything}  # it was laid out anew
    assert written[1].bytes.keys() == {"mcp::two"}
    assert 0 < written[1].total == written[1].bytes["mcp::two"] <= 128 * 1024
    assert written[2].bytes.keys() == {"mcp::one"}
    assert written[2].total == everything
    assert (written[3].bytes, written[3].total) == ({}, 0)
