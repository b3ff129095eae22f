"""`--registry-snapshot ID=FILE` of `junctor render`: registries are read from files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from junctor.api.resources import Resource
from junctor.api.sync_report import SyncReport
from junctor.connectormap.ids import is_registry_id
from junctor.registry.preview.snapshots import UnknownRegistry, sync_snapshots
from junctor.registry.snapshot_file import SnapshotError


class SnapshotArgument(NamedTuple):
    """A registry and the file with its servers."""

    registry_id: str
    file: Path


class _IDAndFile(click.ParamType[SnapshotArgument]):
    name = "id=file"

    def convert(self, value: str | SnapshotArgument, param: click.Parameter | None, ctx: click.Context | None) -> SnapshotArgument:
        if isinstance(value, SnapshotArgument):
            return value
        registry_id, separator, file = value.partition("=")
        if not separator or not is_registry_id(registry_id):
            self.fail(f"{value!r} does not begin with the id of a registry and '='; for example internal=snapshot.json.gz", param, ctx)
        return SnapshotArgument(registry_id, Path(file))


snapshots_option = click.option(
    "--registry-snapshot",
    "snapshots",
    type=_IDAndFile(),
    metavar="ID=FILE",
    multiple=True,
    help="What the MCPRegistry with this id holds, from junctor registries list --save; may be given several times. Without: none of its "
    "servers are printed.",
)


def synced_snapshots(snapshots: Sequence[SnapshotArgument], resources: Mapping[str, Resource]) -> dict[str, SyncReport]:
    """Sync registries from their snapshots; the reports by the uid of the resource. Raises UsageError, ClickException for a bad file."""
    try:
        return sync_snapshots(dict(snapshots), resources)
    except UnknownRegistry as error:
        raise click.UsageError(f"--registry-snapshot {error.registry_id}: no valid MCPRegistry in the input has this id") from error
    except SnapshotError as error:
        raise click.ClickException(str(error)) from error
