"""What the status of a registry and the published map remember of its syncs, for a process that begins."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from junctor.api.conditions import ConditionType, Finding, Reason, SkipReason
from junctor.api.resources import RegistryResource
from junctor.api.sync_report import SkipCount, SyncCounts, SyncReport
from junctor.connectormap.connector_map import Entry
from junctor.connectormap.discovered import Discovered
from junctor.registry.rules import MappingRules

BEING_READ: Final = Finding("Unknown", Reason.SYNCING, "the registry is being read")


@dataclass(frozen=True, slots=True)
class RegistryToSync:
    """A registry to read. status, record, published: what the resource and the map remember of it from before this process."""

    resource: RegistryResource
    status: Mapping[str, Any] = field(repr=False, default_factory=dict)
    record: Mapping[str, Any] = field(repr=False, default_factory=dict)
    published: Mapping[str, Entry] = field(repr=False, default_factory=dict)


def remembered(wanted: RegistryToSync, memory: Discovered | None, rules: MappingRules) -> SyncReport:
    """The report of a process that begins, from what the one before it left in the status and the map."""
    status = wanted.status
    skipped = {
        SkipReason(item["reason"]): SkipCount(int(item["count"]), tuple(item.get("examples") or ()))
        for item in status.get("skipped") or ()
        if item.get("reason") in set(SkipReason)
    }
    return SyncReport(
        generation=wanted.resource.generation,
        synced=_last_finding(status, wanted.resource.generation),
        discovered=memory,
        current=is_current(memory, rules, str(status.get("lastFullSyncTime") or "")),
        counts=SyncCounts(int(status.get("discovered") or 0), int(status.get("published") or 0), skipped),
        last_sync=str(status.get("lastSyncTime") or ""),
        last_full_sync=str(status.get("lastFullSyncTime") or ""),
        handled_request=str(status.get("lastHandledSyncRequest") or ""),
    )


def is_current(memory: Discovered | None, rules: MappingRules, last_full_sync: str) -> bool:
    """Whether a registry was read to its end by these rules. What a first walk that broke has found was not."""
    return memory is not None and memory.digest == str(rules.digest) and bool(memory.watermark or last_full_sync)


def _last_finding(status: Mapping[str, Any], generation: int) -> Finding:
    """How the last sync of this generation ended: true until the next one has."""
    for condition in status.get("conditions") or ():
        told, reason = condition.get("status"), condition.get("reason")
        of_generation = condition.get("type") == ConditionType.SYNCED and condition.get("observedGeneration") == generation
        if of_generation and told in ("True", "False") and reason in set(Reason):
            return Finding(told, Reason(reason), str(condition.get("message") or ""))
    return BEING_READ


def was_synced(status: Mapping[str, Any]) -> bool:
    """Whether the last sync read the registry to its end and held nothing back."""
    conditions = status.get("conditions") or ()
    return any(item.get("type") == ConditionType.SYNCED and item.get("status") == "True" for item in conditions)


def full_walk_due(last: str, interval: float) -> float:
    """When the next full walk is due, in seconds since the epoch; 0 when none is known."""
    try:
        return datetime.fromisoformat(last).timestamp() + interval
    except ValueError:
        return 0.0
