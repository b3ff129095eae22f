"""`junctor registries`: what is in a registry, before it is added."""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from junctor.cli.output import print_line, table
from junctor.cli.registry_source import Options, Source, source_options
from junctor.cli.registry_text import server_text
from junctor.connectormap.entry import Entry
from junctor.net.formats import KubernetesObject
from junctor.registry.client import RegistryClient
from junctor.registry.errors import RegistryError
from junctor.registry.preview.details import PreviewedRegistry, UnknownServer, describe_server, read_records
from junctor.registry.preview.listing import Listing, Server, list_servers
from junctor.registry.scan import RegistryScan, ScanAborted
from junctor.registry.snapshot_file import SnapshotWriter

T = TypeVar("T")

COLUMNS = ("NAME", "VERSION", "STATUS", "TRANSPORT", "CONNECTOR")
EXAMPLE = """
\b
Examples:
  junctor registries search https://registry.example.com weather
  junctor registries show https://registry.example.com io.github.acme/weather
  junctor registries list --manifest registry.yaml
"""
LIST_EXAMPLE = """
\b
Examples:
  junctor registries list https://registry.example.com --limit 20
  junctor registries list https://registry.example.com --include 'io.github.acme/*' -o names
  junctor registries list --manifest registry.yaml --save snapshot.json.gz
  junctor registries list https://registry.example.com --bearer-file token --ca-file ca.pem
"""
SEARCH_EXAMPLE = """
\b
Examples:
  junctor registries search https://registry.example.com weather
  junctor registries search --manifest registry.yaml weather -o json
"""
SHOW_EXAMPLE = """
\b
Examples:
  junctor registries show https://registry.example.com io.github.acme/weather
  junctor registries show https://registry.example.com io.github.acme/weather --version 1.0.0
  junctor registries show --manifest registry.yaml io.github.acme/weather -o yaml
"""

limit_option = click.option("--limit", type=click.IntRange(1), help="Stop after so many servers. Default: all.")
output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "yaml", "names"]),
    default="table",
    show_default=True,
    help="Form of the answer; names: one on each line.",
)


