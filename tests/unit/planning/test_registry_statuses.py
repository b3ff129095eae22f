"""What is said about a registry: whether it was read, and whether its servers are published and served."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from junctor.api.conditions import ConditionType, Finding, Reason, SkipReason
from junctor.api.resources import RegistryResource
from junctor.api.sync_report import SkipCount, SyncReport
from junctor.planning.acceptance import Verdict
from junctor.planning.readiness import GatewayProgress, PodProgress, ResourceProgress
from junctor.planning.statuses import findings_of, status_of
from tests.unit.planning.building import Story, bearer, discovered, gateway, registry, server, synced, verdict

NOW, LATER = "2025-02-01T00:00:00Z", "2025-02-02T00:00:00Z"
ID = "mcp::internal"
#: In which sequences the registry's own entry and its servers last changed.
ENTRY, SERVERS = 7, 9
READ = synced(discovered(server("a"), server("b")), found=5, published=2, last_full_sync="2025-01-01T00:00:00Z")
FAILED = Finding("False", Reason.REGISTRY_UNREACHABLE, "connection refused")


def judged(sync: SyncReport | None = READ, **spec: Any) -> Verdict:
    """The verdict on a registry."""
    resource = registry(**spec)
    return verdict(Story().plan(resource, syncs={resource.uid: sync} if sync else {}), resource)


def progress(of: Verdict, *pods: PodProgress, **fields: Any) -> GatewayProgress:
    """A gateway whose map holds what the verdict asks for."""
    entries = {of.id: of.entry.changed_at(ENTRY)} if of.entry is not None else {}
    seen: dict[str, Any] = {"gateway": "default", "entries": entries, "sequence": SERVERS, "pods": pods, "discovered": {ID: SERVERS}}
    return GatewayProgress(**seen | fields)


def pod(name: str, acknowledged: int | None = SERVERS, **fields: Any) -> PodProgress:
    return PodProgress(name, acknowledged, **fields)


def status(of: Verdict, *gateways: GatewayProgress, current: Mapping[str, Any] | None = None, is_known: bool = False) -> Mapping[str, Any]:
    """The status that is written."""
    update = status_of(of.resource, [findings_of(ResourceProgress(of, seen, is_known)) for seen in gateways], current or {}, NOW)
    assert update is not None
    return update.status


def told(of: Verdict, *gateways: GatewayProgress, is_known: bool = False) -> dict[str, tuple[str, str]]:
    """Status and reason by condition."""
    return {item["type"]: (item["status"], item["reason"]) for item in status(of, *gateways, is_known=is_known)["conditions"]}


def message(written: Mapping[str, Any], kind: str) -> str:
    return next(str(item["message"]) for item in written["conditions"] if item["type"] == kind)


@pytest.mark.parametrize(
    ("status_says_ready", "of_pod", "reason"),
    [
        (False, pod("a", ENTRY), "AwaitingGateways"),
        (True, pod("a", ENTRY), "Ready"),
        (True, pod("a", ENTRY, failure="no answer"), "GatewayUnreachable"),
        (True, pod("a", ENTRY, refusal="bad digest"), "GatewayRejected"),
        (True, pod("a", ENTRY - 1), "AwaitingGateways"),
    ],
    ids=["first servers", "servers of a later sync", "no answer", "refused", "another generation"],
)
def test_registry_that_was_ready_stays_so_while_pods_take_new_servers(status_says_ready: bool, of_pod: PodProgress, reason: str) -> None:
    of = judged()
    seen = ResourceProgress(of, progress(of, of_pod, pod("b")), status_says_ready=status_says_ready)
    found = findings_of(seen).conditions[ConditionType.READY]
    assert str(found.reason) == reason


# --- every condition in every state -----------------------------------------------------------------------------------------------------

STATES: list[tuple[str, Verdict, Mapping[str, Any], dict[str, tuple[str, str]]]] = [
    (
        "all well",
        judged(),
        {},
        {
            "Synced": ("True", "Synced"),
            "Programmed": ("True", "Programmed"),
            "Ready": ("True", "Ready"),
            "ResolvedRefs": ("True", "ResolvedRefs"),
        },
    ),
    (
        "about to be read",
        judged(None),
        {"discovered": {}},
        {"Synced": ("Unknown", "Syncing"), "Programmed": ("Unknown", "Syncing"), "Ready": ("Unknown", "NotProgrammed")},
    ),
    (
        "never read",
        judged(synced(None, synced=FAILED)),
        {"discovered": {}},
        {"Synced": ("False", "RegistryUnreachable"), "Programmed": ("Unknown", "Syncing"), "Ready": ("Unknown", "NotProgrammed")},
    ),
    (
        "fails later",
        judged(replace(READ, synced=FAILED)),
        {},
        {"Synced": ("False", "RegistryUnreachable"), "Programmed": ("True", "Programmed"), "Ready": ("True", "Ready")},
    ),
    (
        "read by the rules of before",
        judged(replace(READ, current=False)),
        {},
        {"Synced": ("True", "Synced"), "Programmed": ("Unknown", "Syncing"), "Ready": ("Unknown", "NotProgrammed")},
    ),
    (
        "a report on the generation before",
        judged(READ, generation=2),
        {},
        {"Programmed": ("Unknown", "Syncing"), "Ready": ("Unknown", "NotProgrammed")},
    ),
    (
        "its servers are being written",
        judged(),
        {"discovered": {}},
        {"Programmed": ("Unknown", "Publishing"), "Ready": ("Unknown", "NotProgrammed")},
    ),
    (
        "its entry is being written",
        judged(),
        {"entries": {}},
        {"Programmed": ("Unknown", "Publishing"), "Ready": ("Unknown", "NotProgrammed")},
    ),
    (
        "its servers cannot be written",
        judged(),
        {"discovered": {}, "failure": Finding("False", Reason.PUBLISH_FAILED, "no permission")},
        {"Programmed": ("False", "PublishFailed"), "Ready": ("False", "NotProgrammed")},
    ),
    (
        "a Secret is missing",
        judged(auth=bearer()),
        {},
        {"ResolvedRefs": ("False", "SecretNotFound"), "Programmed": ("True", "Programmed"), "Ready": ("True", "Ready")},
    ),
    (
        "disabled",
        judged(state="Disabled"),
        {"discovered": {}},
        {
            "Accepted": ("True", "Accepted"),
            "Synced": ("Unknown", "Disabled"),
            "Programmed": ("False", "Disabled"),
            "Ready": ("True", "Disabled"),
        },
    ),
    (
        "refused",
        judged(unheard={"of": 1}),
        {"discovered": {}},
        {
            "Accepted": ("False", "UnsupportedField"),
            "ResolvedRefs": ("Unknown", "NotAccepted"),
            "Synced": ("Unknown", "NotAccepted"),
            "Programmed": ("False", "NotAccepted"),
            "Ready": ("False", "NotAccepted"),
            "Stalled": ("True", "UnsupportedField"),
        },
    ),
]


@pytest.mark.parametrize(("of", "fields", "wanted"), [row[1:] for row in STATES], ids=[row[0] for row in STATES])
def test_conditions_of_each_state(of: Verdict, fields: Mapping[str, Any], wanted: dict[str, tuple[str, str]]) -> None:
    found = told(of, progress(of, pod("a"), **fields))
    assert {kind: found[kind] for kind in wanted} == wanted
    assert ("Stalled" in found) == ("Stalled" in wanted)


READY: list[tuple[str, Sequence[PodProgress], bool, tuple[str, str], str]] = [
    ("all serve the servers", [pod("a"), pod("b", 12)], False, ("True", "Ready"), "2 of 2"),
    ("one serves the entry and not yet its servers", [pod("a"), pod("b", 8)], False, ("False", "AwaitingGateways"), ": b"),
    ("one is behind although it was ready", [pod("a"), pod("b", 8)], True, ("False", "AwaitingGateways"), ": b"),
    ("one only joins", [pod("a"), pod("b", None)], True, ("True", "Ready"), ""),
    ("one was never ready", [pod("a"), pod("b", None)], False, ("False", "AwaitingGateways"), ": b"),
    ("no pods", [], False, ("Unknown", "NoGatewayPods"), "no ready pod"),
    (
        "a pod refuses two servers",
        [pod("a", rejected={f"{ID}::io.acme/a": "old", f"{ID}::io.acme/b": "old", "mcp::other::io.acme/a": "x", "c": "y"}), pod("b")],
        False,
        ("False", "GatewayRejected"),
        f"1 of 2 pods refuse it: a: 2 servers, for example {ID}::io.acme/a: old",
    ),
    ("a pod refuses the registry", [pod("a", rejected={ID: "features"})], False, ("False", "GatewayRejected"), f"{ID}: features"),
    ("a pod refuses others", [pod("a", rejected={"mcp::internal2::io.acme/a": "old", "internal": "old"})], False, ("True", "Ready"), ""),
]


@pytest.mark.parametrize(("pods", "is_known", "wanted", "words"), [row[1:] for row in READY], ids=[row[0] for row in READY])
def test_ready_waits_for_the_last_change_of_the_servers(
    pods: Sequence[PodProgress], is_known: bool, wanted: tuple[str, str], words: str
) -> None:
    of = judged()
    written = status(of, progress(of, *pods), is_known=is_known)
    found = {item["type"]: (item["status"], item["reason"]) for item in written["conditions"]}
    assert found["Ready"] == wanted
    assert words in message(written, "Ready")


# --- several gateways -------------------------------------------------------------------------------------------------------------------


def test_synced_is_told_once_for_all_gateways() -> None:
    of = judged(replace(READ, synced=FAILED))
    written = status(of, progress(of, pod("a"), gateway="one"), progress(of, pod("b"), gateway="two"))
    assert message(written, "Synced") == "connection refused"


def test_synced_does_not_depend_on_a_gateway_that_refuses_the_registry() -> None:
    resource = registry()
    of = verdict(Story().plan(resource, syncs={resource.uid: READ}), resource)
    elsewhere = verdict(Story(gateway(idPolicies=[{"pattern": "mcp::*", "namespaces": []}])).plan(resource), resource)
    update = status_of(
        resource,
        [
            findings_of(ResourceProgress(elsewhere, progress(elsewhere, gateway="one"))),
            findings_of(ResourceProgress(of, progress(of, pod("b")))),
        ],
        {},
        NOW,
    )
    assert update is not None
    found = {item["type"]: (item["status"], item["reason"]) for item in update.status["conditions"]}
    assert (found["Accepted"], found["Synced"]) == (("False", "IDNotPermitted"), ("True", "Synced"))
    assert update.status["discovered"] == 5


# --- counts and times -------------------------------------------------------------------------------------------------------------------

COUNTED = replace(
    READ,
    counts=replace(
        READ.counts,
        skipped={
            SkipReason.NO_REMOTE: SkipCount(2, ("io.acme/x", "io.acme/y")),
            SkipReason.FILTERED: SkipCount(0),
            SkipReason.LIMIT_REACHED: SkipCount(1),
            SkipReason.INVALID_RECORD: SkipCount(9, tuple(f"io.acme/{number}" for number in range(9))),
        },
    ),
    handled_request="now",
)


def test_status_tells_counts_times_and_at_most_five_examples() -> None:
    of = judged(COUNTED)
    written = status(of, progress(of, pod("a")))
    assert (written["registryID"], written["discovered"], written["published"]) == ("internal", 5, 2)
    assert (written["lastSyncTime"], written["lastFullSyncTime"]) == ("2025-01-01T00:00:00Z", "2025-01-01T00:00:00Z")
    assert written["lastHandledSyncRequest"] == "now"
    assert written["skipped"] == [
        {"reason": "InvalidRecord", "count": 9, "examples": [f"io.acme/{number}" for number in range(5)]},
        {"reason": "LimitReached", "count": 1},
        {"reason": "NoRemote", "count": 2, "examples": ["io.acme/x", "io.acme/y"]},
    ]


def test_equal_status_is_not_written_again_and_each_sync_is_once() -> None:
    of = judged(COUNTED)
    first = status(of, progress(of, pod("a")))
    assert status_of(of.resource, [findings_of(ResourceProgress(of, progress(of, pod("a"), pod("b"))))], first, LATER) is None
    later = judged(replace(COUNTED, last_sync=LATER))
    update = status_of(later.resource, [findings_of(ResourceProgress(later, progress(later, pod("a"))))], first, LATER)
    assert update is not None
    assert (update.status["lastSyncTime"], update.transitions) == (LATER, ())


def test_first_sync_that_is_partial_tells_what_it_has_published() -> None:
    of = judged(replace(COUNTED, last_sync="", last_full_sync="", synced=Finding("False", Reason.PARTIAL_SYNC, "page 2")))
    written = status(of, progress(of, pod("a")))
    assert (written["discovered"], written["published"], "lastSyncTime" in written) == (5, 2, False)


def test_empty_registry_says_zero() -> None:
    of = judged(synced(discovered()))
    written = status(of, progress(of, pod("a"), discovered={ID: 0}))
    assert (written["discovered"], written["published"]) == (0, 0)
    assert {item["type"]: item["status"] for item in written["conditions"]}["Ready"] == "True"


@pytest.mark.parametrize("spec", [{"state": "Disabled"}, {"unheard": 1}, {}], ids=["disabled", "refused", "not read by this process"])
def test_counts_of_before_stay_while_nobody_reads_the_registry(spec: dict[str, Any]) -> None:
    of = judged(COUNTED)
    before = status(of, progress(of, pod("a")))
    unread = judged(None, **spec)
    after = status(unread, progress(unread, pod("a")), current=before)
    for name in ("discovered", "published", "skipped", "lastSyncTime", "lastFullSyncTime", "lastHandledSyncRequest"):
        assert after[name] == before[name]


def test_registry_that_no_gateway_selects_says_so() -> None:
    resource: RegistryResource = registry()
    update = status_of(resource, [], {}, NOW)
    assert update is not None
    found = {item["type"]: (item["status"], item["reason"]) for item in update.status["conditions"]}
    assert (found["Accepted"], found["Synced"], found["Ready"]) == (
        ("False", "NoMatchingGateway"),
        ("Unknown", "NotAccepted"),
        ("False", "NotAccepted"),
    )
