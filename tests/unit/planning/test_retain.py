"""The step retain: which entries without a resource stay, and for how long."""

import math
from typing import Any

import pytest

from junctor.connectormap.entry import Entry
from junctor.connectormap.view import Origin
from junctor.planning.inputs import Inputs, Published
from junctor.planning.retain import HOLD_SECONDS, Hold, MassDeletionGuard, Retained
from tests.unit.planning.building import server

NOW = 1000.0
REGISTRY = "mcp::internal"
LATER = MassDeletionGuard(starting=False)


def map_of(connectors: int, servers: int = 0) -> Published:
    """A map with the connectors c0, c1, ... and, if there are servers, a registry with them; uids are `uid-<id>`."""
    ids = [f"c{number}" for number in range(connectors)] + ([REGISTRY] if servers else [])
    discovered = {REGISTRY: {entry.id: entry for entry in (server(f"s{number}") for number in range(servers))}} if servers else {}
    return Published(
        {key: Entry.of({"id": key}) for key in ids},
        {key: Origin("MCPConnector", "team-a", key, f"uid-{key}", 1) for key in ids},
        discovered,
    )


def without(published: Published, *ids: str) -> set[str]:
    """The uids of all resources but those of these entries."""
    return {origin.uid for key, origin in published.origins.items() if key not in ids}


def connectors(first: int, last: int) -> list[str]:
    """The ids from c<first> up to, and without, c<last>."""
    return [f"c{number}" for number in range(first, last)]


def retain(guard: MassDeletionGuard, published: Published, *lost: str, now: float = NOW, **fields: Any) -> Retained:
    """Decide about the entries of these ids, which have no resource any more. fields: of the inputs."""
    return guard.retain(Inputs({}, **fields), without(published, *lost), published, now)


@pytest.mark.parametrize(
    ("total", "left", "is_mass_deletion"),
    [(40, 20, False), (40, 19, True), (20, 0, True), (19, 0, False), (30, 11, False), (30, 10, True), (50, 50, False)],
)
@pytest.mark.parametrize("starting", [False, True])
def test_loss_of_more_than_half_and_at_least_twenty_is_held(total: int, left: int, is_mass_deletion: bool, starting: bool) -> None:
    published, lost = map_of(total), connectors(left, total)
    retained = retain(MassDeletionGuard(starting=starting), published, *lost)
    if is_mass_deletion or (starting and left == 0):
        assert sorted(retained.ids) == sorted(lost)
        assert retained.hold == Hold(len(lost), total, NOW + HOLD_SECONDS)
        assert retained.guard == MassDeletionGuard(NOW, starting)
    else:
        assert (retained.ids, retained.hold, retained.guard) == ((), None, LATER)


@pytest.mark.parametrize(
    ("guard", "total", "left", "is_held"),
    [
        (MassDeletionGuard(), 2, 0, True),
        (MassDeletionGuard(), 1, 0, False),
        (MassDeletionGuard(), 2, 1, False),
        (LATER, 2, 0, False),
    ],
    ids=["all-at-the-start", "the-only-one", "not-all", "later"],
)
def test_loss_of_everything_is_held_only_at_the_start(guard: MassDeletionGuard, total: int, left: int, is_held: bool) -> None:
    assert (retain(guard, map_of(total), *connectors(left, total)).hold is not None) is is_held


@pytest.mark.parametrize(
    ("observed", "lost", "held"),
    [(30, 30, 0), (29, 30, 0), (11, 30, 0), (11, 40, 29)],
    ids=["all", "all-but-one", "others-too-few", "others-too-many"],
)
def test_deletions_that_were_observed_take_effect_at_once(observed: int, lost: int, held: int) -> None:
    deleted = frozenset(f"uid-{key}" for key in connectors(0, observed))
    retained = retain(LATER, map_of(lost), *connectors(0, lost), deleted=deleted)
    assert sorted(retained.ids) == sorted(connectors(observed, lost) if held else [])
    assert retained.hold == (Hold(held, lost, NOW + HOLD_SECONDS) if held else None)


@pytest.mark.parametrize(("after", "is_held"), [(0.0, True), (HOLD_SECONDS - 1, True), (HOLD_SECONDS, False), (HOLD_SECONDS + 100, False)])
def test_hold_ends_once_and_does_not_begin_again_while_the_loss_lasts(after: float, is_held: bool) -> None:
    published, lost = map_of(30), connectors(0, 30)
    first = retain(LATER, published, *lost)
    retained = retain(first.guard, published, *lost, now=NOW + after)
    assert (retained.hold == Hold(30, 30, NOW + HOLD_SECONDS)) is is_held
    assert len(retained.ids) == (30 if is_held else 0)
    assert retained.guard == first.guard


def test_loss_that_ends_makes_the_next_one_begin_a_hold_of_its_own() -> None:
    published, lost = map_of(30), connectors(0, 30)
    during = retain(LATER, published, *lost)
    ended = retain(during.guard, published, now=NOW + 50)
    assert (ended.ids, ended.hold, ended.guard) == ((), None, LATER)
    assert retain(ended.guard, published, *lost, now=NOW + 100).hold == Hold(30, 30, NOW + 100 + HOLD_SECONDS)


@pytest.mark.parametrize(("servers", "is_held"), [(18, False), (19, True)])
def test_registry_counts_with_all_its_servers(servers: int, is_held: bool) -> None:
    retained = retain(LATER, map_of(2, servers), REGISTRY)
    assert retained.ids == ((REGISTRY,) if is_held else ())
    assert retained.hold == (Hold(servers + 1, servers + 3, NOW + HOLD_SECONDS) if is_held else None)


@pytest.mark.parametrize(
    ("fields", "retained_ids", "lost"),
    [
        ({"connectors_known": False}, ["c0", "c1"], 2),
        ({"registries_known": False}, [REGISTRY], 4),
        ({"connectors_known": False, "registries_known": False}, ["c0", "c1", REGISTRY], 6),
        ({"connectors_known": False, "deleted": frozenset({"uid-c0"})}, ["c0", "c1"], 2),
        ({}, [], 0),
    ],
    ids=["connectors", "registries", "both", "although-one-deletion-was-observed", "none"],
)
def test_nothing_of_a_kind_is_removed_while_its_list_is_unknown(fields: dict[str, Any], retained_ids: list[str], lost: int) -> None:
    retained = retain(LATER, map_of(5, 3), "c0", "c1", REGISTRY, **fields)
    assert list(retained.ids) == retained_ids
    assert retained.hold == (Hold(lost, 9, math.inf) if lost else None)


@pytest.mark.parametrize(("lost", "starting"), [(["c0"], True), ([], False)])
def test_start_lasts_while_a_list_with_lost_entries_is_unknown(lost: list[str], starting: bool) -> None:
    assert retain(MassDeletionGuard(), map_of(2), *lost, connectors_known=False).guard.starting is starting


def test_mass_deletion_of_one_kind_is_held_while_the_other_kind_is_unknown() -> None:
    retained = retain(LATER, map_of(30, 3), *connectors(0, 25), REGISTRY, registries_known=False)
    assert sorted(retained.ids) == sorted([*connectors(0, 25), REGISTRY])
    assert retained.hold == Hold(25, 34, NOW + HOLD_SECONDS)
    ended = retain(retained.guard, map_of(30, 3), *connectors(0, 25), REGISTRY, registries_known=False, now=NOW + HOLD_SECONDS)
    assert (ended.ids, ended.hold) == ((REGISTRY,), None)
