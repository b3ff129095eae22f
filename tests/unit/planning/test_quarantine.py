"""An id that its owner gave up: who may take it, from when on, and what the head stores of it."""

from dataclasses import replace
from typing import Any

import pytest

from junctor.api.resources import Resource
from junctor.connectormap.head import ReleasedId
from junctor.planning.quarantine import MAX_RELEASED, Quarantine
from tests.unit.planning.building import Story, connector, gateway, ids, inputs, reason, registry, verdict

NOW = 1_800_000_000.0
GITHUB: dict[str, Any] = {"connectorID": "connector_github"}
PLATFORM = connector("github", namespace="platform", age=9, **GITHUB)
AGAIN = connector("github", namespace="platform", uid="again", **GITHUB)
TENANT = connector("waiting", namespace="tenant-x", age=5, **GITHUB)
COLLEAGUE = connector("other", namespace="platform", **GITHUB)


def story(**fields: Any) -> Story:
    """A gateway that serves the platform's connector while the tenant waits."""
    made = Story(gateway(**fields))
    plan = made.plan(PLATFORM, TENANT, time=NOW)
    assert reason(plan, TENANT) == "IDConflict"
    return made


@pytest.mark.parametrize(
    ("fields", "claimants", "owner"),
    [
        ({}, (TENANT,), None),
        ({}, (TENANT, AGAIN), AGAIN),
        ({}, (TENANT, COLLEAGUE), COLLEAGUE),
        ({"idQuarantineSeconds": 0}, (TENANT,), TENANT),
        ({"idQuarantineSeconds": 0}, (TENANT, AGAIN), TENANT),
        ({"idPolicies": [{"pattern": "connector_*", "namespaces": ["platform", "tenant-x"]}]}, (TENANT,), TENANT),
    ],
    ids=["stranger", "recreated", "same namespace", "no quarantine", "no quarantine, and older", "named by a policy"],
)
def test_id_passes_at_once_within_its_namespace_only(
    fields: dict[str, Any], claimants: tuple[Resource, ...], owner: Resource | None
) -> None:
    plan = story(**fields).plan(*claimants, deleted=frozenset({PLATFORM.uid}), time=NOW)
    assert ids(plan.entries) == ([] if owner is None else ["connector_github"])
    for resource in claimants:
        assert verdict(plan, resource).accepted.ok is (resource is owner)
    assert [item.namespace for item in plan.moved] == (["platform"] if owner is TENANT else [])


def test_who_waits_is_told_until_when_and_gets_the_id_then() -> None:
    made = story()
    plan = made.plan(TENANT, time=NOW)
    accepted = verdict(plan, TENANT).accepted
    assert accepted.reason == "IDQuarantined"
    assert (
        "was that of a resource in namespace platform, and another namespace may take it from 2027-01-15T08:10:00Z on" in accepted.message
    )
    assert plan.wake_at == made.now + 600
    assert plan.released == {"connector_github": ReleasedId("connector_github", "platform", int(NOW) + 600)}
    later = made.plan(TENANT, time=NOW + 599)
    assert verdict(later, TENANT).accepted == accepted, "the time does not move"
    assert later.wake_at == made.now + 1
    plan = made.plan(TENANT, time=NOW + 600)
    assert ids(plan.entries) == ["connector_github"]
    assert [(item.id, item.resource, item.namespace) for item in plan.moved] == [("connector_github", TENANT, "platform")]
    assert (plan.released, plan.wake_at) == ({}, None)
    assert made.plan(TENANT, time=NOW + 601).moved == ()


def test_quarantine_outlives_a_restart_and_a_plan_that_was_not_published() -> None:
    made = story()
    made.plan(TENANT, time=NOW, publish=False)
    made.plan(TENANT, time=NOW + 5)
    made.restart()
    plan = made.plan(TENANT, time=NOW + 6)
    assert (reason(plan, TENANT), plan.wake_at) == ("IDQuarantined", made.now + 599)
    assert made.plan(TENANT, AGAIN, time=NOW + 7).origins["connector_github"].uid == AGAIN.uid


