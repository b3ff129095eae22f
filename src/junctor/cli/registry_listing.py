"""Walks over a registry and says of each server whether it would become a connector, as the operator decides it."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click

from junctor.api.conditions import SkipReason
from junctor.cli.registry_source import Source
from junctor.connectormap.entry import Entry
from junctor.registry.client import RegistryClient
from junctor.registry.mapping import Skipped
from junctor.registry.reader import Page
from junctor.registry.records import InvalidRecord, ServerRecord
from junctor.registry.rules import MappingRules
from junctor.registry.scan import RegistryScan
from junctor.registry.snapshot_file import SnapshotWriter

#: Left out on purpose: counted, not listed.
_NOT_LISTED = frozenset({SkipReason.FILTERED, SkipReason.DELETED})


class _Told(NamedTuple):
    """What a record says of its server. transports: of its remotes, each once."""

    version: str
    status: str
    transports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Server:
    """A server. status, transports: unknown ("", none) of a record that cannot be read."""

    name: str
    version: str
    status: str
    transports: tuple[str, ...]
    outcome: Entry | Skipped


@dataclass(slots=True)
class Listing:
    """What a scan found. servers: those that the filter lets through. found: all. skipped: how many, by reason. whole: the scan came to
    the registry's end.
    """

    servers: list[Server] = field(default_factory=list)
    found: int = 0
    connectors: int = 0
    skipped: Counter[SkipReason] = field(default_factory=Counter)
    whole: bool = True

    @property
    def summary(self) -> str:
        """In one sentence."""
        reasons = ", ".join(f"{reason} {count}" for reason, count in self.skipped.most_common())
        found = f"{self.found} server{'' if self.found == 1 else 's'}"
        others = f", {self.skipped.total()} not ({reasons})" if reasons else ""
        return f"{found}{'' if self.whole else ' read, there are more'}: {self.connectors} would become connectors{others}"


async def list_servers(source: Source, client: RegistryClient, *, limit: int | None, save: Path | None) -> Listing:
    """Scan until there are `limit` servers to list, or to the end. save: where to keep all records; then the whole registry is read.

    Raises RegistryError, ScanAborted, OSError.
    """
    # A snapshot serves other filters, too.
    search = None if save else source.rules.filter.search
    scan, told = RegistryScan(source.rules, {}), dict[str, _Told]()
    saving: AbstractContextManager[SnapshotWriter | None]
    saving = SnapshotWriter(save, source.spec.url, datetime.now(UTC)) if save else nullcontext()
    with saving as writer, _progress(scan) as show:
        while True:
            page = await client.page(scan.cursor, search=search)
            if writer is not None:
                writer.add(page.records)
            scan.add_page(page.records, page.next_cursor)
            _note(page, scan, told)
            show()
            if scan.cursor is None or (limit is not None and _listed(scan) > limit):
                return _listing(scan, told, source.rules, limit)


def _note(page: Page, scan: RegistryScan, told: dict[str, _Told]) -> None:
    """Remember what the records say that the scan chose."""
    for raw in page.records:
        with suppress(InvalidRecord):
            record = ServerRecord.parse(raw)
            if scan.servers[record.name].version == record.version:
                transports = tuple(dict.fromkeys(remote.type for remote in record.remotes))
                told[record.name] = _Told(record.version, record.status, transports)


def _listed(scan: RegistryScan) -> int:
    return sum(_is_listed(seen.outcome) for seen in scan.servers.values())


def _is_listed(outcome: Entry | Skipped) -> bool:
    return isinstance(outcome, Entry) or outcome.reason not in _NOT_LISTED


def _listing(scan: RegistryScan, told: Mapping[str, _Told], rules: MappingRules, limit: int | None) -> Listing:
    listing = Listing(found=len(scan.servers), whole=scan.cursor is None)
    # Beyond filter.maxConnectors the operator leaves out the last ones in the order of their names.
    left_out = {entry.id for _, entry in list(scan.entries())[rules.max_connectors :]}
    for name, seen in scan.servers.items():
        outcome: Entry | Skipped = seen.outcome
        if isinstance(outcome, Entry) and outcome.id in left_out:
            outcome = Skipped(SkipReason.LIMIT_REACHED)
        if isinstance(outcome, Entry):
            listing.connectors += 1
        else:
            listing.skipped[outcome.reason] += 1
        if _is_listed(outcome) and (limit is None or len(listing.servers) < limit):
            version, status, transports = told.get(name) or _Told(seen.version, "", ())
            listing.servers.append(Server(name, version, status, transports, outcome))
    listing.servers.sort(key=lambda server: server.name)
    return listing


@contextmanager
def _progress(scan: RegistryScan) -> Iterator[Any]:
    """Gives what to call after each page: on a terminal it counts; registries do not say how many servers they have."""
    shown = False

    def show() -> None:
        nonlocal shown
        if scan.pages > 1 and sys.stderr.isatty():
            click.echo(f"\r{len(scan.servers)} servers on {scan.pages} pages", err=True, nl=False)
            shown = True

    try:
        yield show
    finally:
        if shown:
            click.echo("\r\x1b[K", err=True, nl=False)
