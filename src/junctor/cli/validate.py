"""`junctor validate`: what the API server and the operator would say about manifests."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from junctor.cli.offline import (
    Problem,
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

EXAMPLE = """
\b
Examples:
  junctor validate connectors/
  junctor validate github.yaml --config operator.yaml
  kustomize build . | junctor validate - --output json
"""


@click.command(epilog=EXAMPLE)
@paths_argument
@config_option
@click.option("--strict-references", is_flag=True, help="A Secret that is not among the manifests is an error, not a warning.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Form of the answer.")
def validate(paths: tuple[str, ...], config: Path | None, strict_references: bool, output: str) -> None:
    """Check manifests without a cluster; - is standard input.

    Says what `kubectl apply` would refuse (unknown fields too) and what the operator would report afterwards: ids that conflict or are
    reserved, sizes, references. Prints file:line:column: message; exit code 1 when something is wrong, warnings aside.
    """
    configuration = configuration_of(config)
    collected = collect(paths)
    resources = resources_of(collected)
    secrets = snapshot_of(collected, configuration).inputs().secrets
    plans = {gateway.name: plan_of(gateway, collected, resources, secrets) for gateway in configuration.gateways}
    found = findings(configuration, collected, resources, plans, strict_references=strict_references)
    problems = in_order([*collected.problems, *found])
    errors = sum(problem.severity == "error" for problem in problems)
    _print(problems, errors, len(collected.objects), collected.files, output)
    if not collected.objects and not problems:
        # As kubectl apply does: the output of a failed command in a pipe must not pass.
        raise click.ClickException("no objects passed to validate")
    if errors:
        sys.exit(1)


def _print(problems: list[Problem], errors: int, objects: int, files: int, output: str) -> None:
    warnings = len(problems) - errors
    if output == "json":
        summary = {"files": files, "objects": objects, "errors": errors, "warnings": warnings}
        click.echo(json.dumps({**summary, "problems": [asdict(problem) for problem in problems]}, indent=2))
        return
    for problem in problems:
        click.echo(str(problem))
    checked = f"{_count(objects, 'object')} in {_count(files, 'file')}"
    found = f"{_count(errors, 'error')}, {_count(warnings, 'warning')}" if problems else "no problems"
    click.echo(f"{checked}: {found}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
