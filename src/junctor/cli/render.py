"""`junctor render`: the connector map that manifests lead to."""

import base64
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from junctor.api.configuration import GatewaySpec
from junctor.api.names import CREDENTIALS_LABEL, CREDENTIALS_PUBLISHED, MAP_LABEL, REGISTRY_KIND
from junctor.api.resources import RegistryResource, Resource
from junctor.api.sync_report import SyncReport
from junctor.cli.offline import (
    collect,
    config_option,
    configuration_of,
    findings,
    in_order,
    paths_argument,
    plan_of,
    resources_of,
    snapshot_of,
)
from junctor.cli.registry_snapshots import Given, snapshots_option, syncs_of
from junctor.connectormap.connector_map import (
    HEAD_KEY,
    SHARD_KEY,
    Head,
    Layout,
    credential_object,
    credential_object_name,
)
from junctor.connectormap.ids import REGISTRY_ID_PREFIX
from junctor.planning.inputs import CredentialVersion, SecretVersions
from junctor.planning.plan import GatewayPlan
from junctor.reconcile.map_state import MapState

#: What a credential's version is when no value is known: of the same form, and never that of a value.
PLACEHOLDER: Final = "0" * 16
INSTALLATION: Final = "render"
EXAMPLE = """
\b
Examples:
  junctor render connectors/ > map.yaml
  junctor render connectors/ --with-credentials > map.yaml && junctor gateway --map file:map.yaml
  junctor render - --config operator.yaml < github.yaml
  junctor render registry.yaml --registry-snapshot internal=snapshot.json.gz
"""


@click.command(epilog=EXAMPLE)
@paths_argument
@config_option
@click.option("--namespace", default="junctor", show_default=True, help="Namespace of the map, without --config.")
@click.option("--map", "map_name", default="junctor-connectors", show_default=True, help="Name of the map, without --config.")
@click.option(
    "--with-credentials",
    is_flag=True,
    help="Also print the credential Secrets, with the values of the Secrets among the manifests. Without: versions are sixteen zeros.",
)
@snapshots_option
def render(
    paths: tuple[str, ...], config: Path | None, namespace: str, map_name: str, with_credentials: bool, snapshots: tuple[Given, ...]
) -> None:
    """Print the connector map as YAML (ConfigMaps, with --with-credentials Secrets too), made by the operator's own planner.

    The same input gives the same output. Problems go to standard error; what is valid is printed nevertheless, with exit code 1.
    """
    configuration = configuration_of(config, namespace, map_name)
    collected = collect(paths)
    resources = resources_of(collected)
    snapshot = snapshot_of(collected, configuration)
    secrets = snapshot.inputs().secrets if with_credentials else _placeholders(resources)
    syncs = syncs_of(snapshots, resources)
    plans: dict[str, GatewayPlan] = {}
    for gateway in configuration.gateways:
        plan = plans[gateway.name] = plan_of(gateway, collected, resources, secrets, syncs)
        values = snapshot.credential_values(plan.credentials) if with_credentials else {}
        _print(documents(gateway, plan, values))
    found = findings(configuration, collected, resources, plans, strict_references=with_credentials)
    problems = in_order([*collected.problems, *found])
    for problem in problems:
        click.echo(str(problem), err=True)
    for note in _notes(plans, syncs):
        click.echo(note, err=True)
    if any(problem.severity == "error" for problem in problems):
        sys.exit(1)


def documents(gateway: GatewaySpec, plan: GatewayPlan, values: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    """The objects of a map: head, shards in the order of their buckets, credential Secrets for `values`."""
    state, _ = MapState(Layout(gateway.map, {})).successor(plan, 1)
    layout = state.layout
    head = Head(INSTALLATION, 1, 1, state.revision, state.connectors, layout.refs(), registries=plan.records)
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


def _object(gateway: GatewaySpec, kind: str, name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": gateway.namespace, "labels": {MAP_LABEL: gateway.map}}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


def _notes(plans: Mapping[str, GatewayPlan], syncs: Mapping[str, SyncReport]) -> Iterator[str]:
    """What is not in the map although it would be."""
    published = {uid: verdict for plan in plans.values() for uid, verdict in plan.verdicts.items() if verdict.entry is not None}
    for uid, verdict in published.items():
        if isinstance(verdict.resource, RegistryResource) and uid not in syncs:
            registry_id = verdict.id.removeprefix(REGISTRY_ID_PREFIX)
            where = f"{REGISTRY_KIND} {verdict.resource.namespace}/{verdict.resource.name}"
            yield f"note: {where}: its servers are not in the map; give them with --registry-snapshot {registry_id}=FILE"


def _placeholders(resources: Mapping[str, Resource]) -> SecretVersions:
    """Every reference as if it were resolved."""
    versions: dict[tuple[str, str], dict[str, CredentialVersion]] = {}
    for resource in resources.values():
        for ref in resource.secret_refs():
            versions.setdefault((resource.namespace, ref.name), {})[ref.key] = CredentialVersion(PLACEHOLDER, 0)
    return versions


def _print(objects: Iterator[dict[str, Any]]) -> None:
    import yaml

    base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # in C where there is one: maps can be large

    class Dumper(base):  # type: ignore[misc]  # chosen when the program runs
        """Texts of several lines as blocks, so that a shard shows one connector on each line."""

    def text(dumper: Any, value: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    for item in objects:
        document = yaml.dump(item, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=2**31 - 1)
        click.echo(f"---\n{document}", nl=False)
