"""Whether one gateway's published map holds a resource, and whether its pods serve it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from junctor.api.conditions import Finding, Reason
from junctor.api.resources import RegistryResource
from junctor.connectormap.entry import Entry
from junctor.connectormap.ids import registry_entry_id
from junctor.planning.inputs import origin_of
from junctor.planning.verdicts import Verdict

_NAMED_PODS: Final = 3


@dataclass(frozen=True, slots=True)
class PodProgress:
    """How far one ready pod is.

    acknowledged: the sequence that it serves; None before its first answer. failure: why it does not answer. refusal: why it keeps an
    older map. rejected: connectors of the map that it serves but will not call, reason by id.
    """

    name: str
    acknowledged: int | None = None
    failure: str = ""
    refusal: str = ""
    rejected: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GatewayProgress:
    """How far one gateway is: what was decided, what is published, and what its pods serve.

    entries: what is published of resources. removed: sequence in which a resource left the map, by uid. failure: why publishing does not
    work at present. discovered: the sequence in which the servers of a registry last changed, by the id of its entry; only of registries
    whose planned servers are the published ones. verdicts: the plan's, by uid. sequence_at_start: the sequence of the map that this
    process found when it started; what is as old as that was reported by the process before.
    """

    gateway: str
    entries: Mapping[str, Entry]
    sequence: int
    pods: Sequence[PodProgress] = ()
    removed: Mapping[str, int] = field(default_factory=dict)
    failure: Finding | None = None
    discovered: Mapping[str, int] = field(default_factory=dict)
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    sequence_at_start: int = 0


def programmed(verdict: Verdict, progress: GatewayProgress) -> Finding:
    """Is this generation in the published map?"""
    if not verdict.accepted.ok:
        return Finding("False", Reason.NOT_ACCEPTED, "not published, because it is not accepted")
    published = progress.entries.get(verdict.id)
    if verdict.disabled:
        return Finding("False", Reason.DISABLED, "disabled: not published")
    if isinstance(verdict.resource, RegistryResource):
        sync = verdict.sync
        if sync is None or sync.discovered is None:
            return Finding("Unknown", Reason.SYNCING, "the registry has not been read yet; see Synced")
        if sync.generation != verdict.resource.generation or not sync.current:
            return Finding("Unknown", Reason.SYNCING, "the registry is being read by the rules of this generation")
        in_map = verdict.id in progress.discovered
    else:
        in_map = True
    if in_map and verdict.entry is not None and published is not None and published.digest == verdict.entry.digest:
        return Finding("True", Reason.PROGRAMMED, "published")
    return progress.failure or Finding("Unknown", Reason.PUBLISHING, "the map is being written")


def ready(verdict: Verdict, progress: GatewayProgress, in_map: Finding, was_ready: bool, told_ready: bool = False) -> Finding:
    """Does every ready pod serve this generation?

    was_ready: it is known to have been, so pods that only join now do not count. told_ready: the status says so. What changed since then
    are servers that a sync found: pods that are about to take them serve this generation all the same.
    """
    if not verdict.accepted.ok:
        return Finding("False", Reason.NOT_ACCEPTED, verdict.accepted.message)
    if verdict.disabled:
        if _still_published(verdict, progress):
            failure = progress.failure or Finding("Unknown", Reason.PUBLISHING, "the map without it is being written")
            return Finding(failure.status, Reason.NOT_PROGRAMMED, failure.message)
        since = progress.removed.get(verdict.resource.uid, progress.sequence)
        served = _served(verdict, progress, since, was_ready, "still serve it")
        return Finding("True", Reason.DISABLED, "disabled: no gateway pod serves it") if served is None else served
    if not in_map.ok:
        return Finding(in_map.status, Reason.NOT_PROGRAMMED, in_map.message)
    if not verdict.available:
        return Finding("False", Reason.UNRESOLVED_REFS, verdict.resolved.message)
    since = since_of(verdict, progress)
    generation = progress.entries[verdict.id].since if told_ready else since
    if not progress.pods:
        return Finding("Unknown", Reason.NO_GATEWAY_PODS, "the gateway has no ready pod")
    count = len(progress.pods)
    return _served(verdict, progress, since, was_ready, "do not serve this generation yet", generation) or Finding(
        "True", Reason.READY, f"served by {count} of {count} pods"
    )


def since_of(verdict: Verdict, progress: GatewayProgress) -> int:
    """The sequence in which what is published of a resource last changed."""
    entry = progress.entries.get(verdict.id)
    return max(entry.since if entry else 0, progress.discovered.get(verdict.id, 0))


def _still_published(verdict: Verdict, progress: GatewayProgress) -> bool:
    entry = progress.entries.get(verdict.id)
    return entry is not None and origin_of(entry).uid == verdict.resource.uid


def _served(
    verdict: Verdict, progress: GatewayProgress, since: int, was_ready: bool, what: str, generation: int | None = None
) -> Finding | None:
    """Who does not serve it, or None. generation: a pod that serves this sequence is behind `since` only when something keeps it there."""
    needed = since if generation is None else generation

    def is_behind(pod: PodProgress) -> bool:
        if pod.acknowledged is None:
            return not was_ready
        return pod.acknowledged < since and (pod.acknowledged < needed or bool(pod.failure or pod.refusal))

    behind = [pod for pod in progress.pods if is_behind(pod)]
    rejecting = [(pod, why) for pod in progress.pods if (why := _rejection(verdict, pod)) is not None]
    if rejecting:
        pod, why = rejecting[0]
        return Finding("False", Reason.GATEWAY_REJECTED, f"{_count(len(rejecting), progress)} refuse it: {pod.name}: {why}")
    if not behind:
        return None
    refusing = [pod for pod in behind if pod.refusal]
    if refusing:
        return Finding(
            "False", Reason.GATEWAY_REJECTED, f"{_count(len(refusing), progress)} keep an older map: {_named(refusing, 'refusal')}"
        )
    failing = [pod for pod in behind if pod.failure]
    if failing:
        return Finding("False", Reason.GATEWAY_UNREACHABLE, f"{_count(len(failing), progress)} do not answer: {_named(failing, 'failure')}")
    names = ", ".join(pod.name for pod in behind[:_NAMED_PODS]) + (", ..." if len(behind) > _NAMED_PODS else "")
    return Finding("False", Reason.AWAITING_GATEWAYS, f"{_count(len(behind), progress)} {what}: {names}")


def _rejection(verdict: Verdict, pod: PodProgress) -> str | None:
    """Why a pod does not use what is published of a resource, None when it does."""
    if not isinstance(verdict.resource, RegistryResource) or not pod.rejected:
        return pod.rejected.get(verdict.id)
    of_registry = [(key, why) for key, why in pod.rejected.items() if verdict.id in (key, registry_entry_id(key))]
    return f"{len(of_registry)} servers, for example {of_registry[0][0]}: {of_registry[0][1]}" if of_registry else None


def _count(number: int, progress: GatewayProgress) -> str:
    return f"{number} of {len(progress.pods)} pods"


def _named(pods: Sequence[PodProgress], attribute: str) -> str:
    named = "; ".join(f"{pod.name}: {getattr(pod, attribute)}" for pod in pods[:_NAMED_PODS])
    return named + (f"; and {len(pods) - _NAMED_PODS} more" if len(pods) > _NAMED_PODS else "")
