"""What one scan over a registry has best: the best version of each server, mapped at once, so that no record is kept."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from junctor.api.conditions import SkipReason
from junctor.connectormap.connector_map import Entry
from junctor.registry.mapping import Skipped, map_server
from junctor.registry.records import InvalidRecord, ServerRecord
from junctor.registry.rules import MappingRules
from junctor.registry.versions import is_newer

EXAMPLES: Final = 5
#: A page without any server that was not best before is normal where a registry lists every version; so many in a row are a loop.
_MAX_IDLE_PAGES: Final = 200
MAX_PAGES: Final = 20_000
#: More than twice as many as can be published; a registry that never ends must not fill the memory.
MAX_SERVERS: Final = 250_000
#: Bytes of entries; 100,000 usual ones have 90 MB. A publisher may make each of his as large as an entry may be, and have thousands.
MAX_BYTES: Final = 128 * 1024**2


class ScanAborted(Exception):
    """The registry leads the scan in a circle, on without an end, or to more than can be kept."""


class BestVersion(NamedTuple):
    """A server. version, published_at: of the best record so far."""

    version: str
    published_at: float
    outcome: Entry | Skipped


@dataclass(slots=True)
class RegistryScan:
    """A scan under way. known: entries of before, which are kept where nothing changed. cursor: of the page to read next."""

    rules: MappingRules
    known: Mapping[str, Entry] = field(repr=False)
    began: str = ""
    cursor: str | None = None
    pages: int = 0
    servers: dict[str, BestVersion] = field(default_factory=dict, repr=False)
    duplicates: list[str] = field(default_factory=list, repr=False)
    _cursors: set[str] = field(default_factory=set, repr=False)
    _idle: int = 0
    _unnamed: int = 0
    _bytes: int = 0

    def add_page(self, records: Iterable[Any], next_cursor: str | None) -> None:
        """Take a page, each record by itself. Raises ScanAborted."""
        before = len(self.servers)
        for raw in records:
            self._add(raw)
            if len(self.servers) > MAX_SERVERS:
                raise ScanAborted(f"more than {MAX_SERVERS} servers are not read")
            if is_too_much(self._bytes):
                raise ScanAborted(f"servers that take more than {MAX_BYTES} bytes in the map are not read; narrow spec.filter")
        self.pages += 1
        self._idle = 0 if len(self.servers) > before else self._idle + 1
        self.cursor = next_cursor
        if next_cursor is None:
            return
        if next_cursor in self._cursors or self._idle > _MAX_IDLE_PAGES:
            raise ScanAborted(f"page {self.pages} leads back to pages that were read already")
        if self.pages >= MAX_PAGES:
            raise ScanAborted(f"more than {MAX_PAGES} pages are not read")
        self._cursors.add(next_cursor)

    def _add(self, raw: Any) -> None:
        try:
            record = ServerRecord.parse(raw)
        except InvalidRecord as error:
            name = error.name
            if not name:
                self._unnamed += 1
                name = f"record {self._unnamed} without a name"
            # Another version of the server may be good.
            self.servers.setdefault(name, BestVersion("", 0.0, Skipped(SkipReason.INVALID_RECORD, str(error))))
            return
        held = self.servers.get(record.name)
        if held is not None and held.version:
            if held.version == record.version:
                self._add_duplicate(record, held)
                return
            if not _beats(record, held):
                return
        best = self.servers[record.name] = BestVersion(record.version, record.published_at, self._mapped(record))
        self._bytes += _size(best) - (_size(held) if held is not None else 0)

    def _add_duplicate(self, record: ServerRecord, held: BestVersion) -> None:
        """The same version again: a page that moved while others were published there, or two records of one name."""
        outcome = self._mapped(record)
        same = outcome == held.outcome if isinstance(outcome, Skipped) else isinstance(held.outcome, Entry) and (
            outcome.digest == held.outcome.digest
        )  # fmt: skip
        if not same:
            self.duplicates.append(record.name)

    def _mapped(self, record: ServerRecord) -> Entry | Skipped:
        outcome = map_server(record, self.rules)
        if isinstance(outcome, Entry):
            known = self.known.get(outcome.id)
            return known if known is not None and known.digest == outcome.digest else outcome
        return outcome

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """The servers that can be published, by name and in the order of the names."""
        for name in sorted(self.servers):
            outcome = self.servers[name].outcome
            if isinstance(outcome, Entry):
                yield name, outcome


def is_too_much(size: int) -> bool:
    """Whether so many bytes of entries are more than a registry may have."""
    return size > MAX_BYTES


def _size(best: BestVersion) -> int:
    return best.outcome.size if isinstance(best.outcome, Entry) else 0


def _beats(record: ServerRecord, held: BestVersion) -> bool:
    """Whether a record is the one to publish: a deleted version gives way to any other."""
    deleted = isinstance(held.outcome, Skipped) and held.outcome.reason is SkipReason.DELETED
    if deleted != (record.status == "deleted"):
        return deleted
    return is_newer(record.version, record.published_at, held.version, held.published_at)


def example(name: str, skipped: Skipped) -> str:
    """How a status names a skipped server."""
    return f"{name}: {skipped.detail}"[:256] if skipped.detail else name
