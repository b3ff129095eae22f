"""What the loop knows of the cluster: kept current by events, replaced by LISTs.

Events may come late, twice, or never (a broken watch loses deletions); a LIST may be older than an event. The resourceVersion decides:
the API server orders the versions of one resource (they are integers, Kubernetes 1.35 and later document it).
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from junctor.api.configuration import OperatorConfiguration
from junctor.api.endpoint import SecretKeyRef
from junctor.api.names import CONNECTOR_KIND, CREDENTIALS_LABEL, CREDENTIALS_READABLE, GATEWAY_LABEL, REGISTRY_KIND
from junctor.api.resources import ConnectorResource, RegistryResource
from junctor.api.sync_report import SyncReport
from junctor.connectormap.connector_map import credential_version, reference_hash
from junctor.planning.inputs import CredentialVersion, Inputs
from junctor.reconcile.ports import Pod

Body = Mapping[str, Any]
T = TypeVar("T")


class Collection(Generic[T]):
    """Objects of one kind by uid, read into `T`. `read` gets the body and what was known before; None means: not of interest."""

    def __init__(self, read: Callable[[Body, T | None], T | None]) -> None:
        self._read = read
        self._versions: dict[str, int] = {}
        self._gone: dict[str, int] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._listed = -1
        self.items: dict[str, T] = {}
        self.synced = False

    def observe(self, body: Body, *, deleted: bool = False) -> bool:
        """Take an event; True when it changed something that matters."""
        uid, version = _identity(body)
        if uid not in self._versions and version <= self._listed:
            return False  # a LIST that is at least as new did not hold it
        return self._observe(body, deleted)

    def _observe(self, body: Body, deleted: bool = False) -> bool:
        uid, version = _identity(body)
        if version < self._versions.get(uid, -1) or (version <= self._gone.get(uid, -1) and not deleted):
            return False
        if deleted:
            return self._remove(uid, version)
        # An object of another uid had the name before: it is gone, even if nobody told.
        name = (body["metadata"].get("namespace", ""), body["metadata"]["name"])
        before = self._names.get(name, uid)
        if version < self._versions.get(before, -1):
            return False
        removed = before != uid and self._remove(before, version)
        self._names[name] = uid
        self._versions[uid] = version
        return self._take(uid, body) or removed

    def _remove(self, uid: str, version: int) -> bool:
        self._versions.pop(uid, None)
        self._gone[uid] = version
        return self.items.pop(uid, None) is not None

    def listing(self) -> "Listing[T]":
        """Begin to take a whole LIST, page by page."""
        return Listing(self)

    def _finish(self, present: set[str], listed: int) -> bool:
        if listed < self._listed:
            self._versions, self._gone, self._names, self._listed = {}, {}, {}, -1
            return False
        for uid in [uid for uid in (*self._versions, *self.items) if uid not in present and self._versions.get(uid, -1) <= listed]:
            self._versions.pop(uid, None)
            self.items.pop(uid, None)
        self._gone = {uid: own for uid, own in self._gone.items() if own > listed}
        self._names = {name: uid for name, uid in self._names.items() if uid in self._versions}
        self._listed = listed
        self.synced = True
        return True

    def _take(self, uid: str, body: Body) -> bool:
        before = self.items.get(uid)
        after = self._read(body, before)
        if after is None:
            return self.items.pop(uid, None) is not None
        self.items[uid] = after
        return after is not before and after != before


class Listing(Generic[T]):
    """A LIST on its way into a collection. Nothing is removed before `finish`: half a LIST is no news about what is gone."""

    def __init__(self, collection: Collection[T]) -> None:
        self._collection = collection
        self._present: set[str] = set()

    def add(self, bodies: Iterable[Body]) -> None:
        """Take a page."""
        for body in bodies:
            self._present.add(body["metadata"]["uid"])
            self._collection._observe(body)

    def finish(self, version: str) -> bool:
        """The LIST, of this resourceVersion, is whole: what it does not hold is gone, unless an event newer than the LIST told of it.

        False when the LIST is older than one before it: the API server was restored from a backup, versions begin anew, LIST again.
        """
        return self._collection._finish(self._present, int(version or 0))


def _identity(body: Body) -> tuple[str, int]:
    metadata = body["metadata"]
    return metadata["uid"], int(metadata.get("resourceVersion") or 0)


AnyResource = TypeVar("AnyResource", ConnectorResource, RegistryResource)


@dataclass(frozen=True, slots=True)
class Tracked(Generic[AnyResource]):
    """A resource and its status. Equality is that of what the map depends on: a status alone wakes nobody."""

    resource: AnyResource
    status: Mapping[str, Any] = field(compare=False)


@dataclass(frozen=True, slots=True)
class CredentialSecret:
    """A labelled Secret of users. The values stay here, on their way to the credential Secrets."""

    namespace: str
    name: str
    versions: Mapping[str, CredentialVersion]
    values: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class NamespaceLabels:
    """A namespace."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GatewayPod:
    """A ready pod and its gateway."""

    gateway: str
    namespace: str
    pod: Pod


