"""Syncs one registry: full syncs, which scan every page, and incremental syncs, which read only what has changed since the last one."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from junctor.api.conditions import Finding, Reason
from junctor.api.limits import DEFAULT_LIMITS, Room
from junctor.api.sync_report import Discovered, SyncCounts
from junctor.registry.changes import ChangesUnclear, changes_since, watermark_of
from junctor.registry.errors import QueryRefused, RegistryError
from junctor.registry.reader import PageReader, RegistryReader
from junctor.registry.rules import MappingRules
from junctor.registry.scan import RegistryScan, ScanAborted, scanned_pages
from junctor.registry.sync_state import SyncState
from junctor.registry.turns import SMALL, SyncTurns

logger = logging.getLogger(__name__)

#: Seconds for one sync, because others wait for their turns. The next one continues where it ended.
_LONGEST: Final = 900.0
#: How long the pages of a scan that broke off are worth continuing with.
_RESUME: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class SyncResult:
    """How one sync ended.

    discovered: what to publish, None while nothing is known. finding: the condition Synced. complete: whether it came to its end.
    retry_after: seconds that the registry asked to wait. full_sync_next: whether the next sync has to be a full one.
    """

    discovered: Discovered | None
    finding: Finding
    complete: bool
    full: bool
    counts: SyncCounts
    retry_after: float | None = None
    full_sync_next: bool = False


class RegistrySync:
    """Runs the syncs of one registry, one at a time, and keeps what they found.

    now: the time of day. room: how much the registry may have now. turns: shared with the syncs of other registries.
    """

    def __init__(
        self,
        rules: MappingRules,
        discovered: Discovered | None,
        counts: SyncCounts | None = None,
        *,
        now: Callable[[], datetime],
        room: Callable[[], Room] = lambda: DEFAULT_LIMITS.registry.room,
        turns: SyncTurns | None = None,
    ) -> None:
        self.rules = rules
        self._state = SyncState(rules, discovered, counts or SyncCounts(), room)
        self._now = now
        self._turns = turns or SyncTurns()
        #: A scan that broke off, and when the registry answered its last page.
        self._unfinished: tuple[RegistryScan, datetime] | None = None

    @property
    def discovered(self) -> Discovered | None:
        """What to publish, None while nothing is known."""
        return self._state.discovered

    @property
    def counts(self) -> SyncCounts:
        """The counts of the last sync."""
        return self._state.counts

    @property
    def can_be_incremental(self) -> bool:
        """Whether reading only what has changed is enough."""
        return self._state.is_by_present_rules and bool(self.discovered and self.discovered.watermark)

    def retract_disallowed(self) -> None:
        """Retract at once what the present rules forbid. Call it in a thread: 80,000 servers take a second."""
        self._state.retract_disallowed()

    def failed(self, finding: Finding) -> SyncResult:
        """Return the result of a sync that did not begin."""
        return self._incomplete(finding, full=False)

    async def full(self, reader: PageReader, accept_shrink: str = "") -> SyncResult:
        """Scan the whole registry, or continue the last scan where it broke off.

        accept_shrink: the digest of a loss that the owner confirms.
        """
        async with AsyncExitStack() as until_merged:
            return await self._full(reader, accept_shrink, until_merged)

    async def _full(self, reader: PageReader, accept_shrink: str, until_merged: AsyncExitStack) -> SyncResult:
        scan, answered_at = self._resumed()
        pages = scan.pages
        try:
            await self._scan(reader, scan, until_merged)
        except TimeoutError:
            self._keep(scan, self._now())
            return await self._partial(
                scan, f"{len(scan.servers)} servers were read in {_LONGEST / 60:.0f} minutes; the next sync continues"
            )
        except ScanAborted as error:
            return await self._partial(scan, f"{error}; {len(scan.servers)} servers were read")
        except RegistryError as error:
            self._log(error)
            if not scan.pages:
                return self._incomplete(Finding("False", error.reason, str(error)), full=True, retry_after=error.retry_after)
            if scan.pages > pages:
                self._keep(scan, self._now())
            elif not isinstance(error, QueryRefused):  # a cursor that is refused has expired
                self._keep(scan, answered_at)
            message = f"page {scan.pages + 1} could not be read, {len(scan.servers)} servers were: {error}"
            return await self._partial(scan, message, error.retry_after)
        suspicion = await asyncio.to_thread(self._state.merge_full, scan, accept_shrink)
        return self._complete(suspicion or self._state.success(), full=True, full_sync_next=suspicion is not None)

    async def _scan(self, reader: PageReader, scan: RegistryScan, until_merged: AsyncExitStack) -> None:
        """Read all pages. A scan that becomes large waits until it is the only one."""
        until = asyncio.get_running_loop().time() + _LONGEST
        requested_at, is_large = self._now(), False
        pages = scanned_pages(reader, scan, self.rules.filter.search, until=until)
        async with aclosing(pages):
            async for page in pages:
                scan.began = scan.began or watermark_of(page.date, requested_at)
                if scan.new_bytes > SMALL and not is_large:
                    async with asyncio.timeout_at(until):
                        await until_merged.enter_async_context(self._turns.large)
                    self._turns.forget_unfinished(self)
                    is_large, scan.most = True, self._state.room().bytes

    def _keep(self, scan: RegistryScan, answered_at: datetime) -> None:
        """Keep a scan that broke off, for the next sync."""
        self._unfinished = scan, answered_at

        self._turns.keep_unfinished(self, self._forget)

    def _forget(self) -> None:
        self._unfinished = None

    def _resumed(self) -> tuple[RegistryScan, datetime]:
        """Return the scan to continue with, and when the registry answered its last page."""
        unfinished, self._unfinished = self._unfinished, None
        now = self._now()
        if unfinished is not None and now - unfinished[1] <= _RESUME:
            return unfinished
        return RegistryScan(self.rules, self._state.entries, self._state.room().bytes), now

    async def _partial(self, scan: RegistryScan, message: str, retry_after: float | None = None) -> SyncResult:
        await asyncio.to_thread(self._state.merge_partial, scan)
        return self._incomplete(Finding("False", Reason.PARTIAL_SYNC, message), full=True, retry_after=retry_after)

    async def incremental(self, reader: RegistryReader, accept_shrink: str = "") -> SyncResult:
        """Read what has changed since the last sync; run a full sync where that is not enough. accept_shrink: as of `full`."""
        discovered = self.discovered
        if discovered is None or not self.can_be_incremental:
            return await self.full(reader, accept_shrink)
        requested_at = self._now()
        try:
            async with asyncio.timeout(_LONGEST):
                changes, date = await changes_since(reader, discovered.watermark, self.rules, discovered.entries)
        except TimeoutError:
            message = f"the changes could not be read in {_LONGEST / 60:.0f} minutes"
            return self._incomplete(Finding("False", Reason.SYNC_TIMEOUT, message), full=False)
        except (ChangesUnclear, QueryRefused) as error:
            logger.info("registry %s: a full sync instead of an incremental one: %s", self.rules.registry_id, error)
            return await self.full(reader, accept_shrink)
        except ScanAborted as error:
            return self._incomplete(Finding("False", Reason.PARTIAL_SYNC, str(error)), full=False, full_sync_next=True)
        except RegistryError as error:
            self._log(error)
            return self._incomplete(Finding("False", error.reason, str(error)), full=False, retry_after=error.retry_after)
        if await asyncio.to_thread(self._state.needs_full_sync, changes):
            return await self.full(reader, accept_shrink)
        self._unfinished = None  # what its pages said may be older than these changes
        may_fit_more = await asyncio.to_thread(self._state.merge_changes, changes, watermark_of(date, requested_at))
        return self._complete(self._state.success(), full=False, full_sync_next=may_fit_more)

    def _log(self, error: RegistryError) -> None:
        if error.excerpt:
            logger.warning("registry %s: %s", self.rules.registry_id, error.with_excerpt)

    def _complete(self, finding: Finding, *, full: bool, full_sync_next: bool) -> SyncResult:
        return SyncResult(self.discovered, finding, True, full, self.counts, full_sync_next=full_sync_next)

    def _incomplete(self, finding: Finding, *, full: bool, retry_after: float | None = None, full_sync_next: bool = False) -> SyncResult:
        return SyncResult(self.discovered, finding, False, full, self.counts, retry_after, full_sync_next)
