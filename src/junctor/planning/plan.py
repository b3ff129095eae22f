"""The plan of one gateway: which entries its map should hold and what to say about each connector."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from junctor.api.conditions import Finding, Reason
from junctor.api.configuration import GatewayConfiguration
from junctor.api.connector_map import (
    CREDENTIAL_OBJECTS,
    CREDENTIALS_LIMIT,
    ENTRY_LIMIT,
    Entry,
    credential_object,
    credentials_of,
    reference_hash,
)
from junctor.api.resources import ConnectorResource
from junctor.planning.acceptance import id_on, judge, refused
from junctor.planning.entries import entry_of
from junctor.planning.inputs import CredentialVersion, Inputs, Origin, Published
from junctor.planning.ownership import lost_to, owner
from junctor.planning.references import RESOLVED, hash_of, resolve

#: Losing this many connectors at once, and more than half, without having seen their deletion, is held back for HOLD_SECONDS. So is the
#: loss of all (two or more) at the start of the operator.
HOLD_AT_LEAST: Final = 20
HOLD_SECONDS: Final = 60.0

#: What a credential's key and the JSON around it add to its value.
_KEY_BYTES: Final = 40

_ACCEPTED: Final = Finding("True", Reason.ACCEPTED, "the resource is valid")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one gateway's plan says about one connector. entry: what the map should hold, or None."""

    resource: ConnectorResource
    id: str
    accepted: Finding
    resolved: Finding
    entry: Entry | None = None
    disabled: bool = False
    available: bool = True
    credentials: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """A loss of connectors that is not believed yet."""

    lost: int
    of: int
    until: float


@dataclass(frozen=True, slots=True)
class GatewayPlan:
    """Everything that should be true for one gateway.

    entries, origins: by connector id. verdicts: by uid, of the connectors that the gateway selects. wake_at: when the plan changes by
    itself (a grace or a hold ends), on the planner's clock. credentials: every `<refhash>.<version>` that the entries name.
    """

    entries: Mapping[str, Entry]
    origins: Mapping[str, Origin]
    verdicts: Mapping[str, Verdict]
    credentials: frozenset[str] = frozenset()
    held: Hold | None = None
    wake_at: float | None = None


@dataclass(slots=True)
class _Memo:
    """A verdict and what it was made of: the same inputs need no second look. refs: Secret and key of each reference."""

    resource: ConnectorResource
    refs: tuple[tuple[tuple[str, str], str], ...]
    versions: tuple[CredentialVersion | None, ...]
    verdict: Verdict


