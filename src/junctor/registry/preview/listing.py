"""Lists the servers of a registry, and whether each would become a connector."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from junctor.api.conditions import SkipReason
from junctor.connectormap.entry import Entry
from junctor.registry.mapping import Skipped
from junctor.registry.reader import Page, PageReader
from junctor.registry.records import InvalidRecord, ServerRecord
from junctor.registry.rules import MappingRules
from junctor.registry.scan import RegistryScan, scanned_pages
from junctor.registry.snapshot_file import SnapshotWriter

#: Servers that the owner or the publisher leaves out are counted, not listed.
_NOT_LISTED: Final = frozenset({SkipReason.FILTERED, SkipReason.DELETED})


class _Summary(NamedTuple):
    """What a record says of its server. transports: of its remotes, without repetition."""

    version: str
    status: str
    transports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Server:
    """A server of a registry. status, transports: "" and none when its record cannot be read."""

    name: str
    version: str
    status: str
    transports: tuple[str, ...]
    outcome: Entry | Skipped


@dataclass(slots=True)
class Listing:
    """What a scan found.

    servers: those that the filter selects. found: how many there are in all. skipped: how many, by reason. whole: whether the scan came
    to the end of the registry.
    """

    servers: list[Server] = field(default_factory=list)
    found: int = 0
    connectors: int = 0
    skipped: Counter[SkipReason] = field(default_factory=Counter)
    whole: bool = True

    @property
    def summary(self) -> str:
        """The counts in one sentence."""
        reasons = ", ".join(f"{reason} {count}" for reason, count in self.skipped.most_common())
        found = f"{self.found} server{'' if self.found == 1 else 's'}"
        others = f", {self.skipped.total()} not ({reasons})" if reasons else ""
        return f"{found}{'' if self.whole else ' read, there are more'}: {self.connectors} would become connectors{others}"


async def list_servers(
    reader: PageReader,
    rules: MappingRules,
    *,
    limit: int | None = None,
    writer: SnapshotWriter | None = None,
    on_page: Callable[[RegistryScan], None] = lambda scan: None,
) -> Listing:
    """Scan a registry to its end, or until there are `limit` servers to list.

    Args:
        reader: of the registry.
        rules: how servers are judged.
        limit: the largest number of servers to list, None for all.
        writer: takes all records of the registry; a snapshot serves other filters, too.
        on_page: called after each page.

    Raises:
        RegistryError: the registry could not be read.
        ScanAborted: the registry has no end.
        OSError: the snapshot could not be written.
    """
    scan, summaries = RegistryScan(rules, {}), dict[str, _Summary]()
    search = None if writer is not None else rules.filter.search
    async with aclosing(scanned_pages(reader, scan, search, ahead=limit is None)) as pages:
        async for page in pages:
            if writer is not None:
                writer.add(page.records)
            _summarize(page, scan, summaries)
            on_page(scan)
            if limit is not None and _listed(scan) > limit:
                break
    return _listing(scan, summaries, rules, limit)


def _summarize(page: Page, scan: RegistryScan, summaries: dict[str, _Summary]) -> None:
    """Keep what the records say that are the best of their servers so far."""
    for raw in page.records:
        with suppress(InvalidRecord):
            record = ServerRecord.parse(raw)
            if scan.servers[record.name].version == record.version:
                transports = tuple(dict.fromkeys(remote.type for remote in record.remotes))
                summaries[record.name] = _Summary(record.version, record.status, transports)


def _listed(scan: RegistryScan) -> int:
    return sum(_is_listed(best.outcome) for best in scan.servers.values())


def _is_listed(outcome: Entry | Skipped) -> bool:
    return isinstance(outcome, Entry) or outcome.reason not in _NOT_LISTED


def _listing(scan: RegistryScan, summaries: Mapping[str, _Summary], rules: MappingRules, limit: int | None) -> Listing:
    listing = Listing(found=len(scan.servers), whole=scan.cursor is None)
    # Beyond filter.maxConnectors the operator leaves out the last ones in the order of their names.
    left_out = {entry.id for _, entry in list(scan.entries())[rules.max_connectors :]}
    for name, best in scan.servers.items():
        outcome: Entry | Skipped = best.outcome
        if isinstance(outcome, Entry) and outcome.id in left_out:
            outcome = Skipped(SkipReason.LIMIT_REACHED)
        if isinstance(outcome, Entry):
            listing.connectors += 1
        else:
            listing.skipped[outcome.reason] += 1
        if _is_listed(outcome) and (limit is None or len(listing.servers) < limit):
            version, status, transports = summaries.get(name) or _Summary(best.version, "", ())
            listing.servers.append(Server(name, version, status, transports, outcome))
    listing.servers.sort(key=lambda server: server.name)
    return listing
