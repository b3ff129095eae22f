"""What has changed in a registry since the last sync, and what that means for each server that it concerns."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from junctor.api.conditions import SkipReason
from junctor.connectormap.connector_map import Entry
from junctor.net.timestamps import rfc3339
from junctor.registry.client import RegistryClient
from junctor.registry.mapping import Skipped, map_server
from junctor.registry.records import InvalidRecord, ServerRecord
from junctor.registry.rules import MappingRules
from junctor.registry.scan import BestVersion, RegistryScan, ScanAborted
from junctor.registry.versions import can_tell, is_newer

#: Servers whose current version cannot be told from what has changed; beyond, a whole scan is cheaper.
_MAX_DOUBTS: Final = 20
#: As many changes are read again by a scan, which keeps less of each.
_MAX_PAGES: Final = 100

#: The clocks of a registry's servers differ, and a transaction can end after a later one was best.
_OVERLAP: Final = timedelta(minutes=5)

#: What became of each server that changed, by name.
Outcomes = Mapping[str, BestVersion]


class CannotTell(Exception):
    """What has changed is not enough to know: the registry does not understand the question, or answers with too much."""


@dataclass(slots=True)
class _Changed:
    """The rows about one server. best: the newest version that is not deleted; is_latest: whether the registry calls it so."""

    best: BestVersion | None = None
    is_latest: bool = False
    deleted: set[str] = field(default_factory=set)

    def add(self, record: ServerRecord, rules: MappingRules) -> None:
        if record.status == "deleted":
            self.deleted.add(record.version)
        elif self.best is None or is_newer(record.version, record.published_at, self.best.version, self.best.published_at):
            # Mapped at once, so that no record is kept.
            self.best = BestVersion(record.version, record.published_at, map_server(record, rules))
            self.is_latest = record.is_latest is True


async def outcomes_since(
    client: RegistryClient, since: str, rules: MappingRules, published: Mapping[str, Entry]
) -> tuple[Outcomes, datetime | None]:
    """What became of each server that changed, and the registry's clock at the beginning.

    Raises RegistryError, ScanAborted, and CannotTell when a whole scan is needed.
    """
    changed, date = await _rows(client, since, rules)
    outcomes: dict[str, BestVersion] = {}
    doubts: list[str] = []
    for name, rows in changed.items():
        entry = published.get(rules.id_of(name))
        current = None if entry is None else entry.view.version
        if rows.best is not None and _decides(rows.best, rows.is_latest, current):
            outcomes[name] = rows.best
        elif current in rows.deleted or (rows.best is not None and not _is_older(rows.best, current)):
            doubts.append(name)
    if len(doubts) > _MAX_DOUBTS:
        raise CannotTell(f"the current versions of {len(doubts)} servers are not known")
    for name in doubts:
        scan = RegistryScan(rules, published)
        await asyncio.to_thread(scan.add_page, await client.versions(name), None)
        if name not in scan.servers and changed[name].best is not None:
            raise CannotTell(f"{name} has changed, but its versions are not told")
        outcomes[name] = scan.servers.get(name, BestVersion("", 0.0, Skipped(SkipReason.DELETED)))
    return outcomes, date


async def _rows(client: RegistryClient, since: str, rules: MappingRules) -> tuple[Mapping[str, _Changed], datetime | None]:
    changed: dict[str, _Changed] = {}
    cursors: set[str] = set()
    # Every version: the latest one of a server whose latest was deleted is not known to every registry.
    page = await client.page(None, updated_since=since, search=rules.filter.search, latest=False)
    date = page.date
    while True:
        await asyncio.to_thread(_take, page.records, since, rules, changed)
        if page.next_cursor is None:
            return changed, date
        if page.next_cursor in cursors:
            raise ScanAborted("the registry leads from page to page of changes in a circle")
        cursors.add(page.next_cursor)
        if len(cursors) > _MAX_PAGES:
            raise CannotTell(f"more than {_MAX_PAGES} pages have changed")
        page = await client.page(page.next_cursor, updated_since=since, search=rules.filter.search, latest=False)


def watermark_of(date: datetime | None, asked: datetime) -> str:
    """Where the next incremental sync begins: by the registry's clock, unless that is far from ours. asked: when this one began."""
    told = date if date is not None and abs(date - asked) < timedelta(days=1) else asked
    return rfc3339(told - _OVERLAP)


def _take(records: Iterable[Any], since: str, rules: MappingRules, changed: dict[str, _Changed]) -> None:
    """Add the rows of a page. For a thread: a page may be large."""
    for raw in records:
        try:
            record = ServerRecord.parse(raw)
        except InvalidRecord:
            continue  # the next whole scan counts it
        _check_time(record, since)
        changed.setdefault(record.name, _Changed()).add(record, rules)


def _check_time(record: ServerRecord, since: str) -> None:
    """Notice a registry that answers updated_since with everything."""
    try:
        updated = datetime.fromisoformat(record.updated_at)
        if updated >= datetime.fromisoformat(since):
            return
    except (ValueError, TypeError):
        pass
    raise CannotTell(f"{record.name} is among the changes since {since} and was not updated since, or does not say when")


def _decides(best: BestVersion, is_latest: bool, current: str | None) -> bool:
    """Whether a changed version is the one to publish, for all that is known. is_latest: whether the registry calls it so."""
    if current is None or not can_tell(best.version, current):
        return is_latest
    return best.version == current or is_newer(best.version, 0.0, current, 0.0)


def _is_older(best: BestVersion, current: str | None) -> bool:
    """Whether a changed version certainly does not matter, because a newer one is published."""
    return current is not None and can_tell(best.version, current)