class Snapshot:
    """The collections of one operator."""

    def __init__(self, configuration: OperatorConfiguration, installation_key: bytes) -> None:
        self._key = installation_key
        self._namespaces_of_gateways = {(gateway.name, gateway.namespace) for gateway in configuration.gateways}
        self.connectors: Collection[Tracked[ConnectorResource]] = Collection(_reader(ConnectorResource))
        self.registries: Collection[Tracked[RegistryResource]] = Collection(_reader(RegistryResource))
        self.secrets: Collection[CredentialSecret] = Collection(self._read_secret)
        self.namespaces: Collection[NamespaceLabels] = Collection(_read_namespace)
        self.pods: Collection[GatewayPod] = Collection(self._read_pod)
        self.deleted: set[str] = set()
        self._planned_secrets: tuple[CredentialSecret, ...] = ()
        #: The kinds whose CRDs are known to exist.
        self.defined: set[str] = set()
        self._needs_namespaces = configuration.needs_namespaces

    @property
    def complete(self) -> bool:
        """Whether every collection was listed once, so that conclusions may be drawn. A kind that is not defined cannot be listed."""
        listed = all(collection.synced or kind not in self.defined for kind, collection in self.kinds.items())
        return listed and self.secrets.synced and self.pods.synced and (self.namespaces.synced or not self._needs_namespaces)

    @property
    def kinds(self) -> Mapping[str, Collection[Any]]:
        """The collections of our own resources, by kind."""
        return {CONNECTOR_KIND: self.connectors, REGISTRY_KIND: self.registries}

    def tracked(self, uid: str) -> Tracked[ConnectorResource] | Tracked[RegistryResource] | None:
        """A connector or registry."""
        return self.connectors.items.get(uid) or self.registries.items.get(uid)

    def observe_resource(self, kind: str, body: Body, *, deleted: bool) -> bool:
        """Take an event about an MCPConnector or MCPRegistry; a deletion is remembered until `forget_deletions`.

        A LIST may have shown the loss already: that it was a deletion matters all the same.
        """
        uid = body["metadata"]["uid"]
        news = uid not in self.deleted and (deleted or bool(body["metadata"].get("deletionTimestamp")))
        if news:
            self.deleted.add(uid)
        return self.kinds[kind].observe(body, deleted=deleted) or news

    def inputs(self, syncs: Mapping[str, SyncReport] | None = None) -> Inputs:
        """The planner's look at the present state. Its credential values are kept until the next one, for whoever publishes the plan."""
        self._planned_secrets = tuple(self.secrets.items.values())
        return Inputs(
            connectors={uid: tracked.resource for uid, tracked in self.connectors.items.items()},
            registries={uid: tracked.resource for uid, tracked in self.registries.items.items()},
            syncs=syncs or {},
            namespaces={item.name: item.labels for item in self.namespaces.items.values()},
            secrets={(item.namespace, item.name): item.versions for item in self.secrets.items.values()},
            deleted=frozenset(self.deleted),
            unresolved_for=self._unresolved_for,
            connectors_known=CONNECTOR_KIND in self.defined and self.connectors.synced,
            registries_known=REGISTRY_KIND in self.defined and self.registries.synced,
        )

    def _unresolved_for(self, uid: str) -> float:
        """Seconds since the status of a resource first said ResolvedRefs=False; 0 when it does not: for a start after a restart."""
        tracked = self.tracked(uid)
        for condition in tracked.status.get("conditions") or () if tracked else ():
            if condition.get("type") == "ResolvedRefs" and condition.get("status") == "False":
                try:
                    since = datetime.fromisoformat(condition["lastTransitionTime"])
                    return max(0.0, (datetime.now(UTC) - since).total_seconds())
                except (KeyError, ValueError, TypeError):
                    return 0.0
        return 0.0

    def forget_deletions(self, seen: frozenset[str]) -> None:
        """The maps without these connectors are published."""
        self.deleted -= seen

    def credential_values(self, wanted: Set[str]) -> dict[str, bytes]:
        """The values of credentials (`<refhash>.<version>`) as they are sent, as far as their Secrets hold them or did at `inputs`."""
        return {
            credential: secret.values[key]
            for secret in (*self._planned_secrets, *self.secrets.items.values())
            for key, version in secret.versions.items()
            if (credential := f"{reference_hash(secret.namespace, secret.name, key)}.{version.version}") in wanted
        }

    def secret_value(self, namespace: str, ref: SecretKeyRef) -> bytes | None:
        """The value of a Secret's key as it is sent; None when there is none, or it cannot be a header's value."""
        for secret in self.secrets.items.values():
            if (secret.namespace, secret.name) == (namespace, ref.name) and ref.key in secret.values:
                return None if secret.versions[ref.key].problem else secret.values[ref.key]
        return None

    def pods_of(self, gateway: str) -> list[Pod]:
        """The ready pods of a gateway, by name."""
        return sorted((item.pod for item in self.pods.items.values() if item.gateway == gateway), key=lambda pod: pod.name)

    def _read_secret(self, body: Body, before: CredentialSecret | None) -> CredentialSecret | None:
        metadata = body["metadata"]
        if (metadata.get("labels") or {}).get(CREDENTIALS_LABEL) != CREDENTIALS_READABLE or metadata.get("deletionTimestamp"):
            return None
        values: dict[str, bytes] = {}
        for key, text in (body.get("data") or {}).items():
            try:
                values[key] = base64.b64decode(text).rstrip(b"\r\n")
            except (binascii.Error, TypeError, ValueError):
                continue
        versions = {
            key: CredentialVersion(credential_version(self._key, value), len(value), _header_problem(value))
            for key, value in values.items()
        }
        return CredentialSecret(metadata["namespace"], metadata["name"], versions, values)

    def _read_pod(self, body: Body, before: GatewayPod | None) -> GatewayPod | None:
        metadata, status = body["metadata"], body.get("status") or {}
        gateway = (metadata.get("labels") or {}).get(GATEWAY_LABEL, "")
        namespace = metadata.get("namespace", "")
        ready = [c for c in status.get("conditions") or () if c.get("type") == "Ready" and c.get("status") == "True"]
        if (
            (gateway, namespace) not in self._namespaces_of_gateways
            or metadata.get("deletionTimestamp")
            or not ready
            or not status.get("podIP")
        ):
            return None
        restarts = ",".join(str(c.get("containerID", "")) + str(c.get("restartCount", 0)) for c in status.get("containerStatuses") or ())
        incarnation = f"{status['podIP']} {ready[0].get('lastTransitionTime', '')} {restarts}"
        return GatewayPod(gateway, namespace, Pod(metadata["uid"], metadata["name"], status["podIP"], incarnation))


