"""The servers of registries in a gateway's map: which of them are known, with the credentials of now."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from junctor.api.connector_map import Entry, credentials_of
from junctor.api.discovered import Discovered, bound, names_credential
from junctor.api.names import REGISTRY_ID_PREFIX
from junctor.api.resources import RegistryResource
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

    def bind(self, registry: RegistryResource, entry_id: str, credentials: Mapping[str, str], inputs: Inputs, published: Published) -> None:
        """Make what is to be published of a registry. credentials: `<refhash>.<version>` by reference, as far as they can be served."""
        report = inputs.syncs.get(registry.uid)
        source = report.discovered if report else None
        held = self._bound.get(registry.uid)
        if source is None:
            self._bound.pop(registry.uid, None)
            origin = published.origins.get(entry_id)
            if origin is not None and origin.uid == registry.uid and entry_id in published.discovered:
                servers = published.discovered[entry_id]
                self._bound[registry.uid] = _Bound(None, {}, servers, tuple(credentials_in(servers)))
        elif held is None or held.source is not source or held.versions != credentials:
            self._bound[registry.uid] = _bind(source, credentials)

    def servers(self, uid: str) -> Mapping[str, Entry] | None:
        """The discovered entries of a registry; None while nothing is known of it."""
        held = self._bound.get(uid)
        return held.servers if held else None

    def credentials(self, uid: str) -> tuple[str, ...]:
        """The credentials that they name."""
        held = self._bound.get(uid)
        return held.used if held else ()

    def forget(self, known: Container[str]) -> None:
        """Keep nothing of registries that are not known any more."""
        for uid in [uid for uid in self._bound if uid not in known]:
            del self._bound[uid]


def _bind(source: Discovered, credentials: Mapping[str, str]) -> _Bound:
    if not source.credentialed:
        return _Bound(source, dict(credentials), source.entries)
    changed = {key: bound(source.entries[key], credentials) for key in source.credentialed}
    servers = {**source.entries, **changed}
    return _Bound(source, dict(credentials), servers, tuple(credentials_in(changed)))


def credentials_in(entries: Mapping[str, Entry]) -> list[str]:
    """The credentials that entries name, each once."""
    named: Iterable[str] = (key for entry in entries.values() if names_credential(entry) for key in credentials_of(entry.content))
    return list(dict.fromkeys(named))


def record_of(entry_id: str, uid: str, inputs: Inputs, published: Published, connectors: int) -> dict[str, Any]:
    """What the head remembers of a registry, for the time after a restart."""
    report = inputs.syncs.get(uid)
    known = report.discovered if report else None
    record = {"id": entry_id.removeprefix(REGISTRY_ID_PREFIX), "uid": uid, "connectors": connectors}
    if known is not None:
        return record | {"watermark": known.watermark, "filterDigest": known.digest}
    before = published.records.get(entry_id, {})
    return {**before, **record} if before.get("uid") == uid else record
