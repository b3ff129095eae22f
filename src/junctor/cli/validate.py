"""`junctor validate`: what the API server and the operator would say about manifests."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from junctor.cli.options import manifests_argument, operator_config_option, operator_configuration
from junctor.cli.output import print_line
from junctor.offline.collect import collect
from junctor.offline.plan import default_configuration
from junctor.offline.problems import InputError, Problem
from junctor.offline.validate import validate_manifests

EXAMPLE = """
\b
Examples:
  junctor validate connectors/
  junctor validate github.yaml --config operator.yaml
  kustomize build . | junctor validate - --output json
"""


@click.command(epilog=EXAMPLE)
@manifests_argument
@operator_config_option
@click.option("--strict-references", is_flag=True, help="Report a Secret that is not among the manifests as an error, not as a warning.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Format of the output.")
def validate(paths: tuple[str, ...], config: Path | None, strict_references: bool, output: str) -> None:
    """Check manifests without a cluster; - is standard input.

    Reports what `kubectl apply` would refuse (including unknown fields) and what the operator would report afterwards: conflicting or
    reserved ids, sizes, references. Prints file:line:column: message. The exit code is 1 when there is an error; warnings do not count.
    Files of a directory that are no manifests, such as Helm values files, are passed over with a note on standard error.
    """
    configuration = default_configuration() if config is None else operator_configuration(config)
    try:
        collected = collect(paths, sys.stdin.buffer)
    except InputError as error:
        raise click.UsageError(str(error)) from error
    problems = validate_manifests(collected, configuration, strict_references=strict_references)
    errors = sum(problem.severity == "error" for problem in problems)
    _print(problems, errors, len(collected.objects), collected.files, output)
    for note in collected.notes:
        print_line(f"note: {note}", err=True)
    if not collected.objects and not problems:
        # Like kubectl apply: the output of a failed command in a pipe must not pass.
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
        print_line(str(problem))
    checked = f"{_count(objects, 'object')} in {_count(files, 'file')}"
    result = f"{_count(errors, 'error')}, {_count(warnings, 'warning')}" if problems else "no problems"
    print_line(f"{checked}: {result}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
