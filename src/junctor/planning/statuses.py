"""The status of a resource: the findings of all gateways, as one set of conditions, in the models that the CRDs are generated from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from junctor.api.conditions import (
    CONNECTOR_CONDITIONS,
    REGISTRY_CONDITIONS,
    Condition,
    Conditions,
    ConditionType,
    Finding,
    Reason,
    StoredCondition,
)
from junctor.api.resources import RegistryResource, Resource
from junctor.api.status import GatewayStatus, MCPConnectorStatus, MCPRegistryStatus
from junctor.api.sync_report import SyncReport
from junctor.connectormap.ids import registry_id_of_entry
from junctor.net.formats import KubernetesObject, KubernetesObjectView
from junctor.planning.acceptance import Verdict
from junctor.planning.readiness import ResourceProgress, programmed, ready, stalled


@dataclass(frozen=True, slots=True)
class Transition:
    """One condition that changed its status: `Ready: Unknown -> True`."""

    type: str
    before: str
    after: Finding


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """A status to write, as the JSON that is applied, and the transitions in it."""

    resource: Resource
    status: KubernetesObjectView
    transitions: tuple[Transition, ...]


@dataclass(frozen=True, slots=True)
class GatewayFindings:
    """The findings of one gateway about one resource. acknowledged: how many of its pods serve what is published."""

    gateway: str
    verdict: Verdict
    conditions: Mapping[ConditionType, Finding]
    acknowledged: int
    pods: int

    @property
    def reason(self) -> str:
        """The reason of the first condition that is not True, else that of Ready."""
        return str(next((item.reason for item in self.conditions.values() if not item.ok), self.conditions[ConditionType.READY].reason))

    @property
    def status(self) -> GatewayStatus:
        """What the status says about the gateway."""
        return GatewayStatus(name=self.gateway, acknowledged=self.acknowledged, pods=self.pods, reason=self.reason)


def findings_of(progress: ResourceProgress) -> GatewayFindings:
    """Collect one gateway's findings about one resource."""
    verdict, gateway = progress.verdict, progress.gateway
    in_map = programmed(progress)
    since = progress.since if in_map.ok else gateway.sequence
    acknowledged = sum(1 for pod in gateway.pods if pod.acknowledged is not None and pod.acknowledged >= since)
    conditions = {
        ConditionType.ACCEPTED: verdict.accepted,
        ConditionType.RESOLVED_REFS: verdict.resolved if verdict.accepted.ok else _NOT_SELECTED[ConditionType.RESOLVED_REFS],
        ConditionType.SYNCED: _synced(verdict),
        ConditionType.PROGRAMMED: in_map,
        ConditionType.READY: ready(progress),
    }
    own = {kind: conditions[kind] for kind in _kinds(verdict.resource)}
    return GatewayFindings(gateway.gateway, verdict, own, acknowledged if in_map.ok else 0, len(gateway.pods))


def _kinds(resource: Resource) -> tuple[ConditionType, ...]:
    return REGISTRY_CONDITIONS if isinstance(resource, RegistryResource) else CONNECTOR_CONDITIONS


_NOT_SELECTED: Final = {
    ConditionType.ACCEPTED: Finding(
        "False",
        Reason.NO_MATCHING_GATEWAY,
        "no gateway selects this resource; compare its labels and its namespace's with the gateways' selectors",
    ),
    ConditionType.RESOLVED_REFS: Finding("Unknown", Reason.NOT_ACCEPTED, "references are resolved once the resource is accepted"),
    ConditionType.SYNCED: Finding("Unknown", Reason.NOT_ACCEPTED, "the registry is read once the resource is accepted"),
    ConditionType.PROGRAMMED: Finding("False", Reason.NOT_ACCEPTED, "not published, because it is not accepted"),
    ConditionType.READY: Finding("False", Reason.NOT_ACCEPTED, "no gateway selects this resource"),
}


def _synced(verdict: Verdict) -> Finding:
    if not verdict.accepted.ok:
        return _NOT_SELECTED[ConditionType.SYNCED]
    if verdict.is_disabled:
        return Finding("Unknown", Reason.DISABLED, "disabled: not read")
    return verdict.sync.synced if verdict.sync else Finding("Unknown", Reason.SYNCING, "the registry is about to be read")


def status_of(resource: Resource, gateways: Sequence[GatewayFindings], current: KubernetesObjectView, now: str) -> StatusUpdate | None:
    """The status to write, or None if the current one says the same.

    A change of pod counts alone is not written: a rollout of the gateways would rewrite the status of every connector.

    Args:
        resource: The resource.
        gateways: The findings of every gateway that selects it.
        current: The status that it has.
        now: RFC 3339, the time of conditions whose status changes.
    """
    summary = _summary(resource, gateways)
    fields = _own_fields(resource, gateways, current)
    if _comparable_findings(resource, summary, gateways, fields) == _comparable(current):
        return None  # before models are made: after a start this is so for thousands of resources
    before = Conditions(current)
    conditions = [_condition(kind, finding, before[kind], resource.generation, now) for kind, finding in summary.items()]
    model = MCPRegistryStatus if isinstance(resource, RegistryResource) else MCPConnectorStatus
    status = model.model_validate(
        {
            "observedGeneration": resource.generation,
            "conditions": conditions,
            "gateways": [item.status for item in gateways[:16]],
            **fields,
        }
    )
    transitions = tuple(
        Transition(str(kind), before[kind].status, finding)
        for kind, finding in summary.items()
        if kind is not ConditionType.STALLED and before[kind].status != finding.status
    )
    return StatusUpdate(resource, status.to_json(), transitions)


