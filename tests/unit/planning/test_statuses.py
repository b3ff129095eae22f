"""What is said about a connector: conditions out of verdicts, published maps and acknowledgements."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from junctor.api.conditions import ConditionType, Finding, Reason, pending_conditions
from junctor.api.resources import Resource
from junctor.planning.acceptance import Verdict
from junctor.planning.readiness import GatewayProgress, PodProgress, ResourceProgress, programmed, ready
from junctor.planning.statuses import GatewayFindings, StatusUpdate, findings_of, status_of
from tests.unit.planning.building import Story, bearer, connector, gateway, verdict

NOW, LATER = "2025-02-01T00:00:00Z", "2025-02-02T00:00:00Z"
SINCE = 7


def accepted(**spec: Any) -> Verdict:
    """The verdict on a good connector."""
    resource = connector("x", **spec)
    return verdict(Story().plan(resource), resource)


def refused(**spec: Any) -> Verdict:
    """The verdict on a connector that an id policy refuses."""
    resource = connector("x", **spec)
    return verdict(Story(gateway(idPolicies=[{"pattern": "*", "namespaces": []}])).plan(resource), resource)


def progress(of: Verdict, *pods: PodProgress, published: bool = True, name: str = "default", **fields: Any) -> GatewayProgress:
    """A gateway whose map holds the verdict's entry since SINCE."""
    entries = {of.id: of.entry.changed_at(SINCE)} if published and of.entry is not None else {}
    return GatewayProgress(name, entries, fields.pop("sequence", SINCE), pods, **fields)


def pod(name: str, acknowledged: int | None = SINCE, **fields: Any) -> PodProgress:
    return PodProgress(name, acknowledged, **fields)


def ready_of(of: Verdict, seen: GatewayProgress, is_known: bool = False) -> Finding:
    return ready(ResourceProgress(of, seen, is_known))


# --- Programmed -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "published", "failure", "wanted"),
    [
        (accepted(), True, None, ("True", Reason.PROGRAMMED)),
        (accepted(), False, None, ("Unknown", Reason.PUBLISHING)),
        (accepted(), False, Finding("False", Reason.PUBLISH_FAILED, "no"), ("False", Reason.PUBLISH_FAILED)),
        (accepted(), True, Finding("False", Reason.PUBLISH_FAILED, "no"), ("True", Reason.PROGRAMMED)),
        (accepted(auth=bearer()), True, None, ("True", Reason.PROGRAMMED)),
        (accepted(state="Disabled"), False, None, ("False", Reason.DISABLED)),
        (refused(), False, None, ("False", Reason.NOT_ACCEPTED)),
    ],
)
def test_programmed_tells_whether_the_published_map_holds_this_generation(
    of: Verdict, published: bool, failure: Finding | None, wanted: tuple[str, Reason]
) -> None:
    finding = programmed(ResourceProgress(of, progress(of, published=published, failure=failure)))
    assert (finding.status, finding.reason) == wanted


def test_older_content_of_the_connector_in_the_map_is_not_programmed() -> None:
    old, new = accepted(), accepted(description="new", generation=2)
    assert programmed(ResourceProgress(new, progress(old))).reason is Reason.PUBLISHING


# --- Ready ------------------------------------------------------------------------------------------------------------------------------

READY_TABLE: list[tuple[str, Sequence[PodProgress], bool, tuple[str, Reason], str]] = [
    ("no pods", [], False, ("Unknown", Reason.NO_GATEWAY_PODS), "has no ready pod"),
    ("no pods any more", [], True, ("Unknown", Reason.NO_GATEWAY_PODS), "has no ready pod"),
    ("all serve it", [pod("a"), pod("b", 9)], False, ("True", Reason.READY), "served by 2 of 2 pods"),
    ("one is behind", [pod("a"), pod("b", 6)], False, ("False", Reason.AWAITING_GATEWAYS), "1 of 2 pods"),
    ("one is behind a rotation", [pod("a"), pod("b", 6)], True, ("False", Reason.AWAITING_GATEWAYS), "generation yet: b"),
    ("one has not answered", [pod("a"), pod("b", None)], False, ("False", Reason.AWAITING_GATEWAYS), ": b"),
    ("one joins", [pod("a"), pod("b", None)], True, ("True", Reason.READY), ""),
    ("one joins and does not answer", [pod("a"), pod("b", None, failure="refused")], True, ("True", Reason.READY), ""),
    ("unreachable", [pod("a"), pod("b", 6, failure="timeout")], False, ("False", Reason.GATEWAY_UNREACHABLE), "b: timeout"),
    ("unreachable but served", [pod("a"), pod("b", 7, failure="timeout")], False, ("True", Reason.READY), ""),
    ("keeps its map", [pod("a"), pod("b", 6, refusal="bad digest")], False, ("False", Reason.GATEWAY_REJECTED), "b: bad digest"),
    ("rejects it", [pod("a"), pod("b", rejected={"x": "old"})], False, ("False", Reason.GATEWAY_REJECTED), "b: old"),
    ("rejects it now", [pod("a"), pod("b", rejected={"x": "old"})], True, ("False", Reason.GATEWAY_REJECTED), "1 of 2 pods"),
    ("rejects another", [pod("a"), pod("b", rejected={"y": "old"})], False, ("True", Reason.READY), ""),
]


