"""The plan of one gateway: which entries its map should contain and what to say about each resource.

A plan is a function of its arguments: select -> judge -> retain -> claim -> resolve -> limit -> record. `PlanMemory` is what a
plan has to pass on to the next one because the published map does not contain it.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace

from junctor.api.configuration import GatewaySpec
from junctor.api.resources import RegistryResource, Resource
from junctor.connectormap.entry import Entry
from junctor.connectormap.head import RegistryRecord, ReleasedId
from junctor.connectormap.view import Origin
from junctor.planning.acceptance import Verdict, id_on, judge
from junctor.planning.claim import Judgement, MovedId, claim, select
from junctor.planning.discovered import CredentialResolver, registry_records
from junctor.planning.entries import origin_of_resource
from junctor.planning.inputs import Inputs, Published
from junctor.planning.limit import limit_credentials, limit_map
from junctor.planning.quarantine import Quarantine
from junctor.planning.resolve import Resolved, is_disabled, resolve, versions_at
from junctor.planning.retain import Hold, MassDeletionGuard
from junctor.planning.rewrites import Rewrites, without_additions


@dataclass(frozen=True, slots=True)
class PlanMemory:
    """What a plan passes on to the next one. missing_since: when a reference of a resource was first missing, by uid.

    rewrites: what registries may have rewritten of the map.
    """

    missing_since: Mapping[str, float] = field(default_factory=dict)
    guard: MassDeletionGuard = field(default_factory=MassDeletionGuard)
    rewrites: Rewrites = field(default_factory=Rewrites)


@dataclass(frozen=True, slots=True)
class GatewayPlan:
    """Everything that should be true for one gateway.

    entries, origins: by id, of what is made from resources. discovered: the servers of each registry whose servers are known, by the id of
    the registry's entry. records: what the head stores about registries. verdicts: by uid, on the resources that the gateway selects.
    credentials: every `<refhash>.<version>` that the entries name. hold: a loss that has not taken effect. memory: for the next plan.
    wake_at: when the plan changes by itself, on the planner's clock. released: ids that are not in the map any more, for the head, by id.
    moved: ids that pass to another namespace.
    """

    entries: Mapping[str, Entry]
    origins: Mapping[str, Origin]
    verdicts: Mapping[str, Verdict]
    credentials: frozenset[str] = frozenset()
    hold: Hold | None = None
    wake_at: float | None = None
    discovered: Mapping[str, Mapping[str, Entry]] = field(default_factory=dict)
    records: tuple[RegistryRecord, ...] = ()
    memory: PlanMemory = field(default_factory=PlanMemory)
    released: Mapping[str, ReleasedId] = field(default_factory=dict)
    moved: tuple[MovedId, ...] = ()

    @property
    def connectors(self) -> int:
        """How many entries the map should contain."""
        return len(self.entries) + sum(map(len, self.discovered.values()))


class PlanCache:
    """Results of earlier plans of one gateway, reused for identical objects. It changes how long a plan takes, not its result."""

    def __init__(self) -> None:
        self._judgements: dict[str, tuple[Resource, Judgement]] = {}
        self._resolved: dict[str, Resolved] = {}
        self.resolver = CredentialResolver()

    def judge(self, resource: Resource, gateway: GatewaySpec) -> Judgement:
        """What the acceptance checks say about a resource."""
        known = self._judgements.get(resource.uid)
        if known is None or known[0] is not resource:
            known = self._judgements[resource.uid] = resource, Judgement(judge(resource, gateway), id_on(resource, gateway))
        return known[1]

    def resolved(self, resource: Resource, inputs: Inputs) -> Resolved | None:
        """The verdict on a connector whose references have the same versions as when it was remembered."""
        known = self._resolved.get(resource.uid)
        if known is None or known.verdict.resource is not resource:
            return None
        return known if not known.places or versions_at(known.places, inputs) == known.versions else None

    def remember(self, resource: Resource, resolved: Resolved) -> None:
        """Keep a verdict that depends on nothing but the resource and the versions of its references."""
        depends_on_more = isinstance(resource, RegistryResource) or is_disabled(resource) or resolved.missing_since is not None
        if not depends_on_more:
            self._resolved[resource.uid] = resolved

    def forget(self, selected: Container[str], registries: Container[str], published: Published) -> None:
        """Drop results for resources (uids) that are not selected, and for servers of registries that are not planned."""
        self.resolver.forget(selected, registries, published)
        for results in (self._judgements, self._resolved):
            for uid in [uid for uid in results if uid not in selected]:
                del results[uid]


def plan_gateway(
    gateway: GatewaySpec, inputs: Inputs, published: Published, memory: PlanMemory, now: float, cache: PlanCache | None = None
) -> GatewayPlan:
    """Make the plan of one gateway.

    Args:
        gateway: The gateway.
        inputs: The resources and what they depend on.
        published: The map as it is published now.
        memory: Of the plan before; an empty one at the start.
        now: Seconds of a monotonic clock.
        cache: Of this gateway's plans. It makes the plan faster and does not change it.
    """
    cache = cache or PlanCache()
    selected = select(gateway, inputs)
    judgements = {uid: cache.judge(resource, gateway) for uid, resource in selected.items()}
    retained = memory.guard.retain(inputs, selected, published, now)
    quarantine = Quarantine(gateway, published, inputs.time, frozenset(retained.ids))
    claims = claim(selected, judgements, quarantine)
    resolved = {
        uid: cache.resolved(resource, inputs) or _resolve(resource, judgements[uid].id, inputs, published, memory, now, cache)
        for uid, resource in claims.winners.items()
    }
    verdicts = {uid: item.verdict for uid, item in resolved.items()}
    limits = _limit(verdicts, gateway, inputs, published, memory.rewrites, now, cache.resolver)
    content = _content(limits.verdicts, (*claims.kept_ids, *limits.kept_ids, *retained.ids), published, cache.resolver)
    cache.forget(selected, {uid for uid, verdict in limits.verdicts.items() if verdict.entry is not None}, published)
    return GatewayPlan(
        content.entries,
        content.origins,
        {**claims.refusals, **limits.verdicts},
        frozenset(content.credentials),
        retained.hold,
        _wake_at(retained.hold, (*resolved.values(), *limits.waiting.values()), now, quarantine.ends_in(claims.awaited)),
        content.discovered,
        registry_records(content.discovered, content.origins, inputs, published, limits.held),
        PlanMemory(_missing_since(memory, selected, resolved), retained.guard, memory.rewrites),
        quarantine.released_by(content.entries),
        tuple(item for item in claims.moved if _owns(item, content.origins)),
    )


@dataclass(frozen=True, slots=True)
class _Limits:
    """The verdicts after all limits, by uid. held: registries whose published servers stay, by uid.

    waiting: registries that may rewrite no more for now, by uid. kept_ids: published entries that stay although their resource is refused.
    """

    verdicts: Mapping[str, Verdict]
    held: Container[str]
    waiting: Mapping[str, Resolved]
    kept_ids: tuple[str, ...]


def _limit(
    verdicts: Mapping[str, Verdict],
    gateway: GatewaySpec,
    inputs: Inputs,
    published: Published,
    rewrites: Rewrites,
    now: float,
    resolver: CredentialResolver,
) -> _Limits:
    after = {**verdicts, **limit_credentials(verdicts, inputs, published, gateway.name)}
    limited = limit_map(after, published, gateway)
    after |= {**limited.refusals, **limited.held}
    waiting = _waiting(after, published, rewrites, now)
    after |= {uid: item.verdict for uid, item in waiting.items()}
    held = {uid: _with_credentials(after[uid], resolver) for uid in (*limited.held, *waiting)}
    return _Limits(after | held, held, waiting, tuple(limited.kept_ids))


def _wake_at(hold: Hold | None, resolved: Iterable[Resolved], now: float, quarantine_ends_in: float | None) -> float | None:
    """When the plan changes by itself: a hold, the grace of a vanished Secret or a quarantine ends. None when it does not."""
    ends = [hold.until] if hold is not None and hold.until != float("inf") else []
    ends += [now + quarantine_ends_in] if quarantine_ends_in is not None else []
    return min((*ends, *(item.wake_at for item in resolved if item.wake_at is not None)), default=None)


def _waiting(verdicts: Mapping[str, Verdict], published: Published, rewrites: Rewrites, now: float) -> dict[str, Resolved]:
    """Registries whose servers have to wait, because too much of the map was written on their account: by uid."""
    waiting = {}
    for uid, verdict in verdicts.items():
        if verdict.servers is None:
            continue
        pause = rewrites.ready_in(verdict.id, now)
        if pause > 0:
            servers = without_additions(published.discovered.get(verdict.id, {}), verdict.servers)
            waiting[uid] = Resolved(replace(verdict, servers=servers), wake_at=now + pause)
    return waiting


def _with_credentials(verdict: Verdict, resolver: CredentialResolver) -> Verdict:
    """The verdict on a registry with the credentials that its published servers name."""
    return replace(verdict, credentials=resolver.credentials_of(verdict.id, verdict.servers or {}))


def _owns(moved: MovedId, origins: Mapping[str, Origin]) -> bool:
    """Whether the new owner of the id is in the map."""
    return moved.id in origins and origins[moved.id].uid == moved.resource.uid


def planning_effort(inputs: Inputs, published: Published) -> int:
    """How many discovered entries a plan may have to look at one by one."""
    synced = sum(len(report.discovered.credentialed) for report in inputs.syncs.values() if report.discovered)
    return synced + sum(
        len(servers)
        for entry_id, servers in published.discovered.items()
        if (record := published.records.get(entry_id)) is None or record.uid not in inputs.syncs
    )


def _resolve(
    resource: Resource, entry_id: str, inputs: Inputs, published: Published, memory: PlanMemory, now: float, cache: PlanCache
) -> Resolved:
    missing_since = memory.missing_since.get(resource.uid)
    resolved = resolve(resource, entry_id, inputs, published, missing_since=missing_since, now=now, resolver=cache.resolver)
    cache.remember(resource, resolved)
    return resolved


def _missing_since(memory: PlanMemory, selected: Container[str], resolved: Mapping[str, Resolved]) -> dict[str, float]:
    """When references were first missing, by uid. Resources that were not resolved, because their id was refused, keep their time."""
    unchanged = {uid: since for uid, since in memory.missing_since.items() if uid in selected and uid not in resolved}
    return unchanged | {uid: item.missing_since for uid, item in resolved.items() if item.missing_since is not None}


@dataclass(frozen=True, slots=True)
class _Content:
    """The content of a map: see GatewayPlan."""

    entries: dict[str, Entry]
    origins: dict[str, Origin]
    discovered: dict[str, Mapping[str, Entry]]
    credentials: set[str]


def _content(
    verdicts: Mapping[str, Verdict], retained_ids: tuple[str, ...], published: Published, resolver: CredentialResolver
) -> _Content:
    """Collect the entries of all verdicts, and the published entries that are retained."""
    content = _Content({}, {}, {}, set())
    for verdict in verdicts.values():
        if verdict.entry is None:
            continue
        resource = verdict.resource
        content.entries[verdict.id] = verdict.entry
        content.origins[verdict.id] = origin_of_resource(resource)
        content.credentials.update(verdict.credentials)
        if verdict.servers is not None:
            content.discovered[verdict.id] = verdict.servers
    for entry_id in retained_ids:
        if entry_id in content.entries:
            continue
        content.entries[entry_id] = published.entries[entry_id]
        content.origins[entry_id] = published.origins[entry_id]
        content.credentials.update(published.entries[entry_id].credentials)
        if entry_id in published.discovered:
            content.discovered[entry_id] = published.discovered[entry_id]
            content.credentials.update(resolver.credentials_of(entry_id, published.discovered[entry_id]))
    return content