def globs_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--include and --exclude."""
    include = click.option(
        "--include", multiple=True, metavar="GLOB", help="Only servers whose name matches; may be given several times. As filter.include."
    )
    exclude = click.option(
        "--exclude", multiple=True, metavar="GLOB", help="No servers whose name matches; may be given several times. As filter.exclude."
    )
    return include(exclude(command))


@click.group(epilog=EXAMPLE)
def registries() -> None:
    """Look into an MCP registry: which servers it has, which of them would become connectors, and what the others lack.

    Judges as the operator does: by a manifest with --manifest, else by an MCPRegistry without filter, credentials and allow* fields.
    """


@registries.command("list", epilog=LIST_EXAMPLE)
@click.argument("url", required=False)
@source_options
@globs_options
@limit_option
@click.option(
    "--save",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also write everything that the registry holds to this file, for junctor render --registry-snapshot.",
)
@output_option
def list_(
    url: str | None,
    options: Options,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    limit: int | None,
    save: Path | None,
    output: str,
) -> None:
    """List the servers of the registry at URL, and whether each would become a connector.

    Servers that the filter leaves out are only counted. The counts go to standard error.
    """
    if save is not None and limit is not None:
        raise click.UsageError("--save keeps the whole registry; remove --limit")
    _list(Source.of(url, options, _filters(include, exclude)), options, limit, save, output)


@registries.command("search", epilog=SEARCH_EXAMPLE)
@click.argument("words", nargs=-1, required=True, metavar="[URL] TEXT")
@source_options
@globs_options
@limit_option
@output_option
def search(
    words: tuple[str, ...], options: Options, include: tuple[str, ...], exclude: tuple[str, ...], limit: int | None, output: str
) -> None:
    """List the servers of the registry at URL whose names contain TEXT, without regard to case."""
    url, text = _address(words, options)
    _list(Source.of(url, options, {**_filters(include, exclude), "search": text}), options, limit, None, output)


@registries.command("show", epilog=SHOW_EXAMPLE)
@click.argument("words", nargs=-1, required=True, metavar="[URL] NAME")
@source_options
@click.option("--version", "version", help="The version to describe. Default: the one that would become a connector.")
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", show_default=True, help="Form of the answer.")
def show(words: tuple[str, ...], options: Options, version: str | None, output: str) -> None:
    """Show the server NAME of the registry at URL: its versions, where it runs, what it needs, and the credentials block for that."""
    url, name = _address(words, options)
    source = Source.of(url, options)
    records = _read(source, options, lambda client: read_records(client, name, version))
    try:
        found = describe_server(records, name, version, PreviewedRegistry(source.spec, source.rules, source.named))
    except UnknownServer as error:
        listed = ", ".join(error.versions[:10])
        hint = f"it has {listed}" if listed else "names differ by case, junctor registries search finds them"
        raise click.ClickException(f"{error}; {hint}") from error
    if output == "text":
        for line in server_text(found):
            print_line(line)
    else:
        _write(found, output)


def _list(source: Source, options: Options, limit: int | None, save: Path | None, output: str) -> None:
    saving: AbstractContextManager[SnapshotWriter | None] = nullcontext()
    try:
        with _progress() as show, SnapshotWriter(save, source.spec.url, datetime.now(UTC)) if save else saving as writer:
            listing = _read(source, options, lambda client: list_servers(client, source.rules, limit=limit, writer=writer, on_page=show))
    except OSError as error:
        raise click.ClickException(f"{save} cannot be written: {error.strerror}") from error
    match output:
        case "names":
            for server in listing.servers:
                print_line(server.name)
        case "table":
            if listing.servers:
                for line in table([COLUMNS, *map(_row, listing.servers)]):
                    print_line(line)
        case _:
            _write(_document(source, listing), output)
    print_line(listing.summary, err=True)


def _read(source: Source, options: Options, read: Callable[[RegistryClient], Coroutine[Any, Any, T]]) -> T:
    """Return what the registry answers. Raises ClickException."""

    async def reading() -> T:
        async with source.open(options) as client:
            return await read(client)

    try:
        return asyncio.run(reading())
    except RegistryError as error:
        raise click.ClickException(f"{error.reason}: {error.with_excerpt}") from error
    except ScanAborted as error:
        raise click.ClickException(f"the registry cannot be read to its end: {error}") from error


@contextmanager
def _progress() -> Iterator[Callable[[RegistryScan], None]]:
    """Give what to call after each page: on a terminal it counts. Registries do not say how many servers they have."""
    shown = False

    def show(scan: RegistryScan) -> None:
        nonlocal shown
        if scan.pages > 1 and sys.stderr.isatty():
            click.echo(f"\r{len(scan.servers)} servers on {scan.pages} pages", err=True, nl=False)
            shown = True

    try:
        yield show
    finally:
        if shown:
            click.echo("\r\x1b[K", err=True, nl=False)


def _address(words: Sequence[str], options: Options) -> tuple[str | None, str]:
    """URL and what follows it; with a manifest the URL may be left out."""
    if len(words) == 2:
        return words[0], words[1]
    if len(words) == 1 and options.manifest is not None:
        return None, words[0]
    raise click.UsageError("write a URL and one word after it; the URL may be left out with --manifest only")


def _filters(include: tuple[str, ...], exclude: tuple[str, ...]) -> KubernetesObject:
    return ({"include": list(include)} if include else {}) | ({"exclude": list(exclude)} if exclude else {})


def _row(server: Server) -> tuple[str, ...]:
    outcome = server.outcome
    fits = "yes" if isinstance(outcome, Entry) else f"{outcome.reason}: {outcome.detail}" if outcome.detail else str(outcome.reason)
    return tuple(cell or "-" for cell in (server.name, server.version, server.status, ",".join(server.transports), fits))


def _document(source: Source, listing: Listing) -> dict[str, object]:
    counts = {
        "found": listing.found,
        "connectors": listing.connectors,
        "whole": listing.whole,
        "skipped": {str(key): count for key, count in listing.skipped.items()},
    }
    return {"registry": source.spec.url, "servers": [_item(source, server) for server in listing.servers], "counts": counts}


def _item(source: Source, server: Server) -> dict[str, object]:
    item: dict[str, object] = {"name": server.name, "version": server.version, "status": server.status}
    item |= {"transports": list(server.transports), "connector": isinstance(server.outcome, Entry)}
    if isinstance(server.outcome, Entry):
        view = server.outcome.view
        texts = {"title": view.title, "description": view.description, "url": view.url}
        item |= {key: text for key, text in texts.items() if text}
        return item | ({"connectorID": server.outcome.id} if source.named else {})
    return item | {"reason": str(server.outcome.reason), "detail": server.outcome.detail}


def _write(value: Any, output: str) -> None:
    if output == "json":
        click.echo(json.dumps(value, indent=2))
        return
    import yaml

    # In ASCII, as JSON is: it may go to a terminal.
    click.echo(yaml.safe_dump(value, sort_keys=False), nl=False)