@pytest.mark.parametrize(("pods", "is_known", "wanted", "words"), [row[1:] for row in READY_TABLE], ids=[row[0] for row in READY_TABLE])
def test_ready_tells_whether_every_ready_pod_serves_it(
    pods: Sequence[PodProgress], is_known: bool, wanted: tuple[str, Reason], words: str
) -> None:
    of = accepted()
    finding = ready_of(of, progress(of, *pods), is_known)
    assert (finding.status, finding.reason) == wanted
    assert words in finding.message


def test_unreachable_pods_are_named_and_many_are_counted() -> None:
    of = accepted()
    message = ready_of(of, progress(of, *(pod(f"gw-{n}", None, failure="timeout") for n in range(5)))).message
    assert message == "5 of 5 pods do not answer: gw-0: timeout; gw-1: timeout; gw-2: timeout; and 2 more"


def test_connector_with_an_unresolved_reference_is_not_ready_although_it_is_in_the_map() -> None:
    of = accepted(auth=bearer())
    finding = ready_of(of, progress(of, pod("a")))
    assert (finding.status, finding.reason) == ("False", Reason.UNRESOLVED_REFS)
    assert "token" in finding.message


def test_refused_connector_repeats_why() -> None:
    of = refused()
    finding = ready_of(of, progress(of, pod("a")))
    assert (finding.status, finding.reason, finding.message) == ("False", Reason.NOT_ACCEPTED, of.accepted.message)


@pytest.mark.parametrize(
    ("pods", "removed", "wanted"),
    [
        ([], {}, ("True", Reason.DISABLED)),
        ([pod("a")], {}, ("True", Reason.DISABLED)),
        ([pod("a", 8)], {"uid-team-a-x": 8}, ("True", Reason.DISABLED)),
        ([pod("a", 7)], {"uid-team-a-x": 8}, ("False", Reason.AWAITING_GATEWAYS)),
        ([pod("a", 7, failure="timeout")], {"uid-team-a-x": 8}, ("False", Reason.GATEWAY_UNREACHABLE)),
    ],
)
def test_disabled_connector_is_ready_once_no_pod_serves_it(
    pods: Sequence[PodProgress], removed: Mapping[str, int], wanted: tuple[str, Reason]
) -> None:
    of = accepted(state="Disabled")
    finding = ready_of(of, progress(of, *pods, removed=removed, sequence=max(removed.values(), default=SINCE)))
    assert (finding.status, finding.reason) == wanted


def test_disabled_connector_is_not_ready_while_the_map_still_holds_it() -> None:
    served, of = accepted(), accepted(state="Disabled", generation=2)
    waiting = ready_of(of, progress(served, pod("a")))
    assert (waiting.status, waiting.reason) == ("Unknown", Reason.NOT_PROGRAMMED)
    failing = ready_of(of, progress(served, pod("a"), failure=Finding("False", Reason.PUBLISH_FAILED, "no permission")))
    assert (failing.status, failing.reason, failing.message) == ("False", Reason.NOT_PROGRAMMED, "no permission")


def test_disabled_connector_whose_id_another_one_has_is_ready() -> None:
    of = accepted(state="Disabled", connectorID="y")
    other = accepted(uid="another", connectorID="y")
    assert ready_of(of, progress(other, pod("a"))).reason is Reason.DISABLED


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
