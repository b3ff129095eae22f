"""What the planner looks at. Plain data: shells fill it, tests write it by hand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from junctor.api.resources import ConnectorResource, RegistryResource
from junctor.api.sync_report import SyncReport
from junctor.connectormap.connector_map import Entry


class CredentialVersion(NamedTuple):
    """One value of a Secret key as the planner may know it: never the value itself.

    version: 16 hex digits (connector_map.credential_version). size: bytes. problem: why it cannot be a header value, or "".
    """

    version: str
    size: int
    problem: str = ""


#: Labelled Secrets by (namespace, name): their keys' versions.
SecretVersions = Mapping[tuple[str, str], Mapping[str, CredentialVersion]]


class Origin(NamedTuple):
    """The resource that an entry was made of."""

    uid: str
    namespace: str
    name: str
    generation: int


@dataclass(frozen=True, slots=True)
class Inputs:
    """One consistent look at the cluster.

    connectors, registries: by uid; those being deleted are not in it. connectors_known, registries_known: False while nobody can tell
    which ones exist (CRD missing, first LIST not done): then nothing is removed. deleted: uids whose deletion was seen. syncs: by uid of
    the registry. namespaces: labels by name. unresolved_for: seconds for which a resource (uid) is known to have a missing reference,
    from before the planner began.
    """

    connectors: Mapping[str, ConnectorResource]
    registries: Mapping[str, RegistryResource] = field(default_factory=dict)
    syncs: Mapping[str, SyncReport] = field(default_factory=dict)
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    secrets: SecretVersions = field(default_factory=dict)
    deleted: frozenset[str] = frozenset()
    connectors_known: bool = True
    registries_known: bool = True
    unresolved_for: Callable[[str], float] = lambda uid: 0.0


@dataclass(frozen=True, slots=True)
class Published:
    """The map as it is published now.

    entries: those that were made of a resource, and origins: whose they are, by id. discovered: the servers of each registry, by the id of
    the registry's own entry. records: what the head says of each registry, likewise.
    """

    entries: Mapping[str, Entry] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)
    discovered: Mapping[str, Mapping[str, Entry]] = field(default_factory=dict)
    records: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def origin_of(entry: Entry) -> Origin:
    """Read an entry's origin from its content."""
    origin = entry.content["origin"]
    return Origin(origin["uid"], origin["namespace"], origin["name"], origin["generation"])
