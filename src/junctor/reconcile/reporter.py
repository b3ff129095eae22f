"""Turns plans, published maps and acknowledgements into status updates, looking again only at connectors that something changed for."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from junctor.api.conditions import ConditionType, Finding
from junctor.api.resources import RegistryResource, Resource
from junctor.connectormap.connector_map import Entry
from junctor.planning.plan import GatewayPlan
from junctor.planning.readiness import PodProgress, Progress
from junctor.planning.statuses import GatewayFindings, findings_of, status_of
from junctor.planning.verdicts import Verdict
from junctor.reconcile.snapshot import Snapshot
from junctor.reconcile.status_queue import StatusQueue

#: Writes of one status whose echoes may be on their way; older ones are taken for somebody else's.
_UNSEEN: Final = 4


@dataclass(frozen=True, slots=True)
class GatewayView:
    """One gateway at the moment of a report. baseline: the sequence that this process found when it started."""

    name: str
    plan: GatewayPlan
    entries: Mapping[str, Entry]
    sequence: int
    pods: Sequence[PodProgress]
    removed: Mapping[str, int]
    failure: Finding | None
    baseline: int
    discovered: Mapping[str, int]

    def progress(self) -> Progress:
        """The view as the planner knows it."""
        return Progress(self.name, self.entries, self.sequence, self.pods, self.removed, self.failure, self.discovered)


@dataclass(slots=True)
class _Reported:
    """What a connector's last report was made of, and the statuses that reports asked for and the snapshot has not shown yet.

    ready: the entry that every pod was seen to serve, and the sequence of a registry's servers, by gateway.
    """

    basis: tuple[Any, ...]
    seen: Mapping[str, Any]
    unseen: tuple[Mapping[str, Any], ...]
    ready: Mapping[str, tuple[Entry, int]]

    def still_unseen(self, status: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
        """What was asked for after this status was: it may be the echo of an older own write. Nothing when somebody else wrote it."""
        if status is self.seen:
            return self.unseen
        return next((self.unseen[place + 1 :] for place, asked in enumerate(self.unseen) if asked == status), ())


class Reporter:
    """Reports on all resources; remembers what was reported."""

    def __init__(self, queue: StatusQueue, snapshot: Snapshot) -> None:
        self._queue = queue
        self._snapshot = snapshot
        self._reported: dict[str, _Reported] = {}

    def report(self, resources: Mapping[str, Resource], views: Sequence[GatewayView], only: Set[str] | None) -> None:
        """Queue the statuses that differ. only: uids to look at, None for all."""
        contexts = [(view, view.progress(), _floor(view)) for view in views]
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for uid in resources if only is None else only:
            resource, tracked = resources.get(uid), self._snapshot.tracked(uid)
            if resource is None or tracked is None:
                continue
            if any(_is_beginning(view.plan.verdicts.get(uid), view) for view in views):
                continue
            basis: tuple[Any, ...] = (resource, *(_basis(view, floor, view.plan.verdicts.get(uid)) for view, _, floor in contexts))
            known = self._reported.get(uid)
            if known is not None and known.seen is tracked.status and known.basis == basis:
                continue
            unseen = known.still_unseen(tracked.status) if known is not None else ()
            current = unseen[-1] if unseen else tracked.status
            told = _told_ready(current, resource.generation)
            ready = dict(known.ready) if known is not None else {}
            findings: list[GatewayFindings] = []
            for view, progress, _ in contexts:
                verdict = view.plan.verdicts.get(uid)
                if verdict is None:
                    continue
                entry = view.entries.get(verdict.id)
                discovered = view.discovered.get(verdict.id, 0)
                seen_ready = verdict.disabled or (
                    entry is not None and (ready.get(view.name) == (entry, discovered) or max(entry.since, discovered) <= view.baseline)
                )
                findings.append(findings_of(verdict, progress, told and seen_ready, told))
                if entry is not None and findings[-1].conditions[ConditionType.READY].ok:
                    ready[view.name] = entry, discovered
            update = status_of(resource, findings, current, stamp)
            if update is not None:
                self._queue.put(update)
                unseen = (*unseen[1 - _UNSEEN :], update.status)
            self._reported[uid] = _Reported(basis, tracked.status, unseen, ready)
        for uid in [uid for uid in self._reported if uid not in resources] if only is None else ():
            del self._reported[uid]


def _is_beginning(verdict: Verdict | None, view: GatewayView) -> bool:
    """Whether a registry is about to tell what it remembers: then there is a report at once, and no status says less in between."""
    if verdict is None or not isinstance(verdict.resource, RegistryResource):
        return False
    return verdict.entry is not None and verdict.sync is None and view.failure is None


def _floor(view: GatewayView) -> int:
    """The sequence that every pod serves without objection; -1 when there is no such thing."""
    if not view.pods or any(pod.rejected or pod.refusal or pod.acknowledged is None for pod in view.pods):
        return -1
    return min(pod.acknowledged or 0 for pod in view.pods)


def _basis(view: GatewayView, floor: int, verdict: Verdict | None) -> tuple[Any, ...]:
    """Equal when nothing changed that a report on this connector could tell."""
    if verdict is None:
        return ()
    entry, discovered = view.entries.get(verdict.id), view.discovered.get(verdict.id, 0)
    if verdict.accepted.ok and not verdict.disabled and entry is not None and max(entry.since, discovered) <= floor:
        return verdict, entry, discovered, None
    return verdict, entry, discovered, tuple(view.pods), view.failure, view.sequence if verdict.disabled else 0


def _told_ready(status: Mapping[str, Any], generation: int) -> bool:
    return any(
        condition.get("type") == "Ready" and condition.get("status") == "True" and condition.get("observedGeneration") == generation
        for condition in status.get("conditions") or ()
    )
