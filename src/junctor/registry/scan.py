"""Scans a registry page by page for the best version of each server, mapped at once, so that no record is kept."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, NamedTuple

from junctor.api.conditions import SkipReason
from junctor.api.limits import DEFAULT_LIMITS, weight_of
from junctor.connectormap.entry import Entry
from junctor.registry.mapping import Skipped, map_server
from junctor.registry.reader import Page, PageReader
from junctor.registry.records import InvalidRecord, ServerRecord
from junctor.registry.rules import MappingRules
from junctor.registry.versions import is_newer

#: Pages without any new server are normal where a registry lists every version; so many in a row are a loop.
_MAX_IDLE_PAGES: Final = 200
MAX_PAGES: Final = 20_000
#: More than twice as many as can be published; a registry without an end must not fill the memory.
MAX_SERVERS: Final = 250_000
#: Bytes of memory that a server takes which does not become a connector, beside its name and what is wrong with it.
_SKIPPED_BYTES: Final = 384
_EXAMPLE_LENGTH: Final = 256


class ScanAborted(Exception):
    """The registry leads the scan in a circle, has no end, or has more than can be kept."""


class BestVersion(NamedTuple):
    """The best version of a server so far. published_at: seconds since the epoch. is_readable: False for a record that cannot be read."""

    version: str
    published_at: float
    outcome: Entry | Skipped
    is_readable: bool = True


@dataclass(slots=True)
class RegistryScan:
    """A scan of a registry, page by page.

    most: bytes of what it may find. 100,000 usual entries weigh 80 MB, but one publisher may have thousands, each as large as an entry may
    be. known: published entries by connector id; one that did not change stays the same object. began: the watermark of its first page.
    cursor: of the next page. servers: by name. duplicates: names that stand for two different records of one version.
    """

    rules: MappingRules
    known: Mapping[str, Entry] = field(repr=False)
    most: int = DEFAULT_LIMITS.registry.bytes
    began: str = ""
    cursor: str | None = None
    pages: int = 0
    servers: dict[str, BestVersion] = field(default_factory=dict, repr=False)
    duplicates: set[str] = field(default_factory=set, repr=False)
    #: Digests of the cursors, because a registry may choose long ones.
    _cursors: set[bytes] = field(default_factory=set, repr=False)
    _idle: int = 0
    _unnamed: int = 0
    _bytes: int = 0
    #: Of `_bytes` those that are not shared with what is published.
    new_bytes: int = 0

    def add_page(self, records: Iterable[Any], next_cursor: str | None) -> None:
        """Add a page; a record that is not valid spoils no other. Raises ScanAborted."""
        before = len(self.servers)
        for raw in records:
            self._add(raw)
            if len(self.servers) > MAX_SERVERS:
                raise ScanAborted(f"more than {MAX_SERVERS} servers are not read")
            if self._bytes > self.most:
                hint = "narrow spec.filter, or have `limits` of the gateway raised"
                raise ScanAborted(f"servers that take more than {self.most} bytes are not read; {hint}")
        self.pages += 1
        self._idle = 0 if len(self.servers) > before else self._idle + 1
        self.cursor = next_cursor
        if next_cursor is None:
            return
        digest = sha256(next_cursor.encode(errors="surrogatepass")).digest()
        if digest in self._cursors or self._idle > _MAX_IDLE_PAGES:
            raise ScanAborted(f"page {self.pages} leads back to pages that were read already")
        if self.pages >= MAX_PAGES:
            raise ScanAborted(f"more than {MAX_PAGES} pages are not read")
        self._cursors.add(digest)

    def _add(self, raw: Any) -> None:
        try:
            record = ServerRecord.parse(raw)
        except InvalidRecord as error:
            name = error.name
            if not name:
                self._unnamed += 1
                name = f"record {self._unnamed} without a name"
            # Another version of the server may be valid.
            if name not in self.servers:
                self._keep(name, BestVersion("", 0.0, Skipped(SkipReason.INVALID_RECORD, str(error)), is_readable=False), None)
            return
        before = self.servers.get(record.name)
        if before is not None and before.is_readable:
            if before.version == record.version:
                self._add_duplicate(record, before)
                return
            if not _is_better(record, before):
                return
        self._keep(record.name, BestVersion(record.version, record.published_at, self._map(record)), before)

    def _keep(self, name: str, best: BestVersion, before: BestVersion | None) -> None:
        self.servers[name] = best
        added = self._weight(name, best) - (self._weight(name, before) if before is not None else 0)
        self._bytes += added
        if best.outcome is not self.known.get(self.rules.id_of(name)):
            self.new_bytes += added

    def _weight(self, name: str, best: BestVersion) -> int:
        outcome = best.outcome
        if isinstance(outcome, Entry):
            return weight_of(outcome)
        return _SKIPPED_BYTES + sum(map(_size, (name, best.version, outcome.detail)))

    def _add_duplicate(self, record: ServerRecord, before: BestVersion) -> None:
        """Add a version that is there already: pages shift while servers are published, or two records share a name."""
        outcome = self._map(record)
        if isinstance(outcome, Skipped) or isinstance(before.outcome, Skipped):
            is_same = outcome == before.outcome
        else:
            is_same = outcome.digest == before.outcome.digest
        if not is_same and record.name not in self.duplicates:
            self.duplicates.add(record.name)
            size = _SKIPPED_BYTES + len(record.name)
            self._bytes += size
            self.new_bytes += size

    def _map(self, record: ServerRecord) -> Entry | Skipped:
        outcome = map_server(record, self.rules)
        if isinstance(outcome, Entry):
            known = self.known.get(outcome.id)
            return known if known is not None and known.digest == outcome.digest else outcome
        return outcome

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """Iterate over the servers that can be published, by name and in the order of the names."""
        for name in sorted(self.servers):
            outcome = self.servers[name].outcome
            if isinstance(outcome, Entry):
                yield name, outcome


async def scanned_pages(
    reader: PageReader, scan: RegistryScan, search: str | None, *, ahead: bool = True, until: float | None = None
) -> AsyncGenerator[Page]:
    """Read the pages that a scan has left, add each to the scan, and yield it.

    Args:
        reader: of the registry.
        scan: where it begins, and what takes the pages.
        search: part of the names to list, None for all.
        ahead: whether the next page is read while one is mapped.
        until: on the clock of the event loop; None for as long as it takes.

    Raises:
        TimeoutError: it took too long. The scan can be continued.
        RegistryError: a page could not be read. The scan can be continued.
        ScanAborted: see `RegistryScan.add_page`.
    """
    async with asyncio.timeout_at(until):
        page = await reader.page(scan.cursor, search=search)
    while True:
        following = asyncio.ensure_future(reader.page(page.next_cursor, search=search)) if ahead and page.next_cursor else None
        try:
            await asyncio.to_thread(scan.add_page, page.records, page.next_cursor)
            yield page
            if page.next_cursor is None:
                return
            async with asyncio.timeout_at(until):  # not around the thread, which cannot be stopped
                page = await (following or reader.page(page.next_cursor, search=search))
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)


def _size(text: str) -> int:
    """Return about how many bytes of memory a text takes: four for each character, if one needs them."""
    return len(text) if text.isascii() else 4 * len(text)


def _is_better(record: ServerRecord, before: BestVersion) -> bool:
    """Whether a record is the better version to publish: any other version is better than a deleted one."""
    deleted = isinstance(before.outcome, Skipped) and before.outcome.reason is SkipReason.DELETED
    if deleted != (record.status == "deleted"):
        return deleted
    return is_newer(record.version, record.published_at, before.version, before.published_at)


def example(name: str, skipped: Skipped) -> str:
    """Return how a status names a skipped server."""
    return f"{name}: {skipped.detail}"[:_EXAMPLE_LENGTH] if skipped.detail else name
