"""The registries in a gateway's map: the entries of their servers with the current credentials, and their records in the head."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace

from junctor.api.conditions import Finding
from junctor.api.endpoint import SecretKeyRef
from junctor.api.resources import RegistryResource
from junctor.api.sync_report import Discovered
from junctor.connectormap.entry import Entry
from junctor.connectormap.head import RegistryRecord
from junctor.connectormap.ids import registry_id_of_entry
from junctor.connectormap.view import Origin
from junctor.planning.inputs import CredentialVersion, Inputs, Published


@dataclass(frozen=True, slots=True)
class ResolvedServers:
    """The entries of a registry's servers, by connector id, and every `<refhash>.<version>` that they name."""

    entries: Mapping[str, Entry] = field(repr=False)
    credentials: tuple[str, ...] = ()


Refusals = Mapping[SecretKeyRef, Finding]


@dataclass(frozen=True, slots=True)
class _Resolution:
    """What `servers` was made of. versions: credentials of the registry by reference."""

    source: Discovered
    versions: Mapping[str, str]
    servers: ResolvedServers


class CredentialResolver:
    """Puts the versions of credentials into the entries of discovered servers.

    A registry can have 100,000 servers. Therefore the last result of each registry is cached: only entries that changed, or that name a
    changed credential, are resolved again, and equal inputs return the same object. The cache does not affect the result.
    """

    def __init__(self) -> None:
        self._resolutions: dict[str, _Resolution] = {}
        self._named: dict[str, tuple[Mapping[str, Entry], tuple[str, ...]]] = {}
        self._refused: dict[str, tuple[RegistryResource, tuple[CredentialVersion | None, ...], Refusals]] = {}

    def resolve(
        self, registry: RegistryResource, entry_id: str, credentials: Mapping[str, str], inputs: Inputs, published: Published
    ) -> ResolvedServers | None:
        """The servers to publish of a registry; None until the registry was read.

        Args:
            registry: The resource.
            entry_id: Id of the registry's own entry.
            credentials: `<refhash>.<version>` by reference, without those that cannot be used.
            inputs: The reports of syncs.
            published: The servers that are published already, used until the first sync of this process reports.
        """
        report = inputs.syncs.get(registry.uid)
        source = report.discovered if report else None
        if source is not None:
            previous = self._resolutions.get(registry.uid)
            if previous is None or previous.source is not source or previous.versions != credentials:
                previous = self._resolutions[registry.uid] = _resolve(source, dict(credentials), previous)
            return previous.servers
        self._resolutions.pop(registry.uid, None)
        if published.record_of(entry_id, registry.uid) is None or entry_id not in published.discovered:
            return None
        servers = published.discovered[entry_id]
        return ResolvedServers(servers, self.credentials_of(entry_id, servers))

    def refusals(
        self, registry: RegistryResource, versions: tuple[CredentialVersion | None, ...], find: Callable[[], Refusals]
    ) -> Refusals:
        """What `find` says of the references of a registry that have these versions: it compares up to 1,500 of them with 64 hosts each."""
        known = self._refused.get(registry.uid)
        if known is None or known[0] is not registry or known[1] != versions:
            known = self._refused[registry.uid] = registry, versions, find()
        return known[2]

    def credentials_of(self, entry_id: str, published: Mapping[str, Entry]) -> tuple[str, ...]:
        """The credentials that the published servers of a registry name, each once."""
        known = self._named.get(entry_id)
        if known is None or known[0] is not published:
            known = self._named[entry_id] = published, _credentials_in(published)
        return known[1]

    def forget(self, selected: Container[str], uids: Container[str], published: Published) -> None:
        """Drop results for registries other than `uids` and `selected`, and for servers that are no longer published."""
        for uid in [uid for uid in self._refused if uid not in selected]:
            del self._refused[uid]
        for uid in [uid for uid in self._resolutions if uid not in uids]:
            del self._resolutions[uid]
        for entry_id in [entry_id for entry_id, (servers, _) in self._named.items() if published.discovered.get(entry_id) is not servers]:
            del self._named[entry_id]


def _resolve(source: Discovered, versions: Mapping[str, str], previous: _Resolution | None) -> _Resolution:
    """Resolve the servers of a sync. An entry is resolved again only if it changed, or if a credential that it names did."""
    if not source.credentialed:
        return _Resolution(source, versions, ResolvedServers(source.entries))
    unchanged = _unchanged(source, versions, previous) if previous is not None else {}
    if previous is not None and previous.source.entries is source.entries and len(unchanged) == len(source.credentialed):
        return _Resolution(source, versions, previous.servers)
    entries = dict(source.entries)
    for key in source.credentialed:
        entries[key] = unchanged.get(key) or entries[key].resolve_credentials(versions)
    return _Resolution(source, versions, ResolvedServers(entries, _credentials_in(entries)))


def _unchanged(source: Discovered, versions: Mapping[str, str], previous: _Resolution) -> dict[str, Entry]:
    """The resolved entries of the previous result that are still right, by id."""
    before, entries = previous.source.entries, source.entries
    references = previous.versions.keys() | versions.keys()
    changed = {reference for reference in references if previous.versions.get(reference) != versions.get(reference)}
    return {
        key: previous.servers.entries[key]
        for key in source.credentialed
        if before.get(key) is entries[key] and changed.isdisjoint(entries[key].credentials)
    }


def _credentials_in(entries: Mapping[str, Entry]) -> tuple[str, ...]:
    return tuple(sorted({credential for entry in entries.values() for credential in entry.credentials}))


def registry_records(
    discovered: Mapping[str, Mapping[str, Entry]],
    origins: Mapping[str, Origin],
    inputs: Inputs,
    published: Published,
    held: Container[str] = (),
) -> tuple[RegistryRecord, ...]:
    """Record: what the head stores about each registry, by id, so that a restarted operator continues its syncs.

    Args:
        discovered: The planned servers of each registry, by the id of the registry's entry.
        origins: The resources of the planned entries, by id.
        inputs: The reports of syncs.
        published: The records that the head contains now.
        held: The uids of registries whose last sync is not published yet: a restarted operator continues before it.
    """
    return tuple(
        _record_of(entry_id, origins[entry_id].uid, len(discovered[entry_id]), inputs, published, held) for entry_id in sorted(discovered)
    )


def _record_of(entry_id: str, uid: str, connectors: int, inputs: Inputs, published: Published, held: Container[str]) -> RegistryRecord:
    report = inputs.syncs.get(uid) if uid not in held else None
    servers = report.discovered if report else None
    fresh = RegistryRecord(registry_id_of_entry(entry_id), uid, connectors)
    if servers is not None:
        return replace(fresh, watermark=servers.watermark, filter_digest=servers.digest)
    before = published.record_of(entry_id, uid)
    return replace(before, connectors=connectors) if before is not None else fresh
