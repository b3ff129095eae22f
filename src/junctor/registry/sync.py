"""Keeps what is published of one registry equal to the registry: whole walks and, in between, what has changed.

Nothing is removed unless a scan came to its end and found no suspiciously small registry; what was found is never lost to what failed.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Self

from junctor.api.conditions import Finding, Reason, SkipReason
from junctor.api.sync_report import SkipCount, SyncCounts
from junctor.connectormap.connector_map import Entry
from junctor.connectormap.discovered import Discovered, names_credential
from junctor.registry.changes import CannotTell, Outcomes, outcomes_since, watermark_of
from junctor.registry.client import Pages, RegistryClient
from junctor.registry.errors import QueryRefused, RegistryError
from junctor.registry.mapping import Skipped
from junctor.registry.merge import SkipCounter, available, is_lost, merged_entry, supersedes
from junctor.registry.retract import retract_disallowed
from junctor.registry.rules import MappingRules, RulesDigest
from junctor.registry.scan import RegistryScan, ScanAborted, example, is_too_much
from junctor.registry.shrink import Shrink, is_much, lost_to

logger = logging.getLogger(__name__)

#: How long the pages of a broken scan are worth something.
_RESUME: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class SyncResult:
    """How a sync ended.

    discovered: what is to be published, None while nothing is known. finding: the condition Synced. complete: it came to its end.
    retry_after: seconds that the registry asked for. walk_again: the next sync has to be a full one.
    """

    discovered: Discovered | None
    finding: Finding
    complete: bool
    full: bool
    counts: SyncCounts
    retry_after: float | None = None
    walk_again: bool = False

    @classmethod
    def failed(cls, sync: "RegistrySync", finding: Finding) -> Self:
        """A sync that did not begin."""
        return cls(sync.memory, finding, False, False, sync.counts)


class RegistrySync:
    """The syncs of one registry, one at a time. memory: what is published. accept_shrink: the digest that its owner confirms."""

    def __init__(
        self, rules: MappingRules, memory: Discovered | None, counts: SyncCounts | None = None, *, wall_clock: Callable[[], datetime]
    ) -> None:
        self.rules = rules
        self.memory = memory
        self.counts = counts or SyncCounts()
        self.accept_shrink = ""
        self._wall_clock = wall_clock
        self._is_retracted = False
        self._broken: tuple[RegistryScan, datetime] | None = None
        self._shrink = Shrink()

    @property
    def _entries(self) -> Mapping[str, Entry]:
        return self.memory.entries if self.memory else {}

    @property
    def can_be_incremental(self) -> bool:
        """Whether what has changed is enough to know."""
        return self.memory is not None and bool(self.memory.watermark) and self._is_by_these_rules

    @property
    def _is_by_these_rules(self) -> bool:
        """Whether what is published was made by the rules of now."""
        return self.memory is not None and self.memory.digest == str(self.rules.digest)

    def retract_disallowed(self) -> None:
        """Take away at once what the rules forbid of what other rules had published. For a thread: 80,000 servers take a second."""
        memory = self.memory
        if memory is None or memory.digest == str(self.rules.digest) or self._is_retracted:
            return
        self._is_retracted = True
        entries = retract_disallowed(memory.entries, self.rules)
        if entries is not memory.entries:
            # As no rules would have it, so that a scan is due even if the rules change back.
            self._remember(entries, "", str(RulesDigest.parse(memory.digest).without_rules()))
            self.counts = replace(self.counts, published=len(available(entries)))

    # --- whole walks ------------------------------------------------------------------------------------------------------------------

    async def full(self, client: Pages) -> SyncResult:
        """Scan the whole registry, or on from where the last scan broke."""
        scan, told = self._resumed()
        pages = scan.pages
        try:
            await self._walk(client, scan)
        except ScanAborted as error:
            return await asyncio.to_thread(self._partial, scan, f"{error}; {len(scan.servers)} servers were read")
        except RegistryError as error:
            if not scan.pages:
                return SyncResult(self.memory, Finding("False", error.reason, str(error)), False, True, self.counts, error.retry_after)
            if scan.pages > pages:
                self._broken = (scan, self._wall_clock())
            elif not isinstance(error, QueryRefused):  # else the registry does not know the place any more
                self._broken = (scan, told)
            message = f"page {scan.pages + 1} could not be read, {len(scan.servers)} servers were: {error}"
            return await asyncio.to_thread(self._partial, scan, message, error.retry_after)
        return await asyncio.to_thread(self._whole, scan)

    def _resumed(self) -> tuple[RegistryScan, datetime]:
        """The scan to go on with, and when the registry told its last page."""
        broken, self._broken = self._broken, None
        now = self._wall_clock()
        return broken if broken is not None and now - broken[1] <= _RESUME else (RegistryScan(self.rules, self._entries), now)

    async def _walk(self, client: Pages, scan: RegistryScan) -> None:
        search = self.rules.filter.search
        asked = self._wall_clock()
        page = await client.page(scan.cursor, search=search)
        if not scan.began:
            scan.began = watermark_of(page.date, asked)
        while True:
            # The next page comes while this one is read.
            ahead = asyncio.ensure_future(client.page(page.next_cursor, search=search)) if page.next_cursor else None
            try:
                await asyncio.to_thread(scan.add_page, page.records, page.next_cursor)
                if ahead is None:
                    return
                page = await ahead
            finally:
                if ahead is not None:
                    ahead.cancel()
                    await asyncio.gather(ahead, return_exceptions=True)

    def _partial(self, scan: RegistryScan, message: str, retry_after: float | None = None) -> SyncResult:
        """Publish what was found beside what was published; nothing goes."""
        found: dict[str, Entry] = {}
        for name, best in scan.servers.items():
            published = self._entries.get(self.rules.id_of(name))
            if published is None or (best.outcome is not published and supersedes(best, published)):
                entry = merged_entry(best, published)
                if entry is not None:
                    found[entry.id] = entry
        entries = self._beside(found, self._entries)
        if entries:
            self._remember(entries, self.memory.watermark if self.memory else "", self.memory.digest if self.memory else None)
        self.counts = replace(self.counts, found=max(self.counts.found, len(scan.servers)), published=len(available(entries)))
        return SyncResult(self.memory, Finding("False", Reason.PARTIAL_SYNC, message), False, True, self.counts, retry_after)

    def _beside(self, found: Mapping[str, Entry], published: Mapping[str, Entry]) -> Mapping[str, Entry]:
        """What is published, with what was found; new servers as far as there is room, the first by name."""
        entries = {**published, **{key: found[key] for key in found if key in published}}
        new = sorted(key for key in found if key not in entries)
        size = _size(entries)
        for key in new[: max(0, self.rules.max_connectors - len(available(entries)))]:
            size += found[key].size
            if is_too_much(size):
                break
            entries[key] = found[key]
        return entries

    def _whole(self, scan: RegistryScan) -> SyncResult:
        """Publish exactly what was found, unless suspiciously much is gone."""
        entries: dict[str, Entry] = {}
        skipped, room = SkipCounter(), self.rules.max_connectors
        for name in sorted(scan.servers):
            best = scan.servers[name]
            entry = merged_entry(best, self._entries.get(self.rules.id_of(name)))
            if isinstance(best.outcome, Skipped):
                skipped.add(best.outcome.reason, example(name, best.outcome))
            elif room == 0:
                skipped.add(SkipReason.LIMIT_REACHED, name)
                entry = None
            else:
                room -= 1
            if entry is not None:
                entries[entry.id] = entry
        for name in scan.duplicates:
            skipped.add(SkipReason.DUPLICATE_NAME, name)
        held = self._held(scan, entries)
        if held is None:
            self._remember(entries, scan.began)
        else:
            finding, lost = held
            found = {key: entry for key, entry in entries.items() if key not in lost}
            # Other rules took the rest away.
            kept = self._beside(found, self._entries if self._is_by_these_rules else {key: self._entries[key] for key in lost})
            self._remember(kept, self.memory.watermark if self.memory else "")
        self.counts = SyncCounts(len(scan.servers), len(available(self._entries)), skipped.counts())
        if held is not None:
            return SyncResult(self.memory, finding, True, True, self.counts, walk_again=True)
        return SyncResult(self.memory, self._success(), True, True, self.counts)

    def _success(self) -> Finding:
        published = f"{self.counts.published} of {self.counts.found} servers are published"
        left_out = self._left_out
        if left_out:
            message = f"{published}; {left_out} are left out by filter.maxConnectors: the last ones in the order of their names"
            return Finding("True", Reason.CONNECTOR_LIMIT_REACHED, message)
        return Finding("True", Reason.SYNCED, published)

    @property
    def _left_out(self) -> int:
        return self.counts.skipped.get(SkipReason.LIMIT_REACHED, SkipCount(0)).count

    def _held(self, scan: RegistryScan, entries: Mapping[str, Entry]) -> tuple[Finding, Collection[str]] | None:
        """The finding that holds removals back, and which ones; None when there is nothing to hold."""
        memory = self.memory
        if memory is None or RulesDigest.parse(memory.digest).registry != self.rules.digest.registry:
            return None
        lost = lost_to(scan, memory.entries, other_rules=not self._is_by_these_rules)
        finding = self._shrink.judge(lost, entries, memory.entries, self.accept_shrink)
        if finding is not None:
            return finding, lost
        if is_much(len(lost), memory.entries):
            logger.warning("%d servers of registry %s are removed, as was confirmed", len(lost), self.rules.registry_id)
        return None

    # --- what has changed -------------------------------------------------------------------------------------------------------------

    async def incremental(self, client: RegistryClient) -> SyncResult:
        """Ask for what has changed since the last sync; scan over everything where that is not enough."""
        memory = self.memory
        if memory is None or not self.can_be_incremental:
            return await self.full(client)
        asked = self._wall_clock()
        try:
            outcomes, date = await outcomes_since(client, memory.watermark, self.rules, memory.entries)
        except (CannotTell, QueryRefused) as error:
            logger.info("registry %s: a whole scan instead of what has changed: %s", self.rules.registry_id, error)
            return await self.full(client)
        except ScanAborted as error:
            return SyncResult(memory, Finding("False", Reason.PARTIAL_SYNC, str(error)), False, False, self.counts, walk_again=True)
        except RegistryError as error:
            return SyncResult(memory, Finding("False", error.reason, str(error)), False, False, self.counts, error.retry_after)
        if await asyncio.to_thread(self._is_doubtful, memory, outcomes):
            return await self.full(client)
        return await asyncio.to_thread(self._apply, memory, outcomes, watermark_of(date, asked))

    def _is_doubtful(self, memory: Discovered, outcomes: Outcomes) -> bool:
        """Whether changes take so much away, or bring so much, that a whole scan has to look at it."""
        published = ((memory.entries.get(self.rules.id_of(name)), best) for name, best in outcomes.items())
        lost = sum(entry is not None and is_lost(best, entry) for entry, best in published)
        changed = {name: best.outcome for name, best in outcomes.items() if isinstance(best.outcome, Entry)}
        return is_much(lost, memory.entries) or is_too_much(_size(memory.entries) + _size(changed))

    def _apply(self, memory: Discovered, outcomes: Outcomes, watermark: str) -> SyncResult:
        self._broken = None  # what it saw may be older
        entries = dict(memory.entries)
        for name, best in outcomes.items():
            connector_id = self.rules.id_of(name)
            entry = merged_entry(best, entries.get(connector_id))
            if entry is None:
                entries.pop(connector_id, None)
            else:
                entries[connector_id] = entry
        found = self.counts.found + len(entries) - len(memory.entries)
        chosen, most = available(entries), self.rules.max_connectors
        for connector_id in chosen[most:]:
            del entries[connector_id]
        self._remember(entries, watermark)
        skipped, left_out = dict(self.counts.skipped), self._left_out
        if len(chosen) - most > left_out:
            skipped[SkipReason.LIMIT_REACHED] = SkipCount(len(chosen) - most)
        self.counts = SyncCounts(max(found, len(entries)), min(len(chosen), most), skipped)
        # Who takes a place that has become free was not kept when all were taken.
        has_room = len(chosen) < most and (left_out > 0 or len(available(memory.entries)) >= most)
        return SyncResult(self.memory, self._success(), True, False, self.counts, walk_again=has_room)

    def _remember(self, entries: Mapping[str, Entry], watermark: str, digest: str | None = None) -> None:
        """Take these for what is published; the same objects where nothing changed: then nobody looks at them again."""
        told = str(self.rules.digest) if digest is None else digest
        memory = self.memory
        if memory is not None and memory.entries == entries:
            if (memory.digest, memory.watermark) != (told, watermark):
                self.memory = replace(memory, digest=told, watermark=watermark)
            return
        credentialed = frozenset(key for key, entry in entries.items() if names_credential(entry))
        self.memory = Discovered(self.rules.registry_id, told, watermark, entries, credentialed)


def _size(entries: Mapping[str, Entry]) -> int:
    return sum(entry.size for entry in entries.values())
