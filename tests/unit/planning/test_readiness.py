"""The chains of checks behind Programmed and Ready, each check by itself, and Stalled."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from junctor.api.conditions import Finding, Reason
from junctor.planning.acceptance import Verdict
from junctor.planning.readiness import (
    PROGRAMMED_CHECKS,
    READY_CHECKS,
    Check,
    GatewayProgress,
    PodProgress,
    ResourceProgress,
    disabled_is_not_published,
    disabled_is_still_published,
    gateway_has_no_pods,
    is_not_programmed,
    map_contains_it,
    pods_are_behind,
    pods_do_not_answer,
    pods_refuse_the_map,
    pods_reject_it,
    programmed,
    publishing_failed,
    ready,
    references_are_unresolved,
    registry_is_read,
    stalled,
    unaccepted_is_not_published,
    unaccepted_is_not_ready,
)
from tests.unit.planning.building import Story, bearer, discovered, registry, server, synced, verdict
from tests.unit.planning.progress import SINCE, accepted, pod, progress, refused

NO_PERMISSION = Finding("False", Reason.PUBLISH_FAILED, "no permission")
FOUND = synced(discovered(server("a"), server("b")))


def of_registry(sync: Any = FOUND, **fields: Any) -> ResourceProgress:
    """A gateway with a registry whose entry and servers are published. fields: of the gateway's progress."""
    resource = registry()
    of = verdict(Story().plan(resource, syncs={resource.uid: sync} if sync else {}), resource)
    return ResourceProgress(of, progress(of, *fields.pop("pods", ()), **{"discovered": {of.id: SINCE}} | fields))


def of_connector(of: Verdict, *pods: PodProgress, **fields: Any) -> ResourceProgress:
    """A gateway with a connector. fields: of the gateway's progress, or `ready_in_this_process`."""
    is_ready = fields.pop("ready_in_this_process", False)
    return ResourceProgress(of, progress(of, *pods, **fields), is_ready)


GOOD, REFUSED, OFF, UNRESOLVED = accepted(), refused(), accepted(state="Disabled", generation=2), accepted(auth=bearer())
#: A gateway whose map still contains the connector that OFF disables.
STILL_PUBLISHED = {"entries": {"x": GOOD.entry}}


def disabled(*pods: PodProgress, **fields: Any) -> ResourceProgress:
    """A disabled connector that was removed from the map in the sequence 8."""
    without_it: dict[str, Any] = {"gateway": "default", "entries": {}, "sequence": 8, "pods": pods}
    return ResourceProgress(OFF, GatewayProgress(**without_it | fields))


