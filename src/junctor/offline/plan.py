"""Runs the operator's own planner on manifests."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from junctor.api.configuration import GatewaySpec, OperatorConfiguration
from junctor.api.names import CONNECTOR_KIND, REGISTRY_KIND
from junctor.api.resources import ConnectorResource, RegistryResource, Resource
from junctor.api.sync_report import SyncReport
from junctor.offline.collect import Collected
from junctor.planning.inputs import Inputs, Published, SecretVersions
from junctor.planning.plan import GatewayPlan, PlanMemory, plan_gateway
from junctor.reconcile.snapshot import Snapshot

#: Versions of credentials need a key. Offline it protects nothing: whoever sees the version sees the value as well.
_KEY: Final = b"junctor render"


@dataclass(frozen=True, slots=True)
class OfflinePlans:
    """The plan of each gateway, by its name, with what it was made from. resources: by uid."""

    configuration: OperatorConfiguration
    collected: Collected
    resources: Mapping[str, Resource]
    plans: Mapping[str, GatewayPlan]


def default_configuration(namespace: str = "junctor", map_name: str = "junctor-connectors") -> OperatorConfiguration:
    """Return the configuration of one gateway that selects everything."""
    gateway = {"namespace": namespace, "map": map_name}
    return OperatorConfiguration.model_validate(
        {"apiVersion": "config.junctor.dev/v1alpha1", "kind": "OperatorConfiguration", "gateways": [gateway]}
    )


def resources_of(collected: Collected) -> dict[str, Resource]:
    """Return the connectors and registries by uid."""
    connectors = map(ConnectorResource.of, (manifest.body for manifest in collected.of_kind(CONNECTOR_KIND)))
    registries = map(RegistryResource.of, (manifest.body for manifest in collected.of_kind(REGISTRY_KIND)))
    resources: tuple[Resource, ...] = (*connectors, *registries)
    return {resource.uid: resource for resource in resources}


def snapshot_of(collected: Collected, configuration: OperatorConfiguration) -> Snapshot:
    """Return the Secrets of the input as the operator would read them."""
    snapshot = Snapshot(configuration, _KEY)
    for manifest in collected.of_kind("Secret"):
        snapshot.secrets.observe(manifest.body)
    return snapshot


def plan_gateways(
    configuration: OperatorConfiguration, collected: Collected, secrets: SecretVersions, syncs: Mapping[str, SyncReport] | None = None
) -> OfflinePlans:
    """Plan every gateway as at the first start of an operator.

    Args:
        configuration: the gateways.
        collected: the objects of the input.
        secrets: versions of the credentials that resources may reference.
        syncs: the content of registries, by the uid of their resource.
    """
    resources = resources_of(collected)
    inputs = Inputs(
        connectors={uid: resource for uid, resource in resources.items() if isinstance(resource, ConnectorResource)},
        registries={uid: resource for uid, resource in resources.items() if isinstance(resource, RegistryResource)},
        syncs=syncs or {},
        namespaces={item.key.name: item.body["metadata"].get("labels") or {} for item in collected.of_kind("Namespace")},
        secrets=secrets,
    )
    plans = {gateway.name: _plan(gateway, inputs) for gateway in configuration.gateways}
    return OfflinePlans(configuration, collected, resources, plans)


def _plan(gateway: GatewaySpec, inputs: Inputs) -> GatewayPlan:
    return plan_gateway(gateway, inputs, Published(), PlanMemory(), 0.0)