@dataclass(slots=True)
class Planner:
    """Plans one gateway, again and again. The result depends on the arguments, and on when a loss was first seen."""

    gateway: GatewayConfiguration
    _judged: dict[str, tuple[ConnectorResource, Finding | None, str]] = field(default_factory=dict)
    _memo: dict[str, _Memo] = field(default_factory=dict)
    _missing_since: dict[str, float] = field(default_factory=dict)
    _loss_since: float | None = None
    _starting: bool = True

    def plan(self, inputs: Inputs, published: Published, now: float) -> GatewayPlan:
        """Make the plan. now: seconds of a monotonic clock."""
        selected = self._selected(inputs)
        winners, verdicts = self._claims(selected, published)
        kept = self._kept_ids(winners, verdicts, published)
        wake: list[float] = []
        resolved = {uid: self._decide(resource, inputs, published, now, wake) for uid, resource in winners.items()}
        self._bound_credentials(resolved, inputs, published)
        verdicts.update(resolved)
        entries = {v.id: v.entry for v in resolved.values() if v.entry is not None}
        origins = {
            v.id: Origin(uid, v.resource.namespace, v.resource.name, v.resource.generation)
            for uid, v in resolved.items()
            if v.entry is not None
        }
        held = self._hold(inputs, selected, published, kept, now)
        if held is not None and held.until != float("inf"):
            wake.append(held.until)
        credentials = {credential for verdict in resolved.values() if verdict.entry for credential in verdict.credentials}
        for connector_id in kept:
            if connector_id not in entries:
                entries[connector_id] = published.entries[connector_id]
                origins[connector_id] = published.origins[connector_id]
                credentials.update(credentials_of(published.entries[connector_id].content))
        self._forget(selected)
        return GatewayPlan(entries, origins, verdicts, frozenset(credentials), held, min(wake, default=None))

    def _selected(self, inputs: Inputs) -> dict[str, ConnectorResource]:
        gateway = self.gateway
        if gateway.connector_selector.everything and gateway.namespace_selector.everything:
            return dict(inputs.connectors)
        chosen = {
            name for name, labels in inputs.namespaces.items() if gateway.namespace_selector.matches(labels)
        }  # a namespace that is not known (yet) is not selected, unless nothing is asked of it
        anywhere = gateway.namespace_selector.everything
        return {
            uid: resource
            for uid, resource in inputs.connectors.items()
            if (anywhere or resource.namespace in chosen) and gateway.connector_selector.matches(resource.labels)
        }

    def _claims(
        self, selected: Mapping[str, ConnectorResource], published: Published
    ) -> tuple[dict[str, ConnectorResource], dict[str, Verdict]]:
        """Who may have which id: the winners by uid, and a verdict on everybody else."""
        verdicts: dict[str, Verdict] = {}
        claimants: dict[str, list[ConnectorResource]] = {}
        keeping: dict[str, ConnectorResource] = {}
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
        winners: dict[str, ConnectorResource] = {}
        for connector_id, resources in claimants.items():
            incumbent = published.origins.get(connector_id)
            winner = keeping.get(connector_id) or (resources[0] if len(resources) == 1 else owner(resources, incumbent))
            if connector_id not in keeping:
                winners[winner.uid] = winner
            for loser in resources:
                if loser is not winner:
                    verdicts[loser.uid] = Verdict(loser, connector_id, lost_to(winner, connector_id, incumbent), RESOLVED)
        return winners, verdicts

    def _judge(self, resource: ConnectorResource) -> tuple[Finding | None, str]:
        known = self._judged.get(resource.uid)
        if known is None or known[0] is not resource:
            known = (resource, judge(resource, self.gateway), id_on(resource, self.gateway))
            self._judged[resource.uid] = known
        return known[1], known[2]

    def _kept_ids(self, winners: Mapping[str, ConnectorResource], verdicts: Mapping[str, Verdict], published: Published) -> list[str]:
        """Published entries that stay although their resource asks for something that is refused: a changed id."""
        return [
            connector_id
            for connector_id, origin in published.origins.items()
            if origin.uid in verdicts and verdicts[origin.uid].accepted.reason is Reason.ID_IMMUTABLE and origin.uid not in winners
        ]

    def _decide(self, resource: ConnectorResource, inputs: Inputs, published: Published, now: float, wake: list[float]) -> Verdict:
        """The verdict on a connector that owns its id."""
        memo = self._memo.get(resource.uid)
        if memo is not None and memo.resource is resource and (not memo.refs or _versions(memo.refs, inputs) == memo.versions):
            return memo.verdict
        _, connector_id = self._judge(resource)
        spec = resource.spec
        if spec is None or spec.state == "Disabled":
            return Verdict(
                resource, connector_id, _ACCEPTED, Finding("True", Reason.DISABLED, "disabled: references are not used"), None, True
            )
        refs = spec.secret_refs()
        places = tuple(((resource.namespace, ref.name), ref.key) for ref in refs)
        versions = _versions(places, inputs)
        if None in versions or any(version and version.problem for version in versions):
            if resource.uid not in self._missing_since:
                self._missing_since[resource.uid] = now - inputs.unresolved_for(resource.uid)
            since = self._missing_since[resource.uid]
        else:
            self._missing_since.pop(resource.uid, None)
            since = now
        last = _last_credentials(resource, connector_id, published) if resource.uid in self._missing_since else {}
        resolution = resolve(resource, refs, inputs.secrets, last, since, now)
        if resolution.until is not None:
            wake.append(resolution.until)
        entry = entry_of(resource, connector_id, resolution.credentials, None if resolution.complete else resolution.finding.reason)
        credentials = tuple(resolution.credentials[hash_of(resource, ref)] for ref in refs) if resolution.complete else ()
        verdict = Verdict(
            resource, connector_id, _ACCEPTED, resolution.finding, entry, available=resolution.complete, credentials=credentials
        )
        if entry.size > ENTRY_LIMIT:
            size = entry.size // 1024
            verdict = _without_entry(
                verdict, Reason.TOO_LARGE, f"needs {size} KiB in the map, at most {ENTRY_LIMIT // 1024}; shorten lists, headers or caBundle"
            )
        if resolution.finding.ok:  # what is missing changes with time
            self._memo[resource.uid] = _Memo(resource, places, versions, verdict)
        return verdict

    def _bound_credentials(self, verdicts: dict[str, Verdict], inputs: Inputs, published: Published) -> None:
        """Refuse the connectors whose credentials no longer fit: the published and older ones stay."""
        if sum(version.size + _KEY_BYTES for keys in inputs.secrets.values() for version in keys.values()) <= CREDENTIALS_LIMIT:
            return
        sizes = _credential_sizes(inputs)
        filled = [0] * CREDENTIAL_OBJECTS
        held: set[str] = set()

        def age(item: tuple[str, Verdict]) -> tuple[bool, str, str]:
            uid, verdict = item
            incumbent = published.origins.get(verdict.id)
            return incumbent is None or incumbent.uid != uid, verdict.resource.created, uid

        for uid, verdict in sorted(verdicts.items(), key=age):
            new = [credential for credential in set(verdict.credentials) if credential not in held]
            after = list(filled)
            for credential in new:
                after[credential_object(credential)] += sizes.get(credential, 0)
            if any(size > CREDENTIALS_LIMIT for size in after):
                message = f"the credentials of gateway {self.gateway.name} would exceed {CREDENTIALS_LIMIT // 1024} KiB in one Secret"
                verdicts[uid] = _without_entry(verdict, Reason.CREDENTIALS_TOO_LARGE, f"{message}; use smaller Secret values")
                continue
            filled = after
            held.update(new)

    def _hold(
        self, inputs: Inputs, selected: Mapping[str, ConnectorResource], published: Published, kept: list[str], now: float
    ) -> Hold | None:
        """Add to `kept` what is lost without having been deleted: for ever while nobody knows, for HOLD_SECONDS when it is much."""
        lost = [
            connector_id
            for connector_id, origin in published.origins.items()
            if origin.uid not in selected and (origin.uid not in inputs.deleted or not inputs.connectors_known)
        ]
        total = len(published.origins)
        if not inputs.connectors_known:
            kept.extend(lost)
            return Hold(len(lost), total, float("inf")) if lost else None
        much = len(lost) >= HOLD_AT_LEAST and 2 * len(lost) > total
        # At the start the loss of all is more likely a wrong --namespace or selector than a deletion that nobody watched.
        everything = self._starting and len(lost) == total > 1
        if not much and not everything:
            self._loss_since, self._starting = None, False
            return None
        if self._loss_since is None:
            self._loss_since = now
        until = self._loss_since + HOLD_SECONDS
        if now >= until:
            return None  # remembered until the map without them is published: a failed write must not hold them again
        kept.extend(lost)
        return Hold(len(lost), total, until)

    def _forget(self, selected: Mapping[str, ConnectorResource]) -> None:
        for memory in (self._judged, self._memo, self._missing_since):
            for uid in [uid for uid in memory if uid not in selected]:
                del memory[uid]


