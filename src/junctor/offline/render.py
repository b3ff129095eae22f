"""The connector map of each gateway as Kubernetes objects, as the operator would publish it the first time."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from junctor.api.configuration import GatewaySpec, OperatorConfiguration
from junctor.api.names import CREDENTIALS_LABEL, CREDENTIALS_PUBLISHED, MAP_LABEL, REGISTRY_KIND
from junctor.api.resources import RegistryResource
from junctor.api.sync_report import SyncReport
from junctor.connectormap.credentials import credential_object, credential_object_name
from junctor.connectormap.head import HEAD_KEY, SHARD_KEY, Head
from junctor.connectormap.ids import registry_id_of_entry
from junctor.connectormap.layout import Layout
from junctor.net.formats import KubernetesObject
from junctor.offline.collect import Collected
from junctor.offline.plan import OfflinePlans, plan_gateways, resources_of, snapshot_of
from junctor.offline.problems import Problem
from junctor.offline.validate import all_problems
from junctor.planning.inputs import CredentialVersion, SecretVersions
from junctor.planning.plan import GatewayPlan
from junctor.reconcile.map_state import MapState

#: The version of a credential whose value is not known: of the same form, and never the version of a value.
_PLACEHOLDER: Final = "0" * 16
_INSTALLATION: Final = "render"


@dataclass(frozen=True, slots=True)
class Rendering:
    """objects: of all maps, in the order in which they are printed. problems: of the input. notes: what the maps leave out."""

    objects: list[KubernetesObject]
    problems: list[Problem]
    notes: list[str]


def render_maps(
    collected: Collected, configuration: OperatorConfiguration, syncs: Mapping[str, SyncReport], *, with_credentials: bool
) -> Rendering:
    """Render the maps of all gateways; invalid objects are left out and reported.

    Args:
        collected: the objects of the input.
        configuration: the gateways.
        syncs: the content of registries, by the uid of their resource.
        with_credentials: whether the values of Secrets in the input are rendered too; their versions are placeholders otherwise.
    """
    snapshot = snapshot_of(collected, configuration)
    secrets = snapshot.inputs().secrets if with_credentials else _placeholders(collected)
    plans = plan_gateways(configuration, collected, secrets, syncs)
    objects: list[KubernetesObject] = []
    credentials = snapshot.credentials() if with_credentials else {}
    for gateway in configuration.gateways:
        plan = plans.plans[gateway.name]
        objects += map_objects(gateway, plan, {key: value for key, value in credentials.items() if key in plan.credentials})
    notes = [*collected.notes, *_missing_registries(plans, syncs)]
    return Rendering(objects, all_problems(plans, strict_references=with_credentials), notes)


def map_objects(gateway: GatewaySpec, plan: GatewayPlan, values: Mapping[str, bytes]) -> Iterator[KubernetesObject]:
    """Yield the objects of a map: the head, the shards in the order of their buckets, and credential Secrets with `values`."""
    state, _ = MapState(Layout(gateway.map, {})).successor(plan, 1)
    layout = state.layout
    head = Head(_INSTALLATION, 1, 1, state.revision, state.connectors, layout.refs(), registries=plan.records)
    yield _object(gateway, "ConfigMap", gateway.map) | {"data": {HEAD_KEY: head.to_text()}}
    for bucket in sorted(layout.shards):
        shard = layout.shards[bucket]
        yield _object(gateway, "ConfigMap", shard.ref.name) | {"immutable": True, "data": {SHARD_KEY: shard.text}}
    by_object: dict[int, dict[str, str]] = {}
    for credential in sorted(values):
        by_object.setdefault(credential_object(credential), {})[credential] = base64.b64encode(values[credential]).decode()
    for number in sorted(by_object):
        secret = _object(gateway, "Secret", credential_object_name(gateway.map, number))
        secret["metadata"]["labels"][CREDENTIALS_LABEL] = CREDENTIALS_PUBLISHED
        yield secret | {"data": by_object[number]}


def _object(gateway: GatewaySpec, kind: str, name: str) -> KubernetesObject:
    metadata = {"name": name, "namespace": gateway.namespace, "labels": {MAP_LABEL: gateway.map}}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


def _placeholders(collected: Collected) -> SecretVersions:
    """Return a version for every reference, as if all of them could be resolved."""
    versions: dict[tuple[str, str], dict[str, CredentialVersion]] = {}
    for resource in resources_of(collected).values():
        for ref in resource.secret_refs:
            versions.setdefault((resource.namespace, ref.name), {})[ref.key] = CredentialVersion(_PLACEHOLDER, 0)
    return versions


def _missing_registries(plans: OfflinePlans, syncs: Mapping[str, SyncReport]) -> Iterator[str]:
    """Yield a note for every registry whose servers are not in the maps."""
    published = {uid: verdict for plan in plans.plans.values() for uid, verdict in plan.verdicts.items() if verdict.entry is not None}
    for uid, verdict in published.items():
        if isinstance(verdict.resource, RegistryResource) and uid not in syncs:
            registry_id = registry_id_of_entry(verdict.id)
            where = f"{REGISTRY_KIND} {verdict.resource.namespace}/{verdict.resource.name}"
            yield f"{where}: its servers are not in the map; give them with --registry-snapshot {registry_id}=FILE"
