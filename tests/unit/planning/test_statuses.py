"""What is said about a connector: conditions out of verdicts, published maps and acknowledgements."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from junctor.api.conditions import ConditionType, pending_conditions
from junctor.api.resources import Resource
from junctor.planning.acceptance import Verdict
from junctor.planning.readiness import PodProgress, ResourceProgress
from junctor.planning.statuses import GatewayFindings, StatusUpdate, findings_of, status_of
from tests.unit.planning.building import Story, connector, verdict
from tests.unit.planning.progress import accepted, pod, progress, refused

NOW, LATER = "2025-02-01T00:00:00Z", "2025-02-02T00:00:00Z"

# --- the status that is written ---------------------------------------------------------------------------------------------------------


def status(resource: Resource, *found: GatewayFindings, current: Mapping[str, Any] | None = None, now: str = NOW) -> StatusUpdate:
    update = status_of(resource, found, current or {}, now)
    assert update is not None
    return update


def condition(update: StatusUpdate, kind: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = {item["type"]: item for item in update.status["conditions"]}.get(kind, {})
    return found


def findings(of: Verdict, *pods: PodProgress, is_known: bool = False, **fields: Any) -> GatewayFindings:
    return findings_of(ResourceProgress(of, progress(of, *pods, **fields), is_known))


def test_status_of_a_served_connector() -> None:
    of = accepted(generation=3)
    update = status(of.resource, findings(of, pod("a"), pod("b")))
    assert update.status["observedGeneration"] == 3
    assert update.status["connectorID"] == "x"
    assert update.status["gateways"] == [{"name": "default", "acknowledged": 2, "pods": 2, "reason": "Ready"}]
    assert [(item["type"], item["status"]) for item in update.status["conditions"]] == [
        ("Accepted", "True"),
        ("ResolvedRefs", "True"),
        ("Programmed", "True"),
        ("Ready", "True"),
    ]
    assert all(item["observedGeneration"] == 3 for item in update.status["conditions"])


def test_the_applied_json_is_the_same_to_the_byte() -> None:
    of = accepted(generation=3)
    text = json.dumps(status(of.resource, findings(of, pod("a"))).status)
    common = '"observedGeneration": 3, "lastTransitionTime": "2025-02-01T00:00:00Z"'
    assert text == (
        '{"observedGeneration": 3, "conditions": ['
        f'{{"type": "Accepted", "status": "True", "reason": "Accepted", "message": "the resource is valid", {common}}}, '
        f'{{"type": "ResolvedRefs", "status": "True", "reason": "ResolvedRefs", "message": "all references are resolved", {common}}}, '
        f'{{"type": "Programmed", "status": "True", "reason": "Programmed", "message": "published", {common}}}, '
        f'{{"type": "Ready", "status": "True", "reason": "Ready", "message": "served by 1 of 1 pods", {common}}}], '
        '"gateways": [{"name": "default", "acknowledged": 1, "pods": 1, "reason": "Ready"}], "connectorID": "x"}'
    )


def test_texts_of_others_are_cut_to_the_bounds_of_the_crd() -> None:
    of = verdict(Story().plan(resource := connector("x", connectorID="i" * 1000)), resource)
    assert len(status(of.resource, findings(of)).status["connectorID"]) == 512


def test_connector_that_no_gateway_selects_says_so() -> None:
    update = status(connector("x"))
    assert condition(update, "Accepted")["reason"] == "NoMatchingGateway"
    assert condition(update, "Ready")["status"] == "False"
    assert "connectorID" not in update.status
    assert update.status["gateways"] == []


def test_top_level_conditions_are_the_and_over_the_gateways() -> None:
    of = accepted()
    good = findings(of, pod("a"), name="eu")
    behind = findings(of, pod("b", 6), name="us")
    nobody = findings(of, name="asia")
    assert condition(status(of.resource, good, behind), "Ready")["status"] == "False"
    assert condition(status(of.resource, good, behind), "Ready")["message"].startswith("gateway us: ")
    assert condition(status(of.resource, good, nobody), "Ready")["status"] == "Unknown"
    assert condition(status(of.resource, nobody, behind), "Ready")["reason"] == "AwaitingGateways"
    assert condition(status(of.resource, good, findings(of, pod("c"), name="us")), "Ready")["status"] == "True"
    assert [item["reason"] for item in status(of.resource, good, behind).status["gateways"]] == ["Ready", "AwaitingGateways"]


def test_refusal_by_one_gateway_refuses_the_resource_and_the_other_one_still_serves() -> None:
    good, bad = accepted(), refused()
    update = status(good.resource, findings(good, pod("a"), name="eu"), findings(bad, pod("b"), name="us"))
    assert condition(update, "Accepted")["reason"] == "IDNotPermitted"
    assert [(item["name"], item["reason"]) for item in update.status["gateways"]] == [("eu", "Ready"), ("us", "IDNotPermitted")]


@pytest.mark.parametrize(("of", "stalled"), [(refused(), True), (accepted(), False)])
def test_permanent_refusal_is_stalled(of: Verdict, stalled: bool) -> None:
    assert bool(condition(status(of.resource, findings(of, pod("a"))), "Stalled")) is stalled


def test_id_conflict_is_not_stalled_because_it_heals() -> None:
    winner, loser = connector("a", age=3, connectorID="x"), connector("b", connectorID="x")
    plan = Story().plan(winner, loser)
    assert not condition(status(loser, findings(verdict(plan, loser), pod("a"))), "Stalled")


def test_unchanged_status_writes_nothing() -> None:
    of = accepted()
    first = status(of.resource, findings(of, pod("a")))
    assert status_of(of.resource, [findings(of, pod("a"))], first.status, LATER) is None


def test_more_pods_alone_write_nothing() -> None:
    of = accepted()
    first = status(of.resource, findings(of, pod("a")))
    assert status_of(of.resource, [findings(of, pod("a"), pod("b"), pod("c"))], first.status, LATER) is None


def test_new_generation_is_written_and_keeps_transition_times() -> None:
    before = accepted()
    first = status(before.resource, findings(before, pod("a")))
    after = accepted(generation=2)
    second = status(after.resource, findings(after, pod("a")), current=first.status, now=LATER)
    assert second.status["observedGeneration"] == 2
    assert {item["lastTransitionTime"] for item in second.status["conditions"]} == {NOW}
    assert second.transitions == ()


def test_transitions_name_what_changed_and_only_that_gets_a_new_time() -> None:
    of = accepted()
    first = status(of.resource, findings(of, pod("a")))
    second = status(of.resource, findings(of, pod("a", 6, failure="timeout")), current=first.status, now=LATER)
    assert [(item.type, item.before, item.after.status) for item in second.transitions] == [("Ready", "True", "False")]
    assert condition(second, "Ready")["lastTransitionTime"] == LATER
    assert condition(second, "Accepted")["lastTransitionTime"] == NOW


def test_first_status_is_a_transition_of_each_condition_that_is_known() -> None:
    of = accepted()
    update = status(of.resource, findings(of))
    assert [item.type for item in update.transitions] == [ConditionType.ACCEPTED, ConditionType.RESOLVED_REFS, ConditionType.PROGRAMMED]


def test_condition_that_stays_unknown_has_the_time_of_the_first_look() -> None:
    of = accepted()
    update = status(of.resource, findings(of), current={"conditions": pending_conditions()})
    assert condition(update, "Ready")["reason"] == "NoGatewayPods"
    assert {item["lastTransitionTime"] for item in update.status["conditions"]} == {NOW}


def test_message_that_changes_without_the_status_is_written_and_is_no_transition() -> None:
    of = accepted()
    first = status(of.resource, findings(of, pod("a", 6, failure="timeout")))
    second = status(of.resource, findings(of, pod("a", 6, failure="connection refused")), current=first.status, now=LATER)
    assert second.transitions == ()
    assert condition(second, "Ready")["lastTransitionTime"] == NOW
    assert "connection refused" in condition(second, "Ready")["message"]
