"""What to say about a resource: conditions out of the gateways' verdicts, their published maps and what their pods acknowledged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from junctor.api.conditions import CONNECTOR_CONDITIONS, REGISTRY_CONDITIONS, ConditionType, Finding, Reason
from junctor.api.reasons import PERMANENT
from junctor.api.resources import RegistryResource, Resource
from junctor.api.sync_report import SyncReport
from junctor.connectormap.ids import registry_id_of_entry
from junctor.planning.readiness import GatewayProgress, programmed, ready, since_of
from junctor.planning.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Transition:
    """One condition that changed its status: `Ready: Unknown -> True`."""

    type: str
    before: str
    after: Finding


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """A status to write, and the transitions that it marks."""

    resource: Resource
    status: Mapping[str, Any]
    transitions: tuple[Transition, ...]


@dataclass(frozen=True, slots=True)
class GatewayFindings:
    """All that one gateway says about one connector."""

    gateway: str
    verdict: Verdict
    conditions: Mapping[ConditionType, Finding]
    acknowledged: int
    pods: int


def findings_of(verdict: Verdict, progress: GatewayProgress, was_ready: bool, told_ready: bool = False) -> GatewayFindings:
    """Collect one gateway's findings. was_ready, told_ready: see `ready`."""
    in_map = programmed(verdict, progress)
    entry = progress.entries.get(verdict.id)
    since = since_of(verdict, progress) if in_map.ok and entry is not None else progress.sequence
    acknowledged = sum(1 for pod in progress.pods if pod.acknowledged is not None and pod.acknowledged >= since)
    conditions = {
        ConditionType.ACCEPTED: verdict.accepted,
        ConditionType.RESOLVED_REFS: verdict.resolved if verdict.accepted.ok else _NOWHERE[ConditionType.RESOLVED_REFS],
        ConditionType.SYNCED: _synced(verdict),
        ConditionType.PROGRAMMED: in_map,
        ConditionType.READY: ready(verdict, progress, in_map, was_ready, told_ready),
    }
    own = {kind: conditions[kind] for kind in _kinds(verdict.resource)}
    return GatewayFindings(progress.gateway, verdict, own, acknowledged if in_map.ok else 0, len(progress.pods))


def _kinds(resource: Resource) -> tuple[ConditionType, ...]:
    return REGISTRY_CONDITIONS if isinstance(resource, RegistryResource) else CONNECTOR_CONDITIONS


_NOWHERE: Final = {
    ConditionType.ACCEPTED: Finding(
        "False",
        Reason.NO_MATCHING_GATEWAY,
        "no gateway selects this resource; compare its labels and its namespace's with the gateways' selectors",
    ),
    ConditionType.RESOLVED_REFS: Finding("Unknown", Reason.NOT_ACCEPTED, "references are looked at once the resource is accepted"),
    ConditionType.SYNCED: Finding("Unknown", Reason.NOT_ACCEPTED, "the registry is read once the resource is accepted"),
    ConditionType.PROGRAMMED: Finding("False", Reason.NOT_ACCEPTED, "not published, because it is not accepted"),
    ConditionType.READY: Finding("False", Reason.NOT_ACCEPTED, "no gateway selects this resource"),
}


def _synced(verdict: Verdict) -> Finding:
    if not verdict.accepted.ok:
        return _NOWHERE[ConditionType.SYNCED]
    if verdict.disabled:
        return Finding("Unknown", Reason.DISABLED, "disabled: not read")
    return verdict.sync.synced if verdict.sync else Finding("Unknown", Reason.SYNCING, "the registry is about to be read")


