"""Builders for tests of the planner: small resources and inputs with everything that a test does not care about filled in."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from junctor.api.configuration import GatewayConfiguration
from junctor.api.connector_map import Entry, credential_version
from junctor.api.resources import ConnectorResource
from junctor.planning.inputs import CredentialVersion, Inputs, Published
from junctor.planning.plan import GatewayPlan, Planner
from junctor.planning.verdicts import Verdict

KEY = b"installation key"
URL = "https://mcp.example.com/mcp"


def gateway(**fields: Any) -> GatewayConfiguration:
    """A gateway that selects everything, unless told otherwise (fields in Kubernetes spelling)."""
    return GatewayConfiguration.model_validate({"namespace": "junctor"} | fields)


def connector(name: str, *, namespace: str = "team-a", uid: str = "", age: int = 0, generation: int = 1, **spec: Any) -> ConnectorResource:
    """A resource as it is stored. age: higher is older. labels: taken out of `spec`."""
    labels: Mapping[str, str] = spec.pop("labels", {})
    return ConnectorResource.of(
        {
            "metadata": {
                "namespace": namespace,
                "name": name,
                "uid": uid or f"uid-{namespace}-{name}",
                "generation": generation,
                "creationTimestamp": f"2025-01-{28 - age:02d}T00:00:00Z",
                "labels": labels,
            },
            "spec": {"url": URL} | spec,
        }
    )


def bearer(secret: str = "token", key: str = "value") -> dict[str, Any]:
    """A spec.auth that names a Secret key."""
    return {"bearer": {"secretKeyRef": {"name": secret, "key": key}}}


def secret(name: str = "token", *, namespace: str = "team-a", problem: str = "", **keys: bytes) -> dict[Any, Any]:
    """A labelled Secret as the planner sees it."""
    versions = {key: CredentialVersion(credential_version(KEY, value), len(value), problem) for key, value in keys.items()}
    return {(namespace, name): versions}


def inputs(*connectors: ConnectorResource, **fields: Any) -> Inputs:
    """A look at a cluster with these connectors."""
    return Inputs({resource.uid: resource for resource in connectors}, **fields)


def published(plan: GatewayPlan) -> Published:
    """The map after a plan was published."""
    return Published(dict(plan.entries), dict(plan.origins))


class Story:
    """A planner and its published map over time: each `plan` is published before the next one."""

    def __init__(self, configuration: GatewayConfiguration | None = None) -> None:
        self.planner = Planner(configuration or gateway())
        self.published = Published()
        self.now = 1000.0

    def plan(self, *connectors: ConnectorResource, publish: bool = True, **fields: Any) -> GatewayPlan:
        """Plan for these connectors, and publish the plan."""
        plan = self.planner.plan(inputs(*connectors, **fields), self.published, self.now)
        if publish:
            self.published = published(plan)
        return plan


def verdict(plan: GatewayPlan, resource: ConnectorResource) -> Verdict:
    """What the plan says about a resource."""
    return plan.verdicts[resource.uid]


def reason(plan: GatewayPlan, resource: ConnectorResource) -> str:
    """The reason of Accepted."""
    return str(plan.verdicts[resource.uid].accepted.reason)


def ids(entries: Iterable[str] | Mapping[str, Entry]) -> list[str]:
    """Ids in order."""
    return sorted(entries)


def encoded(text: str) -> str:
    """Base64, as in a Secret."""
    return base64.b64encode(text.encode()).decode()
