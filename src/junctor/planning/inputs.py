"""The inputs of a plan: immutable data that the reconcile loop collects and tests write by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from junctor.api.resources import ConnectorResource, RegistryResource
from junctor.api.sync_report import SyncReport
from junctor.connectormap.entry import Entry
from junctor.connectormap.errors import InvalidEntry
from junctor.connectormap.head import RegistryRecord, ReleasedId
from junctor.connectormap.view import Origin


class CredentialVersion(NamedTuple):
    """A value of a Secret key without the value itself.

    version: 16 hex digits (`credential_version`). size: bytes. problem: why it cannot be the value of a header, or "". hosts: globs of the
    hosts to which the owner of the Secret binds it; None: to none in particular.
    """

    version: str
    size: int
    problem: str = ""
    hosts: tuple[str, ...] | None = None


#: The versions of keys, by (namespace, name) of labelled Secrets.
SecretVersions = Mapping[tuple[str, str], Mapping[str, CredentialVersion]]


@dataclass(frozen=True, slots=True)
class Inputs:
    """The state of the cluster at one moment. Nothing in it changes afterwards, so that a plan may run in a thread.

    connectors, registries: by uid, without those that are being deleted. connectors_known, registries_known: False while it is unknown
    which ones exist (CRD missing, first LIST not done); then nothing is removed. deleted: uids whose deletion was observed. syncs: by uid
    of the registry. namespaces: labels by name. unresolved_for: for how many seconds a status has said that a reference is missing, by
    uid; it stands in for the plan's memory after a restart. time: Unix seconds of that moment.
    """

    connectors: Mapping[str, ConnectorResource]
    registries: Mapping[str, RegistryResource] = field(default_factory=dict)
    syncs: Mapping[str, SyncReport] = field(default_factory=dict)
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    secrets: SecretVersions = field(default_factory=dict)
    deleted: frozenset[str] = frozenset()
    connectors_known: bool = True
    registries_known: bool = True
    unresolved_for: Mapping[str, float] = field(default_factory=dict)
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class Published:
    """The map as it is published now. Immutable, like Inputs.

    entries, origins: those made from resources, and the resource of each, by id. discovered: the servers of each registry, by the id of
    the registry's own entry. records: what the head stores about each registry, by the same id. released: ids that left the map, by id.
    """

    entries: Mapping[str, Entry] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)
    discovered: Mapping[str, Mapping[str, Entry]] = field(default_factory=dict)
    records: Mapping[str, RegistryRecord] = field(default_factory=dict)
    released: Mapping[str, ReleasedId] = field(default_factory=dict)

    def record_of(self, entry_id: str, uid: str) -> RegistryRecord | None:
        """Return the record of a registry; None if there is none, or if it belongs to another resource with the same id."""
        record = self.records.get(entry_id)
        return record if record is not None and record.uid == uid else None


def origin_of(entry: Entry) -> Origin:
    """Read the origin of an entry. Raises InvalidEntry for an entry that names no resource."""
    origin = entry.view.origin
    if origin is None:
        raise InvalidEntry(f"entry {entry.id} does not name the resource that it was made of")
    return origin
