"""Reads what has changed in a registry since the last sync, and decides what that means for each server that it names."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from junctor.api.conditions import SkipReason
from junctor.connectormap.entry import Entry
from junctor.net.timestamps import rfc3339
from junctor.registry.mapping import Skipped, map_server
from junctor.registry.reader import RegistryReader
from junctor.registry.records import InvalidRecord, ServerRecord
from junctor.registry.rules import MappingRules
from junctor.registry.scan import BestVersion, RegistryScan, ScanAborted
from junctor.registry.versions import are_comparable, is_newer

#: Servers whose versions are read one by one because the changes leave their current version open. Beyond, a full sync is cheaper.
_MAX_UNCLEAR: Final = 20
#: A full sync keeps less of each page, so it takes over beyond as many.
_MAX_PAGES: Final = 100

#: Bytes that the changes may take: 5,000 usual ones. Beyond, a full sync is cheaper.
_MAX_BYTES: Final = 4 * 1024**2
#: Bytes of memory that a changed server takes beside its texts.
_RECORD_BYTES: Final = 512

#: The clocks of a registry's servers differ, and a transaction may be committed after a later one was read.
_OVERLAP: Final = timedelta(minutes=5)


class ChangesUnclear(Exception):
    """Only a full sync can tell: the registry does not support the question, or the answer leaves too much open."""


@dataclass(slots=True)
class _ChangedServer:
    """The changed versions of one server. best: the newest that is not deleted. is_latest: whether the registry calls that the latest."""

    best: BestVersion | None = None
    is_latest: bool = False
    deleted: set[str] = field(default_factory=set)

    def add(self, record: ServerRecord, rules: MappingRules) -> int:
        """Add a version; the bytes that it may take."""
        size = _RECORD_BYTES + len(record.name) + len(record.version)
        if record.status == "deleted":
            self.deleted.add(record.version)
        elif self.best is None or is_newer(record.version, record.published_at, self.best.version, self.best.published_at):
            # Mapped at once, so that no record is kept.
            self.best = BestVersion(record.version, record.published_at, map_server(record, rules))
            self.is_latest = record.is_latest is True
            if isinstance(self.best.outcome, Entry):
                size += len(self.best.outcome.body)
        return size


async def changes_since(
    reader: RegistryReader, since: str, rules: MappingRules, published: Mapping[str, Entry]
) -> tuple[Mapping[str, BestVersion], datetime | None]:
    """Read what became of each server that has changed.

    Args:
        reader: of the registry.
        since: RFC 3339; the watermark of the last sync.
        rules: how servers are mapped.
        published: the published entries by connector id.

    Returns:
        The version to publish by server name, and the registry's clock when the first page was read.

    Raises:
        RegistryError: the registry could not be read.
        ScanAborted: the registry answers without end.
        ChangesUnclear: a full sync is needed.
    """
    changed, date = await _read_changes(reader, since, rules)
    changes: dict[str, BestVersion] = {}
    unclear: list[str] = []
    for name, server in changed.items():
        entry = published.get(rules.id_of(name))
        current = None if entry is None else entry.view.version
        if server.best is not None and _is_decisive(server.best, server.is_latest, current):
            changes[name] = server.best
        elif current in server.deleted or (server.best is not None and not _is_outdated(server.best, current)):
            unclear.append(name)
    if len(unclear) > _MAX_UNCLEAR:
        raise ChangesUnclear(f"the current versions of {len(unclear)} servers are not known")
    for name in unclear:
        scan = RegistryScan(rules, published)
        await asyncio.to_thread(scan.add_page, await reader.versions(name), None)
        if name not in scan.servers and changed[name].best is not None:
            raise ChangesUnclear(f"{name} has changed, but the registry does not list its versions")
        changes[name] = scan.servers.get(name, BestVersion("", 0.0, Skipped(SkipReason.DELETED)))
    return changes, date


async def _read_changes(reader: RegistryReader, since: str, rules: MappingRules) -> tuple[Mapping[str, _ChangedServer], datetime | None]:
    changed: dict[str, _ChangedServer] = {}
    cursors: set[str] = set()
    size = 0
    # All versions: not every registry knows the latest one of a server whose latest version was deleted.
    page = await reader.page(None, updated_since=since, search=rules.filter.search, latest=False)
    date = page.date
    while True:
        size += await asyncio.to_thread(_add_page, page.records, since, rules, changed)
        if size > _MAX_BYTES:
            raise ChangesUnclear(f"more than {_MAX_BYTES} bytes have changed")
        if page.next_cursor is None:
            return changed, date
        if page.next_cursor in cursors:
            raise ScanAborted("the registry leads from page to page of changes in a circle")
        cursors.add(page.next_cursor)
        if len(cursors) > _MAX_PAGES:
            raise ChangesUnclear(f"more than {_MAX_PAGES} pages have changed")
        page = await reader.page(page.next_cursor, updated_since=since, search=rules.filter.search, latest=False)


def watermark_of(date: datetime | None, requested_at: datetime) -> str:
    """Return where the next incremental sync begins: by the registry's clock, unless that is far from ours.

    date: the registry's clock at the first page of this sync. requested_at: our clock then.
    """
    began = date if date is not None and abs(date - requested_at) < timedelta(days=1) else requested_at
    return rfc3339(began - _OVERLAP)


def _add_page(records: Iterable[Any], since: str, rules: MappingRules, changed: dict[str, _ChangedServer]) -> int:
    """Add the records of a page; the bytes that they may take. For a thread: a page may be large."""
    size = 0
    for raw in records:
        try:
            record = ServerRecord.parse(raw)
        except InvalidRecord:
            continue  # the next full sync counts it
        _check_updated_since(record, since)
        size += changed.setdefault(record.name, _ChangedServer()).add(record, rules)
    return size


def _check_updated_since(record: ServerRecord, since: str) -> None:
    """Detect a registry that ignores updated_since and lists everything. Raises ChangesUnclear."""
    try:
        updated = datetime.fromisoformat(record.updated_at)
        if updated >= datetime.fromisoformat(since):
            return
    except (ValueError, TypeError):
        pass
    raise ChangesUnclear(f"{record.name} is among the changes since {since} and was not updated since, or does not say when")


def _is_decisive(best: BestVersion, is_latest: bool, current: str | None) -> bool:
    """Whether a changed version is certainly the one to publish. current: the published version."""
    if current is None or not are_comparable(best.version, current):
        return is_latest
    return best.version == current or is_newer(best.version, 0.0, current, 0.0)


def _is_outdated(best: BestVersion, current: str | None) -> bool:
    """Whether a changed version that is not decisive is certainly older than the published one."""
    return current is not None and are_comparable(best.version, current)