CHECKS_TABLE: list[tuple[Check, ResourceProgress, tuple[str, Reason] | None, str]] = [
    # Programmed
    (unaccepted_is_not_published, of_connector(GOOD), None, ""),
    (unaccepted_is_not_published, of_connector(REFUSED), ("False", Reason.NOT_ACCEPTED), "not published, because it is not accepted"),
    (disabled_is_not_published, of_connector(GOOD), None, ""),
    (disabled_is_not_published, disabled(), ("False", Reason.DISABLED), "disabled: not published"),
    (registry_is_read, of_connector(GOOD), None, ""),
    (registry_is_read, of_registry(), None, ""),
    (registry_is_read, of_registry(None), ("Unknown", Reason.SYNCING), "has not been read yet"),
    (registry_is_read, of_registry(synced(None)), ("Unknown", Reason.SYNCING), "has not been read yet"),
    (registry_is_read, of_registry(synced(FOUND.discovered, generation=2)), ("Unknown", Reason.SYNCING), "of this generation"),
    (registry_is_read, of_registry(synced(FOUND.discovered, current=False)), ("Unknown", Reason.SYNCING), "of this generation"),
    (map_contains_it, of_connector(GOOD), ("True", Reason.PROGRAMMED), "published"),
    (map_contains_it, of_connector(GOOD, published=False), None, ""),
    (map_contains_it, ResourceProgress(accepted(description="new"), progress(GOOD)), None, ""),
    (map_contains_it, of_registry(), ("True", Reason.PROGRAMMED), "published"),
    (map_contains_it, of_registry(discovered={}), None, ""),
    (publishing_failed, of_connector(GOOD), None, ""),
    (publishing_failed, of_connector(GOOD, failure=NO_PERMISSION), ("False", Reason.PUBLISH_FAILED), "no permission"),
    # Ready
    (unaccepted_is_not_ready, of_connector(GOOD), None, ""),
    (unaccepted_is_not_ready, of_connector(REFUSED), ("False", Reason.NOT_ACCEPTED), REFUSED.accepted.message),
    (disabled_is_still_published, of_connector(GOOD), None, ""),
    (disabled_is_still_published, disabled(), None, ""),
    (disabled_is_still_published, disabled(**STILL_PUBLISHED), ("Unknown", Reason.NOT_PROGRAMMED), "the map without it"),
    (disabled_is_still_published, disabled(**STILL_PUBLISHED, failure=NO_PERMISSION), ("False", Reason.NOT_PROGRAMMED), "no permission"),
    (disabled_is_still_published, disabled(entries={"x": accepted(uid="another").entry}), None, ""),
    (is_not_programmed, of_connector(GOOD), None, ""),
    (is_not_programmed, of_connector(GOOD, published=False), ("Unknown", Reason.NOT_PROGRAMMED), "the map is being written"),
    (is_not_programmed, of_registry(None), ("Unknown", Reason.NOT_PROGRAMMED), "has not been read yet"),
    (is_not_programmed, disabled(), None, ""),
    (references_are_unresolved, of_connector(GOOD), None, ""),
    (references_are_unresolved, of_connector(UNRESOLVED), ("False", Reason.UNRESOLVED_REFS), "no Secret team-a/token"),
    (gateway_has_no_pods, of_connector(GOOD, pod("a")), None, ""),
    (gateway_has_no_pods, of_connector(GOOD), ("Unknown", Reason.NO_GATEWAY_PODS), "has no ready pod"),
    (gateway_has_no_pods, disabled(), None, ""),
    (pods_reject_it, of_connector(GOOD, pod("a", rejected={"y": "old"})), None, ""),
    (
        pods_reject_it,
        of_connector(GOOD, pod("a", rejected={"x": "old"})),
        ("False", Reason.GATEWAY_REJECTED),
        "1 of 1 pods refuse it: a: old",
    ),
    (pods_reject_it, of_registry(pods=[pod("a", rejected={"mcp::other::io.acme/a": "old", "x": "old"})]), None, ""),
    (
        pods_reject_it,
        of_registry(pods=[pod("a", rejected={"mcp::internal::io.acme/a": "old"})]),
        ("False", Reason.GATEWAY_REJECTED),
        "a: 1 servers, for example mcp::internal::io.acme/a: old",
    ),
    (pods_refuse_the_map, of_connector(GOOD, pod("a", 7, refusal="bad digest")), None, ""),
    (
        pods_refuse_the_map,
        of_connector(GOOD, pod("a", 6, refusal="bad digest"), pod("b")),
        ("False", Reason.GATEWAY_REJECTED),
        "1 of 2 pods keep an older map: a: bad digest",
    ),
    (pods_do_not_answer, of_connector(GOOD, pod("a", 7, failure="timeout")), None, ""),
    (
        pods_do_not_answer,
        of_connector(GOOD, pod("a", 6, failure="timeout"), pod("b", 6)),
        ("False", Reason.GATEWAY_UNREACHABLE),
        "1 of 2 pods do not answer: a: timeout",
    ),
    (pods_are_behind, of_connector(GOOD, pod("a"), pod("b", 9)), None, ""),
    (pods_are_behind, of_connector(GOOD, pod("a", None), ready_in_this_process=True), None, ""),
    (
        pods_are_behind,
        of_connector(GOOD, pod("a", None)),
        ("False", Reason.AWAITING_GATEWAYS),
        "1 of 1 pods do not serve this generation yet: a",
    ),
    (
        pods_are_behind,
        of_connector(GOOD, *(pod(name, 6) for name in "abcd")),
        ("False", Reason.AWAITING_GATEWAYS),
        "4 of 4 pods do not serve this generation yet: a, b, c, ...",
    ),
    (pods_are_behind, disabled(pod("a", 8)), None, ""),
    (pods_are_behind, disabled(pod("a", 7)), ("False", Reason.AWAITING_GATEWAYS), "1 of 1 pods still serve it: a"),
]


@pytest.mark.parametrize(("check", "seen", "expected", "part"), CHECKS_TABLE)
def test_each_check_of_the_chains(check: Check, seen: ResourceProgress, expected: tuple[str, Reason] | None, part: str) -> None:
    finding = check(seen)
    assert (None if finding is None else (finding.status, finding.reason)) == expected
    assert finding is None or part in finding.message


def test_each_check_has_rows_with_and_without_a_finding() -> None:
    outcomes = {(check, expected is None) for check, _, expected, _ in CHECKS_TABLE}
    assert outcomes == {(check, is_none) for check in (*PROGRAMMED_CHECKS, *READY_CHECKS) for is_none in (True, False)}


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


# --- Stalled ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reason",
    [
        Reason.INVALID,
        Reason.INVALID_CA_BUNDLE,
        Reason.INVALID_ID,
        Reason.ID_NOT_PERMITTED,
        Reason.ID_IMMUTABLE,
        Reason.UNSUPPORTED_FIELD,
        Reason.TOO_LARGE,
    ],
)
def test_permanent_refusal_is_stalled_with_its_reason(reason: Reason) -> None:
    assert stalled(Finding("False", reason, "why")) == Finding("True", reason, "why")


@pytest.mark.parametrize(
    "accepted",
    [
        Finding("True", Reason.ACCEPTED, "the resource is valid"),
        Finding("False", Reason.ID_CONFLICT, "another one is older"),
        Finding("False", Reason.CREDENTIALS_TOO_LARGE, "full"),
        Finding("False", Reason.NO_MATCHING_GATEWAY, "nobody selects it"),
    ],
    ids=lambda finding: str(finding.reason),
)
def test_what_heals_by_itself_is_not_stalled(accepted: Finding) -> None:
    assert stalled(accepted) is None
