"""Reports what became of resources: statuses, looking again only at what changed, and Events about what no condition says."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from junctor.api.conditions import Conditions, ConditionType
from junctor.api.resources import RegistryResource, Resource
from junctor.connectormap.entry import Entry
from junctor.net.formats import KubernetesObjectView
from junctor.net.timestamps import rfc3339
from junctor.planning.acceptance import Verdict
from junctor.planning.claim import MovedId
from junctor.planning.readiness import GatewayProgress, ResourceProgress
from junctor.planning.retain import Hold
from junctor.planning.statuses import GatewayFindings, findings_of, status_of
from junctor.reconcile.map_memory import FORGED
from junctor.reconcile.ports import ObjectReference, StoredObject
from junctor.reconcile.snapshot import Snapshot
from junctor.reconcile.status_queue import StatusQueue

logger = logging.getLogger(__name__)

#: Statuses of one resource whose watch events may still arrive; an older one counts as somebody else's write.
_IN_FLIGHT: Final = 4


@dataclass(frozen=True, slots=True)
class _Reported:
    """The last report on a resource. Nothing is looked at again while its basis and the status in the snapshot are the same.

    status_read: the status in the snapshot at that time. in_flight: statuses written by us whose watch events have not arrived. ready:
    by gateway, the entry that every pod was seen to serve, and the sequence of a registry's servers.
    """

    basis: tuple[Any, ...]
    status_read: KubernetesObjectView
    in_flight: tuple[KubernetesObjectView, ...]
    ready: Mapping[str, tuple[Entry, int]]

    def still_in_flight(self, status: KubernetesObjectView) -> tuple[KubernetesObjectView, ...]:
        """The statuses written after `status`, which may be the echo of an older own write. None of them when somebody else wrote it."""
        if status is self.status_read:
            return self.in_flight
        return next((self.in_flight[place + 1 :] for place, written in enumerate(self.in_flight) if written == status), ())


class Reporter:
    """Reports on all resources; remembers what was reported. now: the time of day."""

    def __init__(self, queue: StatusQueue, snapshot: Snapshot, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._queue = queue
        self._snapshot = snapshot
        self._now = now
        self._reported: dict[str, _Reported] = {}

    def report(self, resources: Mapping[str, Resource], gateways: Sequence[GatewayProgress], only: Set[str] | None) -> None:
        """Queue the statuses that differ. only: uids to look at, None for all."""
        served = [(progress, _sequence_served_by_all(progress)) for progress in gateways]
        for uid in resources if only is None else only:
            resource, tracked = resources.get(uid), self._snapshot.tracked(uid)
            if resource is None or tracked is None or any(_is_syncing_to_begin(progress, uid) for progress in gateways):
                continue
            basis = (resource, *(_basis(progress, sequence, progress.verdicts.get(uid)) for progress, sequence in served))
            previous = self._reported.get(uid)
            if previous is None or previous.status_read is not tracked.status or previous.basis != basis:
                self._reported[uid] = self._report_one(resource, tracked.status, gateways, basis, previous)
        for uid in [uid for uid in self._reported if uid not in resources] if only is None else ():
            del self._reported[uid]

    def _report_one(
        self,
        resource: Resource,
        status: KubernetesObjectView,
        gateways: Sequence[GatewayProgress],
        basis: tuple[Any, ...],
        previous: _Reported | None,
    ) -> _Reported:
        """Queue the status of one resource if it differs. status: as the snapshot has it."""
        in_flight = previous.still_in_flight(status) if previous is not None else ()
        current = in_flight[-1] if in_flight else status
        says_ready = _status_says_ready(current, resource.generation)
        ready = dict(previous.ready) if previous is not None else {}
        findings: list[GatewayFindings] = []
        for progress in gateways:
            verdict = progress.verdicts.get(resource.uid)
            if verdict is None:
                continue
            entry, discovered = progress.entries.get(verdict.id), progress.discovered.get(verdict.id, 0)
            is_known_ready = verdict.is_disabled or (
                entry is not None
                and (ready.get(progress.gateway) == (entry, discovered) or max(entry.since, discovered) <= progress.sequence_at_start)
            )
            findings.append(findings_of(ResourceProgress(verdict, progress, says_ready and is_known_ready, says_ready)))
            if entry is not None and findings[-1].conditions[ConditionType.READY].ok:
                ready[progress.gateway] = entry, discovered
        update = status_of(resource, findings, current, rfc3339(self._now()))
        if update is not None:
            self._queue.put(update)
            in_flight = (*in_flight[1 - _IN_FLIGHT :], update.status)
        return _Reported(basis, status, in_flight, ready)


class Notices:
    """Posts Kubernetes Events about what no condition says, each of them once."""

    def __init__(self, queue: StatusQueue) -> None:
        self._queue = queue
        self._holding: set[str] = set()
        self._ignoring: set[tuple[str, int]] = set()
        self._forged: dict[str, StoredObject] = {}

    def report_hold(self, gateway: str, hold: Hold | None, head: ObjectReference | None) -> None:
        """An Event about the map's head when a gateway begins to keep connectors that are lost. hold: of its plan."""
        if hold is None:
            self._holding.discard(gateway)
            return
        if gateway in self._holding:
            return
        self._holding.add(gateway)
        until = "until the kind is back" if hold.until == float("inf") else "for a minute"
        message = f"{hold.lost} of {hold.of} connectors are gone without having been deleted one by one; gateways keep them {until}"
        logger.warning("gateway %s: %s", gateway, message)
        if head is not None:
            self._queue.event(head, warning=True, reason="ConnectorLossHeld", message=message)

    def report_publication(self, gateway: str, moved: Iterable[MovedId], forged: StoredObject | None, head: ObjectReference | None) -> None:
        """Events about what a new head means: who got an id of another namespace, and that the head before it was forged.

        Args:
            gateway: Its name.
            moved: Ids that passed to another namespace.
            forged: The head that somebody else wrote; reported once.
            head: The head of the map.
        """
        for item in moved:
            message = f"the id {item.id!r} passed from namespace {item.namespace} to {item.resource.namespace}, and with it its callers"
            logger.warning("%s %s: %s", item.resource.kind, item.resource, message)
            self._queue.event(ObjectReference.of(item.resource), warning=True, reason="IDChangedNamespace", message=message)
        if forged is None or head is None or self._forged.get(gateway) == forged:
            return
        self._forged[gateway] = forged
        message = f"{FORGED}; gateways refuse it, and it was replaced. Find out who may write ConfigMaps of this namespace"
        logger.warning("gateway %s: %s", gateway, message)
        self._queue.event(head, warning=True, reason="ForgedMap", message=message)

    def report_ignored_fields(self, resources: Mapping[str, Resource]) -> None:
        """An Event for a field that only describes and that this version does not know, once for each generation."""
        self._ignoring = {reported for reported in self._ignoring if reported[0] in resources}
        for uid, resource in resources.items():
            if resource.ignored and (uid, resource.generation) not in self._ignoring:
                self._ignoring.add((uid, resource.generation))
                message = f"this operator does not know {', '.join(resource.ignored)}; ignored, upgrade the operator to use it"
                self._queue.event(ObjectReference.of(resource), warning=True, reason="FieldIgnored", message=message)


