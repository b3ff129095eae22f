"""What the loop knows of the cluster. Events keep it current, and LISTs replace it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from junctor.api.configuration import OperatorConfiguration
from junctor.api.endpoint import SecretKeyRef
from junctor.api.names import CONNECTOR_KIND, REGISTRY_KIND
from junctor.api.resources import ConnectorResource, RegistryResource
from junctor.api.sync_report import SyncReport
from junctor.net.formats import KubernetesObjectView
from junctor.planning.inputs import Inputs
from junctor.planning.secret_hosts import allows_host, host_of
from junctor.reconcile.collection import Collection
from junctor.reconcile.objects import (
    CredentialSecret,
    GatewayPod,
    NamespaceLabels,
    Tracked,
    read_namespace,
    read_pod,
    resource_reader,
    secret_reader,
)
from junctor.reconcile.ports import Pod


@dataclass(frozen=True, slots=True)
class Observation:
    """The cluster at one moment: the inputs of the planner, and the values of all credentials, by `<refhash>.<version>`."""

    inputs: Inputs
    credentials: Mapping[str, bytes] = field(repr=False)

    @property
    def unlisted_kinds(self) -> frozenset[str]:
        """Those of our kinds whose resources are unknown, because the kind is not defined or was never listed."""
        known = {CONNECTOR_KIND: self.inputs.connectors_known, REGISTRY_KIND: self.inputs.registries_known}
        return frozenset(kind for kind, is_known in known.items() if not is_known)


class Snapshot:
    """The collections of one operator. now: the time of day."""

    def __init__(
        self, configuration: OperatorConfiguration, installation_key: bytes, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._now = now
        self._namespaces_of_gateways = {(gateway.name, gateway.namespace) for gateway in configuration.gateways}
        self.connectors: Collection[Tracked[ConnectorResource]] = Collection(resource_reader(ConnectorResource))
        self.registries: Collection[Tracked[RegistryResource]] = Collection(resource_reader(RegistryResource))
        self.secrets: Collection[CredentialSecret] = Collection(secret_reader(installation_key))
        self.namespaces: Collection[NamespaceLabels] = Collection(read_namespace)
        self.pods: Collection[GatewayPod] = Collection(self._read_pod)
        #: The uids of resources whose deletion was seen and is not published yet.
        self.deleted: set[str] = set()
        #: The kinds whose CRDs are known to exist.
        self.defined: set[str] = set()
        self._needs_namespaces = configuration.needs_namespaces

    @property
    def complete(self) -> bool:
        """Whether every collection was listed once, so that a missing object does not exist. A kind that is not defined has no LIST."""
        listed = all(collection.synced or kind not in self.defined for kind, collection in self.kinds.items())
        return listed and self.secrets.synced and self.pods.synced and (self.namespaces.synced or not self._needs_namespaces)

    @property
    def kinds(self) -> Mapping[str, Collection[Any]]:
        """The collections of our own resources, by kind."""
        return {CONNECTOR_KIND: self.connectors, REGISTRY_KIND: self.registries}

    def tracked(self, uid: str) -> Tracked[ConnectorResource] | Tracked[RegistryResource] | None:
        """Return the connector or registry with this uid; None when it does not exist."""
        return self.connectors.items.get(uid) or self.registries.items.get(uid)

    def observe_resource(self, kind: str, body: KubernetesObjectView, *, deleted: bool) -> bool:
        """Apply an event about an MCPConnector or MCPRegistry; True when it changed something that matters.

        A deletion is remembered until `forget_deletions`. It is news even if a LIST has shown already that the resource is missing,
        because only the event says that somebody deleted it.
        """
        uid = body["metadata"]["uid"]
        is_new_deletion = uid not in self.deleted and (deleted or bool(body["metadata"].get("deletionTimestamp")))
        if is_new_deletion:
            self.deleted.add(uid)
        return self.kinds[kind].observe(body, deleted=deleted) or is_new_deletion

    def observation(self, syncs: Mapping[str, SyncReport] | None = None) -> Observation:
        """Return the present state, for one pass. syncs: reports on the registries, by uid."""
        return Observation(self.inputs(syncs), self.credentials())

    def inputs(self, syncs: Mapping[str, SyncReport] | None = None) -> Inputs:
        """Return the inputs of the planner. syncs: reports on the registries, by uid."""
        return Inputs(
            connectors={uid: tracked.resource for uid, tracked in self.connectors.items.items()},
            registries={uid: tracked.resource for uid, tracked in self.registries.items.items()},
            syncs=syncs or {},
            namespaces={item.name: item.labels for item in self.namespaces.items.values()},
            secrets={(item.namespace, item.name): item.versions for item in self.secrets.items.values()},
            deleted=frozenset(self.deleted),
            unresolved_for=self._unresolved_for(),
            time=self._now().timestamp(),
            connectors_known=CONNECTOR_KIND in self.defined and self.connectors.synced,
            registries_known=REGISTRY_KIND in self.defined and self.registries.synced,
        )

    def credentials(self) -> dict[str, bytes]:
        """Return the values of all credentials as they are sent, by `<refhash>.<version>`."""
        return {key: value for item in self.secrets.items.values() for key, value in item.credentials.items()}

    def _unresolved_for(self) -> dict[str, float]:
        """Seconds since the statuses first said ResolvedRefs=False, by uid."""
        now = self._now()
        since = {uid: item.unresolved_since for uid, item in self.connectors.items.items() if item.unresolved_since}
        since |= {uid: item.unresolved_since for uid, item in self.registries.items.items() if item.unresolved_since}
        return {uid: max(0.0, (now - moment).total_seconds()) for uid, moment in since.items()}

    def forget_deletions(self, published: frozenset[str]) -> None:
        """Forget the deletions of these resources: the maps without them are published."""
        self.deleted -= published

    def secret_value(self, namespace: str, ref: SecretKeyRef, url: str) -> bytes | None:
        """Return the value of a Secret's key as it is sent to `url`; None when there is none, or when it must not be sent there."""
        secret = self.secrets.named(namespace, ref.name)
        version = secret.versions.get(ref.key) if secret is not None else None
        if secret is None or version is None or version.problem or not allows_host(version.hosts, host_of(url)):
            return None
        return secret.values[ref.key]

    def pods_of(self, gateway: str) -> list[Pod]:
        """Return the ready pods of a gateway, sorted by name."""
        return sorted((item.pod for item in self.pods.items.values() if item.gateway == gateway), key=lambda pod: pod.name)

    def _read_pod(self, body: KubernetesObjectView, before: GatewayPod | None) -> GatewayPod | None:
        """Read a pod. It counts only in its gateway's namespace, because anybody may set the label in a namespace of their own."""
        pod = read_pod(body, before)
        return pod if pod is not None and (pod.gateway, pod.namespace) in self._namespaces_of_gateways else None