def status_of(resource: Resource, gateways: Sequence[GatewayFindings], current: Mapping[str, Any], now: str) -> StatusUpdate | None:
    """The status to write, or None when the current one says the same.

    now: RFC 3339, for conditions whose status changes. Counts of pods alone are no reason to write: a rollout of the gateways would
    rewrite the status of every connector.
    """
    summary = {kind: _all(kind, gateways) if gateways else _NOWHERE[kind] for kind in _kinds(resource)}
    if any(item.verdict.sync for item in gateways):  # a registry is read once for all gateways, those that refuse it too
        summary[ConditionType.SYNCED] = next(item.conditions[ConditionType.SYNCED] for item in gateways if item.verdict.sync)
    accepted = summary[ConditionType.ACCEPTED]
    if accepted.status == "False" and accepted.reason in PERMANENT:
        summary[ConditionType.STALLED] = Finding("True", accepted.reason, accepted.message)
    before = {condition.get("type"): condition for condition in current.get("conditions") or () if isinstance(condition, dict)}
    conditions = [_condition(kind, finding, before.get(str(kind), {}), resource.generation, now) for kind, finding in summary.items()]
    status: dict[str, Any] = {
        "observedGeneration": resource.generation,
        "conditions": conditions,
        "gateways": [_gateway(findings) for findings in gateways[:16]],
    }
    if gateways and isinstance(resource, RegistryResource):
        status["registryID"] = registry_id_of_entry(gateways[0].verdict.id)
        status |= _sync_fields(next((item.verdict.sync for item in gateways if item.verdict.sync), None), current)
    elif gateways:
        status["connectorID"] = gateways[0].verdict.id
    if _same(status, current):
        return None
    transitions = tuple(
        Transition(str(kind), before.get(str(kind), {}).get("status", "Unknown"), finding)
        for kind, finding in summary.items()
        if kind is not ConditionType.STALLED and before.get(str(kind), {}).get("status", "Unknown") != finding.status
    )
    return StatusUpdate(resource, status, transitions)


#: What a sync reports beside its condition.
_SYNC_FIELDS: Final = ("lastSyncTime", "lastFullSyncTime", "discovered", "published", "skipped", "lastHandledSyncRequest")


def _sync_fields(sync: SyncReport | None, current: Mapping[str, Any]) -> dict[str, Any]:
    """Counts and times. Before this process has synced, those of the one before it are still true."""
    if sync is None or not (sync.last_sync or sync.counts.found):
        return {name: current[name] for name in _SYNC_FIELDS if name in current}
    skipped = [
        {"reason": str(reason), "count": item.count} | ({"examples": list(item.examples[:5])} if item.examples else {})
        for reason, item in sorted(sync.counts.skipped.items())
        if item.count
    ]
    fields = {
        "lastSyncTime": sync.last_sync,
        "lastFullSyncTime": sync.last_full_sync,
        "discovered": sync.counts.found,
        "published": sync.counts.published,
        "skipped": skipped,
        "lastHandledSyncRequest": sync.handled_request,
    }
    return {name: value for name, value in fields.items() if value or value == 0}


def _all(kind: ConditionType, gateways: Sequence[GatewayFindings]) -> Finding:
    """The AND of one condition over the gateways: the first that is False, else the first Unknown, else the first."""
    found = [(item.gateway, item.conditions[kind]) for item in gateways]
    for status in ("False", "Unknown"):
        for name, finding in found:
            if finding.status == status:
                return finding if len(found) == 1 else Finding(finding.status, finding.reason, f"gateway {name}: {finding.message}")
    return found[0][1]


def _condition(kind: ConditionType, finding: Finding, before: Mapping[str, Any], generation: int, now: str) -> dict[str, Any]:
    # What the API server filled in before anybody looked has no time of its own.
    changed = before.get("status") != finding.status or before.get("reason") == Reason.PENDING
    return {
        "type": str(kind),
        "status": finding.status,
        "reason": str(finding.reason),
        "message": finding.message[:4096],
        "observedGeneration": generation,
        "lastTransitionTime": now if changed else before.get("lastTransitionTime", now),
    }


def _gateway(findings: GatewayFindings) -> dict[str, Any]:
    reason = next((f.reason for f in findings.conditions.values() if not f.ok), findings.conditions[ConditionType.READY].reason)
    return {"name": findings.gateway, "acknowledged": findings.acknowledged, "pods": findings.pods, "reason": str(reason)}


def _same(status: Mapping[str, Any], current: Mapping[str, Any]) -> bool:
    return bool(_essence(status) == _essence(current))


def _essence(status: Mapping[str, Any]) -> Any:
    conditions = {
        condition.get("type"): (condition.get("status"), condition.get("reason"), _stable(condition), condition.get("observedGeneration"))
        for condition in status.get("conditions") or ()
    }
    gateways = [(gateway.get("name"), gateway.get("reason")) for gateway in status.get("gateways") or ()]
    told = [status.get(name) for name in ("observedGeneration", "connectorID", "registryID", *_SYNC_FIELDS)]
    return told, conditions, gateways


def _stable(condition: Mapping[str, Any]) -> Any:
    """The message, except where it only counts pods."""
    return None if condition.get("reason") == Reason.READY else condition.get("message")
