"""`junctor status`: what `kubectl get mcpc,mcpr` would show of a running standalone, and what is wrong with its files."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

from junctor.api.conditions import Conditions, StoredCondition
from junctor.api.names import CONNECTOR_KIND, REGISTRY_KIND
from junctor.cli.output import print_line, table, yaml_text
from junctor.standalone.summary import ResourceSummary, Summary

COLUMNS: Final = ("NAMESPACE", "NAME", "ID", "URL", "ACCEPTED", "PROGRAMMED", "READY", "AGE")
REGISTRY_COLUMNS: Final = ("NAMESPACE", "NAME", "ID", "URL", "SYNCED", "PUBLISHED", "LAST SYNC", "READY", "AGE")
#: Paths of the management port; see `junctor.standalone.resources`, which is not imported because it needs a web server.
RESOURCES_PATH: Final = "/-/resources"
OBJECTS_PATH: Final = "/-/objects"
_TIMEOUT: Final = 5.0
EXAMPLE = """
\b
Examples:
  junctor status
  junctor status -o wide
  junctor status -o yaml
  junctor status --management http://127.0.0.1:9001 -o json
"""


@click.command(epilog=EXAMPLE)
@click.option(
    "--management",
    default="http://127.0.0.1:8322",
    show_default=True,
    envvar="JUNCTOR_MANAGEMENT",
    show_envvar=True,
    metavar="URL",
    help="Management port of the standalone to ask.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "yaml", "json"]),
    default="table",
    show_default=True,
    help="wide adds messages, and why servers of registries are skipped. yaml prints the whole objects, as kubectl get -o yaml does; "
    "json prints them with the problems of files and the last events.",
)
def status(management: str, output: str) -> None:
    """Show connectors and registries of a running `junctor standalone`, what is wrong with them and their manifests, and what to do.

    In a cluster, use kubectl get mcpc,mcpr.
    """
    if output == "yaml":
        click.echo(yaml_text(fetch(management, OBJECTS_PATH), sort_keys=True), nl=False)
        return
    answer: Summary = fetch(management, RESOURCES_PATH)
    if output == "json":
        click.echo(json.dumps({**fetch(management, OBJECTS_PATH), **answer}, indent=2))
        return
    for line in report(answer, wide=output == "wide", now=datetime.now(UTC)):
        print_line(line)


def fetch(management: str, path: str) -> Any:
    """Return the JSON object at a path of a standalone's management port. Raises ClickException."""
    import httpx

    try:
        response = httpx.get(f"{management.rstrip('/')}{path}", timeout=_TIMEOUT, trust_env=False)
        response.raise_for_status()
        answer = response.json()
    except httpx.HTTPStatusError as error:
        raise click.ClickException(
            f"{management} answered {error.response.status_code}; is it the management port of a junctor standalone?"
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = str(error) or type(error).__name__
        raise click.ClickException(f"no standalone answers at {management} ({why}); start one, or name it with --management") from error
    except ValueError as error:
        raise click.ClickException(f"{management} did not answer with JSON; is it the management port of a junctor standalone?") from error
    if not isinstance(answer, dict):
        raise click.ClickException(f"{management} did not answer as a junctor standalone does")
    return answer


def report(answer: Summary, *, wide: bool, now: datetime) -> Iterable[str]:
    """Yield the lines to print. now: what ages are measured against."""
    connectors = [resource for resource in answer["resources"] if resource["kind"] == CONNECTOR_KIND]
    registries = [resource for resource in answer["resources"] if resource["kind"] == REGISTRY_KIND]
    if connectors or not registries:
        yield from _connectors(connectors, answer["manifests"], wide, now)
    if registries:
        yield from ("",) if connectors else ()
        header = (*REGISTRY_COLUMNS, "SKIPPED", "MESSAGE") if wide else REGISTRY_COLUMNS
        yield from table([header, *(_registry_row(resource, wide, now) for resource in registries)])
    yield from _unmet_lines("Not ready:", "Ready", [*connectors, *registries])
    yield from _unmet_lines("Not in sync (what was published before stays):", "Synced", registries)
    if answer["problems"]:
        yield ""
        yield "Files with problems (their last good content stays in use):"
        for problem in answer["problems"]:
            place = "".join(f":{number}" for number in (problem["line"], problem["column"]) if number is not None)
            yield f"  {problem['file']}{place}: {problem['message']}"


def _connectors(connectors: Sequence[ResourceSummary], manifests: str, wide: bool, now: datetime) -> Iterable[str]:
    if connectors:
        header = (*COLUMNS, "MESSAGE") if wide else COLUMNS
        yield from table([header, *(_row(resource, wide, now) for resource in connectors)])
    else:
        yield f"No connectors. Put an MCPConnector manifest into {manifests}; junctor validate checks it beforehand."


def _unmet_lines(title: str, kind: str, resources: Sequence[ResourceSummary]) -> Iterable[str]:
    """Yield the resources whose condition is not True, and why."""
    unmet = [resource for resource in resources if not _condition(resource, kind).is_true]
    if unmet:
        yield from ("", title)
    for resource in unmet:
        metadata, condition = resource["metadata"], _condition(resource, kind)
        why = f"{condition.reason}: {condition.message}" if condition.reason else "Pending: not processed yet"
        yield f"  {metadata['namespace']}/{metadata['name']}: {why}"


def _row(resource: ResourceSummary, wide: bool, now: datetime) -> tuple[str, ...]:
    metadata = resource["metadata"]
    row = (
        metadata.get("namespace", ""),
        metadata["name"],
        resource["status"].get("connectorID") or "<none>",
        resource["spec"].get("url") or "<none>",
        *(_condition(resource, kind).status for kind in ("Accepted", "Programmed", "Ready")),
        _age(metadata.get("creationTimestamp", ""), now),
    )
    return (*row, _condition(resource, "Ready").message) if wide else row


def _registry_row(resource: ResourceSummary, wide: bool, now: datetime) -> tuple[str, ...]:
    metadata, status = resource["metadata"], resource["status"]
    row = (
        metadata.get("namespace", ""),
        metadata["name"],
        status.get("registryID") or "<none>",
        resource["spec"].get("url") or "<none>",
        _condition(resource, "Synced").status,
        str(status.get("published", "<none>")),
        _age(status["lastSyncTime"], now) if status.get("lastSyncTime") else "<none>",
        _condition(resource, "Ready").status,
        _age(metadata.get("creationTimestamp", ""), now),
    )
    skipped = ", ".join(f"{item['reason']} {item['count']}" for item in status.get("skipped") or ())
    return (*row, skipped or "<none>", _condition(resource, "Ready").message) if wide else row


def _condition(resource: ResourceSummary, kind: str) -> StoredCondition:
    return Conditions(resource["status"])[kind]


def _age(created: str, now: datetime) -> str:
    try:
        seconds = max(0, int((now - datetime.fromisoformat(created)).total_seconds()))
    except (TypeError, ValueError):
        return "<unknown>"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