def _versions(refs: tuple[tuple[tuple[str, str], str], ...], inputs: Inputs) -> tuple[CredentialVersion | None, ...]:
    return tuple(inputs.secrets.get(secret, {}).get(key) for secret, key in refs)


def _immutable_id(resource: ConnectorResource, connector_id: str, former: tuple[str, Origin] | None) -> Finding | None:
    """Refuse a change of the effective id that the CRD's rule could not see, because the gateway's template makes the id.

    A changed template is the platform's own decision: then the generation is the published one and the new id is followed.
    """
    if former is None or former[0] == connector_id or former[1].generation == resource.generation:
        return None
    return refused(
        Reason.ID_IMMUTABLE,
        f"the id would change from {former[0]!r} to {connector_id!r}; restore it, or create a second resource and delete this one",
    )


def _without_entry(verdict: Verdict, reason: Reason, message: str) -> Verdict:
    return Verdict(verdict.resource, verdict.id, refused(reason, message), verdict.resolved)


def _last_credentials(resource: ConnectorResource, connector_id: str, published: Published) -> dict[str, str]:
    origin = published.origins.get(connector_id)
    if origin is None or origin.uid != resource.uid:
        return {}
    return {credential.split(".")[0]: credential for credential in credentials_of(published.entries[connector_id].content)}


def _credential_sizes(inputs: Inputs) -> dict[str, int]:
    """Bytes of every credential that could be published, its key's included."""
    return {
        f"{reference_hash(namespace, name, key)}.{version.version}": version.size + _KEY_BYTES
        for (namespace, name), keys in inputs.secrets.items()
        for key, version in keys.items()
    }