def _is_syncing_to_begin(progress: GatewayProgress, uid: str) -> bool:
    """Whether the syncs of a registry are about to report what they remember: no status says less in between."""
    verdict = progress.verdicts.get(uid)
    if verdict is None or not isinstance(verdict.resource, RegistryResource):
        return False
    return verdict.entry is not None and verdict.sync is None and progress.failure is None


def _sequence_served_by_all(progress: GatewayProgress) -> int:
    """The sequence that every pod serves without objection; -1 when there is no such sequence."""
    if not progress.pods or any(pod.rejected or pod.refusal or pod.acknowledged is None for pod in progress.pods):
        return -1
    return min(pod.acknowledged or 0 for pod in progress.pods)


def _basis(progress: GatewayProgress, served: int, verdict: Verdict | None) -> tuple[Any, ...]:
    """Equal to the previous one when nothing changed that a status of this resource could say. served: by all pods."""
    if verdict is None:
        return ()
    entry, discovered = progress.entries.get(verdict.id), progress.discovered.get(verdict.id, 0)
    if verdict.accepted.ok and not verdict.is_disabled and entry is not None and max(entry.since, discovered) <= served:
        return verdict, entry, discovered, None
    return verdict, entry, discovered, tuple(progress.pods), progress.failure, progress.sequence if verdict.is_disabled else 0


def _status_says_ready(status: KubernetesObjectView, generation: int) -> bool:
    ready = Conditions(status)[ConditionType.READY]
    return ready.is_true and ready.observed_generation == generation
