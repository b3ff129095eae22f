"""`junctor render`: the connector map that manifests lead to."""

import sys
from pathlib import Path

import click

from junctor.cli.options import manifests_argument, operator_config_option, operator_configuration
from junctor.cli.output import print_line, yaml_text
from junctor.cli.registry_snapshots import SnapshotArgument, snapshots_option, synced_snapshots
from junctor.offline.collect import collect
from junctor.offline.plan import default_configuration, resources_of
from junctor.offline.problems import InputError
from junctor.offline.render import render_maps

EXAMPLE = """
\b
Examples:
  junctor render connectors/ > map.yaml
  junctor render connectors/ --with-credentials > map.yaml && junctor gateway --map file:map.yaml
  junctor render - --config operator.yaml < github.yaml
  junctor render registry.yaml --registry-snapshot internal=snapshot.json.gz
"""


@click.command(epilog=EXAMPLE)
@manifests_argument
@operator_config_option
@click.option("--namespace", default="junctor", show_default=True, help="Namespace of the map, without --config.")
@click.option("--map", "map_name", default="junctor-connectors", show_default=True, help="Name of the map, without --config.")
@click.option(
    "--with-credentials",
    is_flag=True,
    help="Also print the credential Secrets, with the values of the Secrets among the manifests. Without this, versions are sixteen zeros.",
)
@snapshots_option
def render(
    paths: tuple[str, ...],
    config: Path | None,
    namespace: str,
    map_name: str,
    with_credentials: bool,
    snapshots: tuple[SnapshotArgument, ...],
) -> None:
    """Print the connector map as YAML (ConfigMaps, with --with-credentials Secrets too), made by the operator's own planner.

    The same input gives the same output. Problems go to standard error; valid resources are printed nevertheless, with exit code 1.
    """
    configuration = default_configuration(namespace, map_name) if config is None else operator_configuration(config)
    try:
        collected = collect(paths, sys.stdin.buffer)
    except InputError as error:
        raise click.UsageError(str(error)) from error
    syncs = synced_snapshots(snapshots, resources_of(collected))
    rendering = render_maps(collected, configuration, syncs, with_credentials=with_credentials)
    for item in rendering.objects:
        click.echo(f"---\n{yaml_text(item)}", nl=False)
    for line in (*rendering.problems, *(f"note: {note}" for note in rendering.notes)):
        print_line(str(line), err=True)
    if any(problem.severity == "error" for problem in rendering.problems):
        sys.exit(1)