def _reader(kind: type[AnyResource]) -> Callable[[Body, Tracked[AnyResource] | None], Tracked[AnyResource] | None]:
    def read(body: Body, before: Tracked[AnyResource] | None) -> Tracked[AnyResource] | None:
        metadata = body["metadata"]
        if metadata.get("deletionTimestamp"):
            return None
        status = body.get("status") or {}
        if before is not None:
            known = before.resource
            same = known.generation == metadata.get("generation", 1) and known.labels == (metadata.get("labels") or {})
            # A changed CRD shows other fields of an object whose generation is the same.
            if same and known.raw_spec == (body.get("spec") or {}) and known.annotations == kind.heeded(metadata):
                return before if before.status == status else Tracked(known, status)
        return Tracked(kind.of(body), status)

    return read


def _read_namespace(body: Body, before: NamespaceLabels | None) -> NamespaceLabels | None:
    return NamespaceLabels(body["metadata"]["name"], body["metadata"].get("labels") or {})


def _header_problem(value: bytes) -> str:
    """Why a value cannot be sent in an HTTP header, or nothing. RFC 9110 section 5.5: new fields are limited to US-ASCII."""
    if not value:
        return "is empty"
    if not value.isascii():
        return "is not ASCII text"
    if any((byte < 32 and byte != 9) or byte == 127 for byte in value):
        return "holds line breaks or other control characters"
    return ""
