"""What a new process knows of a registry before its first sync: the status and the published map that the process before left."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

from junctor.api.conditions import Conditions, ConditionType, Finding, Reason, SkipReason
from junctor.api.registry import MCPRegistrySpec, Sync, effective_registry_id
from junctor.api.resources import RegistryResource
from junctor.api.sync_report import Discovered, SkipCount, SyncCounts, SyncReport
from junctor.connectormap.entry import Entry
from junctor.connectormap.head import RegistryRecord
from junctor.net.formats import KubernetesObjectView
from junctor.process import in_thread
from junctor.reconcile.gateway_state import GatewayState
from junctor.reconcile.snapshot import Snapshot
from junctor.reconcile.sync_schedule import FULL_INTERVAL_SECONDS
from junctor.registry.rules import MappingRules

BEING_READ: Final = Finding("Unknown", Reason.SYNCING, "the registry is being read")


@dataclass(frozen=True, slots=True)
class RegistryToSync:
    """A registry to read. status, record, published: what its resource and the map say of it from before this process.

    pause: seconds until it may be read, because what is published of it may not change before.
    """

    resource: RegistryResource
    status: KubernetesObjectView = field(repr=False, default_factory=dict)
    record: RegistryRecord | None = field(repr=False, default=None)
    published: Mapping[str, Entry] = field(repr=False, default_factory=dict)
    pause: float = 0.0


#: Returns what the published map holds of a registry's servers; None when the registry was never synced.
Recall = Callable[[RegistryToSync], Awaitable[Discovered | None]]


async def recall_discovered(registry: RegistryToSync) -> Discovered | None:
    """Recall in a thread: the map may hold a hundred thousand servers of the registry."""
    return await in_thread(partial(Discovered.recalled, registry.record, registry.published)) if registry.record else None


def registries_to_read(gateways: Iterable[GatewayState], snapshot: Snapshot, now: float) -> dict[str, RegistryToSync]:
    """The registries to read: those that some gateway publishes, each with what is known of it from before this process began."""
    to_sync: dict[str, RegistryToSync] = {}
    for gateway in gateways:
        plan = gateway.plan
        for uid, verdict in plan.verdicts.items() if plan and gateway.publisher.is_loaded else ():
            resource = verdict.resource
            if plan is None or not isinstance(resource, RegistryResource) or verdict.entry is None:
                continue
            published = gateway.publisher.published
            record = published.record_of(verdict.id, uid)
            servers = published.discovered.get(verdict.id, {}) if record is not None else {}
            pause = max(plan.memory.rewrites.ready_in(verdict.id, now), to_sync[uid].pause if uid in to_sync else 0.0)
            if uid in to_sync and len(servers) <= len(to_sync[uid].published):
                to_sync[uid] = replace(to_sync[uid], pause=pause)
                continue  # the gateway that knows most is the memory
            tracked = snapshot.tracked(uid)
            to_sync[uid] = RegistryToSync(resource, tracked.status if tracked else {}, record, servers, pause)
    return to_sync


def remembered_report(registry: RegistryToSync, discovered: Discovered | None, rules: MappingRules) -> SyncReport:
    """Return the report of a process that has not synced yet. discovered: what the map holds of the registry."""
    status = registry.status
    skipped = {
        SkipReason(item["reason"]): SkipCount(int(item["count"]), tuple(item.get("examples") or ()))
        for item in status.get("skipped") or ()
        if item.get("reason") in set(SkipReason)
    }
    return SyncReport(
        generation=registry.resource.generation,
        synced=_last_finding(status, registry.resource.generation),
        discovered=discovered,
        current=is_current(discovered, rules, str(status.get("lastFullSyncTime") or "")),
        counts=SyncCounts(int(status.get("discovered") or 0), int(status.get("published") or 0), skipped),
        last_sync=str(status.get("lastSyncTime") or ""),
        last_full_sync=str(status.get("lastFullSyncTime") or ""),
        handled_request=str(status.get("lastHandledSyncRequest") or ""),
    )


def is_current(discovered: Discovered | None, rules: MappingRules, last_full_sync: str) -> bool:
    """Whether a full sync by these rules made what is published. A first full sync that failed on the way published only a part."""
    return discovered is not None and discovered.digest == str(rules.digest) and bool(discovered.watermark or last_full_sync)


def next_full_sync(status: KubernetesObjectView, settings: Sync) -> float:
    """Tell when the next full sync is due after the one that a status reports, in seconds since the epoch; 0 when it is due now."""
    if not _was_synced(status):
        return 0.0  # a sync that was partial or held removals back is repeated as a full one
    try:
        last = datetime.fromisoformat(str(status.get("lastFullSyncTime") or "")).timestamp()
    except ValueError:
        return 0.0
    return last + (settings.full_interval_seconds or FULL_INTERVAL_SECONDS)


def _last_finding(status: KubernetesObjectView, generation: int) -> Finding:
    """The condition Synced that the last sync of this generation left; it holds until the next sync ends."""
    synced = Conditions(status)[ConditionType.SYNCED]
    if synced.observed_generation != generation or synced.status not in ("True", "False") or synced.reason not in set(Reason):
        return BEING_READ
    return Finding(synced.status, Reason(synced.reason), synced.message)


def _was_synced(status: KubernetesObjectView) -> bool:
    """Whether the last sync read the registry to its end and held nothing back."""
    return Conditions(status)[ConditionType.SYNCED].is_true


def spec_of(resource: RegistryResource) -> MCPRegistrySpec:
    """The spec of a resource that is accepted. Raises ValueError for an invalid one."""
    if resource.spec is None:
        raise ValueError(f"{resource}: an invalid spec is not synced")
    return resource.spec


def rules_of(resource: RegistryResource) -> MappingRules:
    """The rules of a resource that is accepted."""
    return MappingRules.of(spec_of(resource), effective_registry_id(resource.raw_spec, resource.name), resource.namespace)
