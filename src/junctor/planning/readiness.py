"""The conditions Programmed, Ready and Stalled: ordered chains of checks, each `progress -> Finding | None`, of which the first counts."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Final

from junctor.api.conditions import Finding, Reason
from junctor.api.reasons import PERMANENT
from junctor.api.resources import RegistryResource
from junctor.connectormap.entry import Entry
from junctor.connectormap.ids import registry_entry_id
from junctor.planning.acceptance import Verdict
from junctor.planning.inputs import origin_of

_NAMED_PODS: Final = 3


@dataclass(frozen=True, slots=True)
class PodProgress:
    """The progress of one ready pod.

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
    """The progress of one gateway: what was decided, what is published, and what its pods serve.

    entries: what is published of resources. removed: sequence in which a resource left the map, by uid. failure: why publishing does not
    work at present. discovered: the sequence in which the servers of a registry last changed, by the id of its entry; only of registries
    whose planned servers are the published ones. verdicts: the plan's, by uid. sequence_at_start: the sequence of the map that this
    process found when it started; entries up to this sequence were already reported by the previous process.
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


@dataclass(frozen=True, slots=True)
class ResourceProgress:
    """The progress of one gateway with one resource.

    ready_in_this_process: this process has seen every pod serve the published entry, so pods that join later are not waited for.
    status_says_ready: the status says Ready=True for this generation; a pod that still has to load servers found by a later sync already
    serves this generation.
    """

    verdict: Verdict
    gateway: GatewayProgress
    ready_in_this_process: bool = False
    status_says_ready: bool = False

    @property
    def entry(self) -> Entry | None:
        """What is published under the id of the resource."""
        return self.gateway.entries.get(self.verdict.id)

    @property
    def since(self) -> int:
        """The sequence in which what is published of the resource last changed; for a disabled one, in which it was removed."""
        if self.verdict.is_disabled:
            return self.gateway.removed.get(self.verdict.resource.uid, self.gateway.sequence)
        return max(self.entry.since if self.entry else 0, self.gateway.discovered.get(self.verdict.id, 0))

    @property
    def pods_behind(self) -> list[PodProgress]:
        """The pods that do not serve what is published of the resource."""
        return [pod for pod in self.gateway.pods if self._is_behind(pod)]

    def _is_behind(self, pod: PodProgress) -> bool:
        if pod.acknowledged is None:
            return not self.ready_in_this_process
        is_own_entry_served = self.status_says_ready and self.entry is not None and pod.acknowledged >= self.entry.since
        if is_own_entry_served and not self.verdict.is_disabled and not pod.failure and not pod.refusal:
            return False
        return pod.acknowledged < self.since


Check = Callable[[ResourceProgress], Finding | None]


def first_finding(checks: Iterable[Check], progress: ResourceProgress, otherwise: Finding) -> Finding:
    """Run a chain of checks: the first finding counts."""
    return next((finding for check in checks if (finding := check(progress)) is not None), otherwise)


# --- Programmed: does the published map contain this generation? ------------------------------------------------------------------------


def programmed(progress: ResourceProgress) -> Finding:
    """The Programmed condition."""
    return first_finding(PROGRAMMED_CHECKS, progress, Finding("Unknown", Reason.PUBLISHING, "the map is being written"))


def unaccepted_is_not_published(progress: ResourceProgress) -> Finding | None:
    """A refused resource is not published."""
    if progress.verdict.accepted.ok:
        return None
    return Finding("False", Reason.NOT_ACCEPTED, "not published, because it is not accepted")


def disabled_is_not_published(progress: ResourceProgress) -> Finding | None:
    """A disabled resource is not published."""
    return Finding("False", Reason.DISABLED, "disabled: not published") if progress.verdict.is_disabled else None


def registry_is_read(progress: ResourceProgress) -> Finding | None:
    """The servers of a registry are known only once a sync has read it with the present spec."""
    verdict, sync = progress.verdict, progress.verdict.sync
    if not isinstance(verdict.resource, RegistryResource):
        return None
    if sync is None or sync.discovered is None:
        return Finding("Unknown", Reason.SYNCING, "the registry has not been read yet; see Synced")
    if sync.generation != verdict.resource.generation or not sync.current:
        return Finding("Unknown", Reason.SYNCING, "the registry is being read with the spec of this generation")
    return None


def map_contains_it(progress: ResourceProgress) -> Finding | None:
    """The published entry is the planned one, and so are the servers of a registry."""
    verdict, published = progress.verdict, progress.entry
    if isinstance(verdict.resource, RegistryResource) and verdict.id not in progress.gateway.discovered:
        return None
    if verdict.entry is None or published is None or published.digest != verdict.entry.digest:
        return None
    return Finding("True", Reason.PROGRAMMED, "published")


def publishing_failed(progress: ResourceProgress) -> Finding | None:
    """The map could not be written."""
    return progress.gateway.failure


PROGRAMMED_CHECKS: Final[tuple[Check, ...]] = (
    unaccepted_is_not_published,
    disabled_is_not_published,
    registry_is_read,
    map_contains_it,
    publishing_failed,
)


# --- Ready: does every ready pod serve this generation? ---------------------------------------------------------------------------------


def ready(progress: ResourceProgress) -> Finding:
    """The Ready condition."""
    if progress.verdict.is_disabled:
        return first_finding(READY_CHECKS, progress, Finding("True", Reason.DISABLED, "disabled: no gateway pod serves it"))
    count = len(progress.gateway.pods)
    return first_finding(READY_CHECKS, progress, Finding("True", Reason.READY, f"served by {count} of {count} pods"))


def unaccepted_is_not_ready(progress: ResourceProgress) -> Finding | None:
    """A refused resource is not served; the message says why it was refused."""
    accepted = progress.verdict.accepted
    return None if accepted.ok else Finding("False", Reason.NOT_ACCEPTED, accepted.message)


def disabled_is_still_published(progress: ResourceProgress) -> Finding | None:
    """The published map still contains a resource that was disabled."""
    resource, published = progress.verdict.resource, progress.entry
    if not progress.verdict.is_disabled or published is None or origin_of(published).uid != resource.uid:
        return None
    failure = progress.gateway.failure or Finding("Unknown", Reason.PUBLISHING, "the map without it is being written")
    return Finding(failure.status, Reason.NOT_PROGRAMMED, failure.message)


def is_not_programmed(progress: ResourceProgress) -> Finding | None:
    """The published map does not contain this generation yet."""
    if progress.verdict.is_disabled:
        return None
    finding = programmed(progress)
    return None if finding.ok else Finding(finding.status, Reason.NOT_PROGRAMMED, finding.message)


def references_are_unresolved(progress: ResourceProgress) -> Finding | None:
    """The connector is published as unavailable."""
    verdict = progress.verdict
    return None if verdict.is_available else Finding("False", Reason.UNRESOLVED_REFS, verdict.resolved.message)


def gateway_has_no_pods(progress: ResourceProgress) -> Finding | None:
    """Nobody could serve the resource."""
    if progress.verdict.is_disabled or progress.gateway.pods:
        return None
    return Finding("Unknown", Reason.NO_GATEWAY_PODS, "the gateway has no ready pod")


def pods_reject_it(progress: ResourceProgress) -> Finding | None:
    """Some pods loaded the map but will not use the resource."""
    rejecting = [(pod, why) for pod in progress.gateway.pods if (why := _rejection(progress.verdict, pod)) is not None]
    if not rejecting:
        return None
    pod, why = rejecting[0]
    return Finding("False", Reason.GATEWAY_REJECTED, f"{_count(rejecting, progress)} refuse it: {pod.name}: {why}")


def pods_refuse_the_map(progress: ResourceProgress) -> Finding | None:
    """Some pods could not load the map and keep an older one."""
    refusing = [pod for pod in progress.pods_behind if pod.refusal]
    if not refusing:
        return None
    details = _details((pod.name, pod.refusal) for pod in refusing)
    return Finding("False", Reason.GATEWAY_REJECTED, f"{_count(refusing, progress)} keep an older map: {details}")


def pods_do_not_answer(progress: ResourceProgress) -> Finding | None:
    """Some pods cannot be reached."""
    failing = [pod for pod in progress.pods_behind if pod.failure]
    if not failing:
        return None
    details = _details((pod.name, pod.failure) for pod in failing)
    return Finding("False", Reason.GATEWAY_UNREACHABLE, f"{_count(failing, progress)} do not answer: {details}")


def pods_are_behind(progress: ResourceProgress) -> Finding | None:
    """Some pods have not acknowledged this generation."""
    behind = progress.pods_behind
    if not behind:
        return None
    what = "still serve it" if progress.verdict.is_disabled else "do not serve this generation yet"
    names = ", ".join(pod.name for pod in behind[:_NAMED_PODS]) + (", ..." if len(behind) > _NAMED_PODS else "")
    return Finding("False", Reason.AWAITING_GATEWAYS, f"{_count(behind, progress)} {what}: {names}")


READY_CHECKS: Final[tuple[Check, ...]] = (
    unaccepted_is_not_ready,
    disabled_is_still_published,
    is_not_programmed,
    references_are_unresolved,
    gateway_has_no_pods,
    pods_reject_it,
    pods_refuse_the_map,
    pods_do_not_answer,
    pods_are_behind,
)


def stalled(accepted: Finding) -> Finding | None:
    """The Stalled condition, for a resource that is refused until a person changes something."""
    is_permanent = accepted.status == "False" and accepted.reason in PERMANENT
    return Finding("True", accepted.reason, accepted.message) if is_permanent else None


def _rejection(verdict: Verdict, pod: PodProgress) -> str | None:
    """Why a pod does not use what is published of a resource, None if it does."""
    if not isinstance(verdict.resource, RegistryResource) or not pod.rejected:
        return pod.rejected.get(verdict.id)
    of_registry = [(key, why) for key, why in pod.rejected.items() if verdict.id in (key, registry_entry_id(key))]
    return f"{len(of_registry)} servers, for example {of_registry[0][0]}: {of_registry[0][1]}" if of_registry else None


def _count(pods: Sized, progress: ResourceProgress) -> str:
    return f"{len(pods)} of {len(progress.gateway.pods)} pods"


def _details(pods: Iterable[tuple[str, str]]) -> str:
    lines = [f"{name}: {problem}" for name, problem in pods]
    return "; ".join(lines[:_NAMED_PODS]) + (f"; and {len(lines) - _NAMED_PODS} more" if len(lines) > _NAMED_PODS else "")