def _summary(resource: Resource, gateways: Sequence[GatewayFindings]) -> dict[ConditionType, Finding]:
    """The findings of all gateways as one."""
    summary = {kind: _all(kind, gateways) if gateways else _NOT_SELECTED[kind] for kind in _kinds(resource)}
    if any(item.verdict.sync for item in gateways):  # one sync serves all gateways, so one that refuses the registry does not count
        summary[ConditionType.SYNCED] = next(item.conditions[ConditionType.SYNCED] for item in gateways if item.verdict.sync)
    if (finding := stalled(summary[ConditionType.ACCEPTED])) is not None:
        summary[ConditionType.STALLED] = finding
    return summary


def _own_fields(resource: Resource, gateways: Sequence[GatewayFindings], current: KubernetesObjectView) -> KubernetesObject:
    """The fields that only one kind has, in JSON. Texts that others choose are cut to the bounds of the CRD."""
    if not gateways:
        return {}
    entry_id = gateways[0].verdict.id
    if not isinstance(resource, RegistryResource):
        return {"connectorID": entry_id[:512]}
    sync = next((item.verdict.sync for item in gateways if item.verdict.sync), None)
    return {"registryID": registry_id_of_entry(entry_id)[:253], **_sync_fields(sync, current)}


#: The fields that a sync reports, apart from its condition.
_SYNC_FIELDS: Final = ("lastSyncTime", "lastFullSyncTime", "discovered", "published", "skipped", "lastHandledSyncRequest")


def _sync_fields(sync: SyncReport | None, current: KubernetesObjectView) -> KubernetesObject:
    """Counts and times of the last sync. Until this process has synced, those in the status remain true."""
    if sync is None or not (sync.last_sync or sync.counts.found):
        return {name: current[name] for name in _SYNC_FIELDS if name in current}
    skipped = [
        {"reason": str(reason), "count": item.count, "examples": [example[:256] for example in item.examples[:5]] or None}
        for reason, item in sorted(sync.counts.skipped.items())
        if item.count
    ]
    skipped = [{name: value for name, value in item.items() if value is not None} for item in skipped]
    fields = {
        "lastSyncTime": sync.last_sync,
        "lastFullSyncTime": sync.last_full_sync,
        "discovered": sync.counts.found,
        "published": sync.counts.published,
        "skipped": skipped,
        "lastHandledSyncRequest": sync.handled_request[:256],
    }
    return {name: value for name, value in fields.items() if value or value == 0}


def _all(kind: ConditionType, gateways: Sequence[GatewayFindings]) -> Finding:
    """The AND of one condition over the gateways: the first finding that is False, else the first Unknown, else the first."""
    found = [(item.gateway, item.conditions[kind]) for item in gateways]
    for status in ("False", "Unknown"):
        for name, finding in found:
            if finding.status == status:
                return finding if len(found) == 1 else Finding(finding.status, finding.reason, f"gateway {name}: {finding.message}")
    return found[0][1]


def _condition(kind: ConditionType, finding: Finding, before: StoredCondition, generation: int, now: str) -> Condition:
    # The API server's default has no real time: the first finding sets it, even if the status stays Unknown.
    has_changed = before.status != finding.status or before.reason == Reason.PENDING
    return Condition(
        type=str(kind),
        status=finding.status,
        reason=str(finding.reason),
        message=finding.message[:4096],
        observed_generation=generation,
        last_transition_time=now if has_changed else before.last_transition_time or now,
    )


def _comparable_findings(
    resource: Resource, summary: Mapping[ConditionType, Finding], gateways: Sequence[GatewayFindings], fields: KubernetesObjectView
) -> Any:
    """`_comparable` of the status that would be written."""
    conditions = [
        {"type": str(kind), "status": finding.status, "reason": str(finding.reason), "message": finding.message[:4096]}
        | {"observedGeneration": resource.generation}
        for kind, finding in summary.items()
    ]
    named = [{"name": item.gateway, "reason": item.reason} for item in gateways[:16]]
    return _comparable({"observedGeneration": resource.generation, "conditions": conditions, "gateways": named, **fields})


def _comparable(status: KubernetesObjectView) -> Any:
    """What makes two statuses different: all but times and counts of pods."""
    conditions = {
        condition.get("type"): (
            condition.get("status"),
            condition.get("reason"),
            None if condition.get("reason") == Reason.READY else condition.get("message"),  # it counts pods
            condition.get("observedGeneration"),
        )
        for condition in status.get("conditions") or ()
    }
    gateways = [(gateway.get("name"), gateway.get("reason")) for gateway in status.get("gateways") or ()]
    others = [status.get(name) for name in ("observedGeneration", "connectorID", "registryID", *_SYNC_FIELDS)]
    return others, conditions, gateways
