"""What registries hold, from files instead of a sync: `--registry-snapshot ID=FILE` of `junctor render`."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from junctor.api.registry import effective_registry_id
from junctor.api.resources import RegistryResource, Resource
from junctor.api.sync_report import SyncReport
from junctor.connectormap.ids import is_registry_id
from junctor.registry.rules import MappingRules
from junctor.registry.snapshot_file import SnapshotError, open_snapshot
from junctor.registry.sync import RegistrySync


class Given(NamedTuple):
    """An ID=FILE."""

    registry_id: str
    file: Path


class _IDAndFile(click.ParamType[Given]):
    name = "id=file"

    def convert(self, value: str | Given, param: click.Parameter | None, ctx: click.Context | None) -> Given:
        if isinstance(value, Given):
            return value
        registry_id, separator, file = value.partition("=")
        if not separator or not is_registry_id(registry_id):
            self.fail(f"{value!r} does not begin with the id of a registry and '='; for example internal=snapshot.json.gz", param, ctx)
        return Given(registry_id, Path(file))


snapshots_option = click.option(
    "--registry-snapshot",
    "snapshots",
    type=_IDAndFile(),
    metavar="ID=FILE",
    multiple=True,
    help="What the MCPRegistry with this id holds, from junctor registries list --save; may be given several times. Without: none of its "
    "servers are printed.",
)


def syncs_of(snapshots: Sequence[Given], resources: Mapping[str, Resource]) -> dict[str, SyncReport]:
    """The report of a sync with each snapshot, by the uid of the resource. Raises UsageError, and ClickException for a bad file."""
    files = dict(snapshots)
    syncs: dict[str, SyncReport] = {}
    used = set()
    for uid, resource in resources.items():
        if not isinstance(resource, RegistryResource) or resource.spec is None:
            continue
        registry_id = effective_registry_id(resource.raw_spec, resource.name)
        if registry_id in files:
            used.add(registry_id)
            rules = MappingRules.of(resource.spec, registry_id, resource.namespace)
            syncs[uid] = _report(files[registry_id], rules, resource.generation)
    for registry_id in files.keys() - used:
        raise click.UsageError(f"--registry-snapshot {registry_id}: no valid MCPRegistry in the input has this id")
    return syncs


def _report(file: Path, rules: MappingRules, generation: int) -> SyncReport:
    try:
        with open_snapshot(file) as reader:
            sync = RegistrySync(rules, None, now=lambda: reader.taken)
            result = asyncio.run(sync.full(reader))
    except SnapshotError as error:
        raise click.ClickException(str(error)) from error
    if not result.complete:
        raise click.ClickException(f"{file}: {result.finding.message}")
    return SyncReport(
        generation=generation,
        synced=result.finding,
        discovered=result.discovered,
        current=True,
        counts=result.counts,
    )
