"""Builders for tests of the planner: small resources and inputs with everything that a test does not care about filled in."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from junctor.api.conditions import Finding, Reason
from junctor.api.configuration import GatewaySpec
from junctor.api.resources import ConnectorResource, RegistryResource, Resource
from junctor.api.sync_report import Discovered, SyncCounts, SyncReport
from junctor.connectormap.credentials import credential_version, reference_hash
from junctor.connectormap.entry import Entry
from junctor.connectormap.ids import entry_id_of_registry
from junctor.connectormap.view import REGISTRY_FEATURE
from junctor.planning.acceptance import Verdict
from junctor.planning.inputs import CredentialVersion, Inputs, Published
from junctor.planning.plan import GatewayPlan, PlanCache, PlanMemory, plan_gateway

KEY = b"installation key"
URL = "https://mcp.example.com/mcp"


def gateway(**fields: Any) -> GatewaySpec:
    """A gateway that selects everything, unless told otherwise (fields in Kubernetes spelling)."""
    return GatewaySpec.model_validate({"namespace": "junctor"} | fields)


def connector(name: str, *, namespace: str = "team-a", uid: str = "", age: int = 0, generation: int = 1, **spec: Any) -> ConnectorResource:
    """A resource as it is stored. age: higher is older. labels: taken out of `spec`."""
    labels: Mapping[str, str] = spec.pop("labels", {})
    metadata = _metadata(name, namespace, uid, age, generation) | {"labels": labels}
    return ConnectorResource.of({"metadata": metadata, "spec": {"url": URL} | spec})


def registry(
    name: str = "internal", *, namespace: str = "team-a", uid: str = "", age: int = 0, generation: int = 1, **spec: Any
) -> RegistryResource:
    """A registry as it is stored. labels, annotations: taken out of `spec`."""
    metadata = _metadata(name, namespace, uid or f"uid-{namespace}-registry-{name}", age, generation)
    metadata |= {"labels": spec.pop("labels", {}), "annotations": spec.pop("annotations", {})}
    return RegistryResource.of({"metadata": metadata, "spec": {"url": "https://registry.example.com"} | spec})


def _metadata(name: str, namespace: str, uid: str, age: int, generation: int) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "name": name,
        "uid": uid or f"uid-{namespace}-{name}",
        "generation": generation,
        "creationTimestamp": f"2025-01-{28 - age:02d}T00:00:00Z",
    }


def server(name: str, *, of: str = "internal", key: str = "", **more: Any) -> Entry:
    """A discovered server. key: of the Secret `token` in team-a whose value is its bearer token."""
    content = {
        "id": f"mcp::{of}::io.acme/{name}",
        "available": True,
        "url": f"https://{name}.acme.com/mcp",
        "transport": "StreamableHTTP",
        "version": "1.0.0",
        "requires": [REGISTRY_FEATURE],
    }
    if key:
        content |= {"auth": {"bearer": {"credential": reference_hash("team-a", "token", key)}}, "hosts": ["*.acme.com"]}
    return Entry.of(content | more)


def discovered(*servers: Entry, of: str = "internal", digest: str = "sha256:rules", watermark: str = "2025-01-01T00:00:00Z") -> Discovered:
    """What the syncs of a registry found."""
    named = frozenset(entry.id for entry in servers if entry.credentials)
    return Discovered(of, digest, watermark, {entry.id: entry for entry in servers}, named)


def synced(servers: Discovered | None, **fields: Any) -> SyncReport:
    """A report on a registry of generation 1 that was read to its end."""
    told: dict[str, Any] = {"generation": 1, "synced": Finding("True", Reason.SYNCED, "all"), "last_sync": "2025-01-01T00:00:00Z"}
    counts = SyncCounts(**{name: fields.pop(name) for name in ("found", "published", "skipped") if name in fields})
    return SyncReport(**told | {"discovered": servers, "current": servers is not None, "counts": counts} | fields)


def bearer(secret: str = "token", key: str = "value") -> dict[str, Any]:
    """A spec.auth that names a Secret key."""
    return {"bearer": {"secretKeyRef": {"name": secret, "key": key}}}


def secret(name: str = "token", *, namespace: str = "team-a", problem: str = "", **keys: bytes) -> dict[Any, Any]:
    """A labelled Secret as the planner sees it."""
    versions = {key: CredentialVersion(credential_version(KEY, value), len(value), problem) for key, value in keys.items()}
    return {(namespace, name): versions}


def inputs(*resources: Resource, **fields: Any) -> Inputs:
    """A look at a cluster with these connectors and registries."""
    connectors = {resource.uid: resource for resource in resources if isinstance(resource, ConnectorResource)}
    registries = {resource.uid: resource for resource in resources if isinstance(resource, RegistryResource)}
    return Inputs(connectors, registries, **fields)


def published(plan: GatewayPlan) -> Published:
    """The map after a plan was published."""
    records = {entry_id_of_registry(record.id): record for record in plan.records}
    return Published(dict(plan.entries), dict(plan.origins), dict(plan.discovered), records, plan.released)


class Story:
    """The plans of one gateway over time, and its published map: each `plan` is published before the next one."""

    def __init__(self, configuration: GatewaySpec | None = None) -> None:
        self.gateway = configuration or gateway()
        self.restart()
        self.published = Published()
        self.now = 1000.0

    def restart(self) -> None:
        """Begin as a new process does: only the published map remains."""
        self.memory = PlanMemory()
        self.cache = PlanCache()

    def plan(self, *resources: Resource, publish: bool = True, **fields: Any) -> GatewayPlan:
        """Plan for these resources, and publish the plan."""
        plan = plan_gateway(self.gateway, inputs(*resources, **fields), self.published, self.memory, self.now, self.cache)
        self.memory = plan.memory
        if publish:
            self.published = published(plan)
        return plan


def verdict(plan: GatewayPlan, resource: Resource) -> Verdict:
    """What the plan says about a resource."""
    return plan.verdicts[resource.uid]


def reason(plan: GatewayPlan, resource: Resource) -> str:
    """The reason of Accepted."""
    return str(plan.verdicts[resource.uid].accepted.reason)


def ids(entries: Iterable[str] | Mapping[str, Entry]) -> list[str]:
    """Ids in order."""
    return sorted(entries)


def encoded(text: str) -> str:
    """Base64, as in a Secret."""
    return base64.b64encode(text.encode()).decode()
