"""The plan of one gateway: which entries its map should hold and what to say about each resource."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from junctor.api.conditions import Finding, Reason
from junctor.api.configuration import GatewaySpec
from junctor.api.resources import RegistryResource, Resource
from junctor.connectormap.connector_map import ENTRY_LIMIT, Entry, credentials_of
from junctor.planning.acceptance import id_on, judge, refused
from junctor.planning.credential_limits import beyond_limits
from junctor.planning.entries import entry_of, registry_entry_of
from junctor.planning.inputs import CredentialVersion, Inputs, Origin, Published
from junctor.planning.losses import Hold, Losses
from junctor.planning.ownership import lost_to, owner
from junctor.planning.references import RESOLVED, Resolution, hash_of, resolve
from junctor.planning.registries import Binder, record_of
from junctor.planning.verdicts import Verdict

_ACCEPTED: Final = Finding("True", Reason.ACCEPTED, "the resource is valid")


@dataclass(frozen=True, slots=True)
class GatewayPlan:
    """Everything that should be true for one gateway.

    entries, origins: by id, of what is made from resources. discovered: the servers of each registry that they are known of, by the id of
    the registry's entry. records: what the head says of the registries. verdicts: by uid, of the resources that the gateway selects.
    wake_at: when the plan changes by itself (a grace or a hold ends), on the planner's clock. credentials: every `<refhash>.<version>`
    that the entries name.
    """

    entries: Mapping[str, Entry]
    origins: Mapping[str, Origin]
    verdicts: Mapping[str, Verdict]
    credentials: frozenset[str] = frozenset()
    held: Hold | None = None
    wake_at: float | None = None
    discovered: Mapping[str, Mapping[str, Entry]] = field(default_factory=dict)
    records: tuple[Mapping[str, Any], ...] = ()

    @property
    def connectors(self) -> int:
        """How many entries the map should hold."""
        return len(self.entries) + sum(map(len, self.discovered.values()))


@dataclass(slots=True)
class _Memo:
    """A verdict and what it was made of: the same inputs need no second look. refs: Secret and key of each reference."""

    resource: Resource
    refs: tuple[tuple[tuple[str, str], str], ...]
    versions: tuple[CredentialVersion | None, ...]
    verdict: Verdict


@dataclass(slots=True)
class Planner:
    """Plans one gateway, again and again. The result depends on the arguments, and on when a loss was first seen."""

    gateway: GatewaySpec
    _judged: dict[str, tuple[Resource, Finding | None, str]] = field(default_factory=dict)
    _memo: dict[str, _Memo] = field(default_factory=dict)
    _missing_since: dict[str, float] = field(default_factory=dict)
    _binder: Binder = field(default_factory=Binder)
    _losses: Losses = field(default_factory=Losses)

    @staticmethod
    def effort(inputs: Inputs, published: Published) -> int:
        """How many discovered entries `plan` may have to look at one by one."""
        read = sum(len(report.discovered.credentialed) for report in inputs.syncs.values() if report.discovered)
        return read + sum(
            len(servers)
            for entry_id, servers in published.discovered.items()
            if published.records.get(entry_id, {}).get("uid") not in inputs.syncs
        )

    def plan(self, inputs: Inputs, published: Published, now: float) -> GatewayPlan:
        """Make the plan. now: seconds of a monotonic clock."""
        selected = self._selected(inputs)
        winners, verdicts = self._claims(selected, published)
        kept = self._kept_ids(winners, verdicts, published)
        wake: list[float] = []
        resolved = {uid: self._decide(resource, inputs, published, now, wake) for uid, resource in winners.items()}
        resolved.update(list(beyond_limits(resolved, inputs, published, self.gateway.name)))
        verdicts.update(resolved)
        entries = {v.id: v.entry for v in resolved.values() if v.entry is not None}
        origins = {
            v.id: Origin(uid, v.resource.namespace, v.resource.name, v.resource.generation)
            for uid, v in resolved.items()
            if v.entry is not None
        }
        missed, held = self._losses.held(inputs, selected, published, now)
        if held is not None and held.until != float("inf"):
            wake.append(held.until)
        credentials = {credential for verdict in resolved.values() if verdict.entry for credential in verdict.credentials}
        discovered = {
            v.id: known for uid, v in resolved.items() if v.entry is not None and (known := self._binder.servers(uid)) is not None
        }
        for connector_id in (*kept, *missed):
            if connector_id not in entries:
                entries[connector_id] = published.entries[connector_id]
                origins[connector_id] = published.origins[connector_id]
                credentials.update(credentials_of(published.entries[connector_id].content))
                if connector_id in published.discovered:
                    discovered[connector_id] = published.discovered[connector_id]
                    credentials.update(self._binder.named(connector_id, discovered[connector_id]))
        self._forget(selected, resolved, published)
        records = tuple(record_of(key, origins[key].uid, inputs, published, len(discovered[key])) for key in sorted(discovered))
        return GatewayPlan(entries, origins, verdicts, frozenset(credentials), held, min(wake, default=None), discovered, records)

    def _selected(self, inputs: Inputs) -> dict[str, Resource]:
        gateway = self.gateway
        resources: dict[str, Resource] = {**inputs.connectors, **inputs.registries}
        if gateway.connector_selector.everything and gateway.namespace_selector.everything:
            return resources
        chosen = {
            name for name, labels in inputs.namespaces.items() if gateway.namespace_selector.matches(labels)
        }  # a namespace that is not known (yet) is not selected, unless nothing is asked of it
        anywhere = gateway.namespace_selector.everything
        return {
            uid: resource
            for uid, resource in resources.items()
            if (anywhere or resource.namespace in chosen) and gateway.connector_selector.matches(resource.labels)
        }

    def _claims(self, selected: Mapping[str, Resource], published: Published) -> tuple[dict[str, Resource], dict[str, Verdict]]:
        """Who may have which id: the winners by uid, and a verdict on everybody else."""
        verdicts: dict[str, Verdict] = {}
        claimants: dict[str, list[Resource]] = {}
        keeping: dict[str, Resource] = {}
        former = {origin.uid: (connector_id, origin) for connector_id, origin in published.origins.items()}
        for uid, resource in selected.items():
            finding, connector_id = self._judge(resource)
            finding = finding or _immutable_id(resource, connector_id, former.get(uid))
            if finding is not None:
                verdicts[uid] = Verdict(resource, connector_id, finding, RESOLVED)
                if finding.reason is Reason.ID_IMMUTABLE:
                    keeping[former[uid][0]] = resource
            else:
                claimants.setdefault(connector_id, []).append(resource)
        winners: dict[str, Resource] = {}
        for connector_id, resources in claimants.items():
            incumbent = published.origins.get(connector_id)
            winner = keeping.get(connector_id) or (resources[0] if len(resources) == 1 else owner(resources, incumbent))
            if connector_id not in keeping:
                winners[winner.uid] = winner
            for loser in resources:
                if loser is not winner:
                    verdicts[loser.uid] = Verdict(loser, connector_id, lost_to(winner, connector_id, incumbent), RESOLVED)
        return winners, verdicts

    def _judge(self, resource: Resource) -> tuple[Finding | None, str]:
        known = self._judged.get(resource.uid)
        if known is None or known[0] is not resource:
            known = (resource, judge(resource, self.gateway), id_on(resource, self.gateway))
            self._judged[resource.uid] = known
        return known[1], known[2]

    def _kept_ids(self, winners: Mapping[str, Resource], verdicts: Mapping[str, Verdict], published: Published) -> list[str]:
        """Published entries that stay although their resource asks for something that is refused: a changed id."""
        return [
            connector_id
            for connector_id, origin in published.origins.items()
            if origin.uid in verdicts and verdicts[origin.uid].accepted.reason is Reason.ID_IMMUTABLE and origin.uid not in winners
        ]

    def _decide(self, resource: Resource, inputs: Inputs, published: Published, now: float, wake: list[float]) -> Verdict:
        """The verdict on a resource that owns its id."""
        memo = self._memo.get(resource.uid)
        if memo is not None and memo.resource is resource and (not memo.refs or _versions(memo.refs, inputs) == memo.versions):
            return memo.verdict
        _, connector_id = self._judge(resource)
        spec = resource.spec
        if spec is None or spec.state == "Disabled":
            return Verdict(
                resource, connector_id, _ACCEPTED, Finding("True", Reason.DISABLED, "disabled: references are not used"), None, True
            )
        refs = resource.secret_refs()
        places = tuple(((resource.namespace, ref.name), ref.key) for ref in refs)
        versions = _versions(places, inputs)
        if None in versions or any(version and version.problem for version in versions):
            if resource.uid not in self._missing_since:
                self._missing_since[resource.uid] = now - inputs.unresolved_for(resource.uid)
            since = self._missing_since[resource.uid]
        else:
            self._missing_since.pop(resource.uid, None)
            since = now
        last = self._last_credentials(resource, connector_id, published) if resource.uid in self._missing_since else {}
        resolution = resolve(resource, refs, inputs.secrets, last, since, now)
        if resolution.until is not None:
            wake.append(resolution.until)
        verdict = self._verdict(resource, connector_id, resolution, inputs, published)
        entry = verdict.entry
        if entry is not None and entry.size > ENTRY_LIMIT:
            size = entry.size // 1024
            message = f"needs {size} KiB in the map, at most {ENTRY_LIMIT // 1024}; shorten lists, headers or caBundle"
            verdict = verdict.without_entry(Reason.TOO_LARGE, message)
        if resolution.finding.ok and not isinstance(resource, RegistryResource):  # what is missing, and a registry, change by themselves
            self._memo[resource.uid] = _Memo(resource, places, versions, verdict)
        return verdict

    def _verdict(self, resource: Resource, connector_id: str, resolution: Resolution, inputs: Inputs, published: Published) -> Verdict:
        """The verdict with its entry. A registry whose reference is missing is there all the same: only servers that need it are not."""
        if isinstance(resource, RegistryResource):
            self._binder.bind(resource, connector_id, resolution.credentials, inputs, published)
            entry = registry_entry_of(resource, connector_id)
            used = self._binder.credentials(resource.uid)
            sync = inputs.syncs.get(resource.uid)
            return Verdict(resource, connector_id, _ACCEPTED, resolution.finding, entry, credentials=used, sync=sync)
        complete = resolution.complete
        entry = entry_of(resource, connector_id, resolution.credentials, None if complete else resolution.finding.reason)
        used = tuple(resolution.credentials[hash_of(resource, ref)] for ref in resource.secret_refs()) if complete else ()
        return Verdict(resource, connector_id, _ACCEPTED, resolution.finding, entry, available=complete, credentials=used)

    def _last_credentials(self, resource: Resource, connector_id: str, published: Published) -> dict[str, str]:
        """The published credentials of a resource, by reference."""
        origin = published.origins.get(connector_id)
        if origin is None or origin.uid != resource.uid:
            return {}
        credentials = credentials_of(published.entries[connector_id].content)
        credentials += self._binder.named(connector_id, published.discovered.get(connector_id, {}))
        return {credential.split(".")[0]: credential for credential in credentials}

    def _forget(self, selected: Mapping[str, Resource], resolved: Mapping[str, Verdict], published: Published) -> None:
        self._binder.forget({uid for uid, verdict in resolved.items() if verdict.entry is not None}, published)
        for memory in (self._judged, self._memo, self._missing_since):
            for uid in [uid for uid in memory if uid not in selected]:
                del memory[uid]


def _versions(refs: tuple[tuple[tuple[str, str], str], ...], inputs: Inputs) -> tuple[CredentialVersion | None, ...]:
    return tuple(inputs.secrets.get(secret, {}).get(key) for secret, key in refs)


def _immutable_id(resource: Resource, connector_id: str, former: tuple[str, Origin] | None) -> Finding | None:
    """Refuse a change of the effective id that the CRD's rule could not see, because the gateway's template makes the id.

    A changed template is the platform's own decision: then the generation is the published one and the new id is followed.
    """
    if former is None or former[0] == connector_id or former[1].generation == resource.generation:
        return None
    return refused(
        Reason.ID_IMMUTABLE,
        f"the id would change from {former[0]!r} to {connector_id!r}; restore it, or create a second resource and delete this one",
    )
