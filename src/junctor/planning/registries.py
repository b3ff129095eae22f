"""The servers of registries in a gateway's map: which of them are known, with the credentials of now."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from junctor.api.resources import RegistryResource
from junctor.connectormap.connector_map import Entry
from junctor.connectormap.discovered import Discovered, bound, references_of
from junctor.connectormap.ids import REGISTRY_ID_PREFIX
from junctor.planning.inputs import Inputs, Published


@dataclass(frozen=True, slots=True)
class _Bound:
    """source: what `servers` was made of, with `versions`, the credentials of the registry by reference. used: those that are named."""

    source: Discovered | None
    versions: Mapping[str, str]
    servers: Mapping[str, Entry] = field(repr=False)
    used: tuple[str, ...] = ()


class Binder:
    """Puts the versions of credentials into discovered entries. The same inputs give the same object, so that nobody looks twice."""

    def __init__(self) -> None:
        self._bound: dict[str, _Bound] = {}
        self._named: dict[str, tuple[Mapping[str, Entry], tuple[str, ...]]] = {}

    def bind(self, registry: RegistryResource, entry_id: str, credentials: Mapping[str, str], inputs: Inputs, published: Published) -> None:
        """Make what is to be published of a registry. credentials: `<refhash>.<version>` by reference, as far as they can be served."""
        report = inputs.syncs.get(registry.uid)
        source = report.discovered if report else None
        held = self._bound.get(registry.uid)
        if source is not None:
            if held is None or held.source is not source or held.versions != credentials:
                self._bound[registry.uid] = _bind(source, credentials, held)
        elif published.records.get(entry_id, {}).get("uid") == registry.uid and entry_id in published.discovered:
            servers = published.discovered[entry_id]
            self._bound[registry.uid] = _Bound(None, {}, servers, self.named(entry_id, servers))
        else:
            self._bound.pop(registry.uid, None)

    def servers(self, uid: str) -> Mapping[str, Entry] | None:
        """The discovered entries of a registry; None while nothing is known of it."""
        held = self._bound.get(uid)
        return held.servers if held else None

    def credentials(self, uid: str) -> tuple[str, ...]:
        """The credentials that they name."""
        held = self._bound.get(uid)
        return held.used if held else ()

    def named(self, entry_id: str, published: Mapping[str, Entry]) -> tuple[str, ...]:
        """The credentials that the published servers of a registry name, each once."""
        held = self._named.get(entry_id)
        if held is None or held[0] is not published:
            held = self._named[entry_id] = published, _named_in(published)
        return held[1]

    def forget(self, known: Container[str], published: Published) -> None:
        """Keep nothing of registries (uids) that are not known any more, nor of what is published no more."""
        for uid in [uid for uid in self._bound if uid not in known]:
            del self._bound[uid]
        for entry_id in [entry_id for entry_id, (servers, _) in self._named.items() if published.discovered.get(entry_id) is not servers]:
            del self._named[entry_id]


def _bind(source: Discovered, credentials: Mapping[str, str], held: _Bound | None) -> _Bound:
    versions = dict(credentials)
    if not source.credentialed:
        return _Bound(source, versions, source.entries)
    same = held if held is not None and held.versions == versions else None
    before = same.source.entries if same and same.source else {}
    if same is not None and before is source.entries:
        return _Bound(source, versions, same.servers, same.used)
    servers = dict(source.entries)
    for key in source.credentialed:
        entry = source.entries[key]
        servers[key] = same.servers[key] if same is not None and before.get(key) is entry else bound(entry, versions)
    return _Bound(source, versions, servers, _named_in(servers))


def _named_in(entries: Mapping[str, Entry]) -> tuple[str, ...]:
    return tuple(sorted({credential for entry in entries.values() for credential in references_of(entry)}))


def record_of(entry_id: str, uid: str, inputs: Inputs, published: Published, connectors: int) -> dict[str, Any]:
    """What the head remembers of a registry, for the time after a restart."""
    report = inputs.syncs.get(uid)
    known = report.discovered if report else None
    record = {"id": entry_id.removeprefix(REGISTRY_ID_PREFIX), "uid": uid, "connectors": connectors}
    if known is not None:
        return record | {"watermark": known.watermark, "filterDigest": known.digest}
    before = published.records.get(entry_id, {})
    return {**before, **record} if before.get("uid") == uid else record