def test_owner_who_comes_back_keeps_its_policy_and_leaves_no_trace() -> None:
    made = story()
    made.plan(TENANT, time=NOW)
    plan = made.plan(TENANT, AGAIN, time=NOW + 1)
    assert (plan.released, plan.moved, plan.wake_at) == ({}, (), None)
    assert reason(plan, TENANT) == "IDConflict"
    assert "belongs to platform/github, for whose namespace it is reserved" in verdict(plan, TENANT).accepted.message


@pytest.mark.parametrize(
    "change",
    [
        connector("github", namespace="platform", age=1, generation=2, state="Disabled", **GITHUB),
        connector("github", namespace="platform", age=1, generation=2, url="ftp://no", **GITHUB),
    ],
    ids=["disabled", "invalid"],
)
def test_owner_whose_entry_leaves_the_map_is_protected_like_one_that_is_deleted(change: Resource) -> None:
    made = story()
    before = made.plan(change, TENANT, time=NOW)
    assert not before.entries
    assert not verdict(before, TENANT).accepted.ok
    assert ids(made.plan(change, TENANT, time=NOW + 600).entries) == ["connector_github"]


def test_owner_that_a_selector_no_longer_matches_is_protected() -> None:
    made = story()
    made.gateway = gateway(connectorSelector={"matchExpressions": [{"key": "old", "operator": "DoesNotExist"}]})
    relabelled = connector("github", namespace="platform", age=9, labels={"old": "yes"}, **GITHUB)
    assert reason(made.plan(relabelled, TENANT, time=NOW), TENANT) == "IDQuarantined"


def test_ids_of_registries_are_protected_too() -> None:
    made = Story()
    made.plan(registry("internal", namespace="platform"), time=NOW)
    squatter = registry("internal", namespace="tenant-x")
    plan = made.plan(squatter, time=NOW + 1)
    assert (reason(plan, squatter), ids(plan.entries)) == ("IDQuarantined", [])
    assert "mcp::internal" in made.plan(squatter, time=NOW + 602).entries


def test_while_nobody_knows_which_resources_exist_a_stranger_gets_no_id() -> None:
    made = story()
    plan = made.plan(TENANT, time=NOW, connectors_known=False)
    assert plan.origins["connector_github"].uid == PLATFORM.uid
    assert "which may come back: the gateways keep what they serve of it" in verdict(plan, TENANT).accepted.message
    assert (plan.released, plan.wake_at) == ({}, None)


def test_free_id_is_taken_at_once() -> None:
    made = Story()
    made.plan(time=NOW)
    plan = made.plan(TENANT, time=NOW)
    assert (ids(plan.entries), plan.moved) == (["connector_github"], ())


def released(namespace: str, count: int, until: int = 0) -> dict[str, ReleasedId]:
    return {f"{namespace}-{n}": ReleasedId(f"{namespace}-{n}", namespace, int(NOW) + 600 + until + n) for n in range(count)}


def test_tenant_that_gives_up_many_ids_pushes_out_its_own_only() -> None:
    made = story()
    made.plan(time=NOW)
    flood = released("tenant-x", 3 * MAX_RELEASED, until=10)
    made.published = replace(made.published, released={**made.published.released, **flood})
    plan = made.plan(time=NOW + 1)
    assert len(plan.released) == MAX_RELEASED
    assert "connector_github" in plan.released
    newest = [f"tenant-x-{n}" for n in range(2 * MAX_RELEASED + 1, 3 * MAX_RELEASED)]
    assert ids(plan.released) == sorted(["connector_github", *newest])


def test_released_ids_are_forgotten_when_their_time_is_over() -> None:
    made = story()
    made.plan(time=NOW)
    assert made.plan(time=NOW + 600).released == {}


def test_nothing_is_kept_without_a_quarantine() -> None:
    made = story(idQuarantineSeconds=0)
    assert made.plan(time=NOW).released == {}
    assert Quarantine(made.gateway, made.published, NOW).ends_in(()) is None
    assert inputs().time == 0.0
