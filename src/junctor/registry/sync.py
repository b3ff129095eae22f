"""Keeps what is published of one registry equal to the registry: whole walks and, in between, what has changed.

Nothing is removed unless a walk came to its end and found no suspiciously small registry; what was found is never lost to what failed.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Self

from junctor.api.conditions import Finding, Reason, SkipReason
from junctor.api.connector_map import Entry, canonical, sha256
from junctor.api.discovered import Discovered, names_credential
from junctor.registry.changes import CannotTell, Outcomes, outcomes_since
from junctor.registry.client import Pages, RegistryClient
from junctor.registry.errors import QueryRefused, RegistryError
from junctor.registry.mapping import MappingRules, Skipped, unavailable
from junctor.registry.walk import EXAMPLES, Walk, WalkLoops, example

logger = logging.getLogger(__name__)

#: Losing so many servers at once, and more than half, is not believed at first.
SHRINK_AT_LEAST: Final = 20
#: Equal walks in a row after which it is.
SHRINK_WALKS: Final = 3
#: The clocks of a registry's servers differ, and a transaction can end after a later one was seen.
_OVERLAP: Final = timedelta(minutes=5)
#: How long the pages of a broken walk are worth something.
_RESUME: Final = timedelta(minutes=15)

#: What a server that is published loses its address for and is still listed, so that its callers learn why.
LISTED: Final = frozenset(
    {
        SkipReason.HOST_NOT_ALLOWED,
        SkipReason.CONFIGURATION_REQUIRED,
        SkipReason.INSECURE_URL,
        SkipReason.PRIVATE_ADDRESS,
        SkipReason.INVALID_RECORD,
        SkipReason.TOO_LARGE,
    }
)


@dataclass(frozen=True, slots=True)
class SyncCounts:
    """found: servers in the registry. published: those of them that may be called. skipped: the others, with examples."""

    found: int = 0
    published: int = 0
    skipped: Mapping[SkipReason, tuple[int, tuple[str, ...]]] = field(default_factory=dict)


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
        self._broken: tuple[Walk, datetime] | None = None
        self._shrink = ("", 0)

    @property
    def _entries(self) -> Mapping[str, Entry]:
        return self.memory.entries if self.memory else {}

    @property
    def can_be_incremental(self) -> bool:
        """Whether what has changed is enough to know."""
        memory = self.memory
        return memory is not None and bool(memory.watermark) and memory.digest == self.rules.digest

    # --- whole walks ------------------------------------------------------------------------------------------------------------------

    async def full(self, client: Pages) -> SyncResult:
        """Walk over the whole registry, or on from where the last walk broke."""
        walk = self._resumed() or Walk(self.rules, self._entries)
        self._broken = None
        try:
            await self._walk(client, walk)
        except WalkLoops as error:
            return self._partial(walk, Finding("False", Reason.PARTIAL_SYNC, f"{error}; {len(walk.seen)} servers were read"))
        except RegistryError as error:
            self._broken = (walk, self._wall_clock()) if walk.pages else None
            if not walk.pages:
                return self._partial(walk, Finding("False", error.reason, str(error)), error.retry_after)
            message = f"page {walk.pages + 1} could not be read, {len(walk.seen)} servers were: {error}"
            return self._partial(walk, Finding("False", Reason.PARTIAL_SYNC, message), error.retry_after)
        return await asyncio.to_thread(self._whole, walk)

    def _resumed(self) -> Walk | None:
        if self._broken is None or self._wall_clock() - self._broken[1] > _RESUME:
            return None
        return self._broken[0]

    async def _walk(self, client: Pages, walk: Walk) -> None:
        search = self.rules.filter.search
        page = await client.page(walk.cursor, search=search)
        if not walk.began:
            walk.began = self._watermark(page.date)
        while True:
            # The next page comes while this one is read.
            ahead = asyncio.ensure_future(client.page(page.next_cursor, search=search)) if page.next_cursor else None
            try:
                walk.take(page.records, page.next_cursor)
                if ahead is None:
                    return
                page = await ahead
            finally:
                if ahead is not None and not ahead.done():
                    ahead.cancel()

    def _watermark(self, date: datetime | None) -> str:
        """Where the next incremental sync begins: by the registry's clock, unless that is far from ours."""
        now = self._wall_clock()
        told = date if date is not None and abs(date - now) < timedelta(days=1) else now
        return (told - _OVERLAP).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _partial(self, walk: Walk, finding: Finding, retry_after: float | None = None) -> SyncResult:
        """Publish what was found beside what was published; nothing goes."""
        found = {entry.id: entry for _, entry in walk.entries()}
        if found:
            entries = {**self._entries, **found}
            before = self.memory
            self.memory = self._discovered(entries, before.watermark if before else "", before.digest if before else "")
            self.counts = replace(self.counts, found=max(self.counts.found, len(walk.seen)), published=_available(entries))
        return SyncResult(self.memory, finding, False, True, self.counts, retry_after)

    def _whole(self, walk: Walk) -> SyncResult:
        """Publish exactly what was found, unless suspiciously much is gone."""
        entries: Mapping[str, Entry]
        entries, left_out = {}, 0
        for _, entry in walk.entries():
            if len(entries) < self.rules.max_connectors:
                entries[entry.id] = entry
            else:
                left_out += 1
        skipped = _Tally()
        for name, outcome in walk.skipped():
            skipped.add(outcome.reason, example(name, outcome))
            published = self._entries.get(self.rules.id_of(name))
            if published is not None and outcome.reason in LISTED:
                entries[published.id] = unavailable(published, outcome.reason)
        for name in walk.duplicates:
            skipped.add(SkipReason.DUPLICATE_NAME, name)
        if left_out:
            skipped.add(SkipReason.LIMIT_REACHED, count=left_out)
        held = self._held(walk, entries)
        if held is not None:
            entries = {**self._entries, **entries}
        if entries == self._entries:
            entries = self._entries  # the same object: then nobody looks at it again
        watermark = self.memory.watermark if held is not None and self.memory else walk.began
        self.memory = self._discovered(entries, watermark)
        self.counts = SyncCounts(len(walk.seen), _available(entries), skipped.counts())
        if held is not None:
            return SyncResult(self.memory, held, True, True, self.counts, walk_again=True)
        return SyncResult(self.memory, self._success(left_out), True, True, self.counts)

    def _success(self, left_out: int) -> Finding:
        published = f"{self.counts.published} of {self.counts.found} servers are published"
        if left_out:
            message = f"{published}; {left_out} are left out by filter.maxConnectors: the last ones in the order of their names"
            return Finding("True", Reason.CONNECTOR_LIMIT_REACHED, message)
        return Finding("True", Reason.SYNCED, published)

    def _held(self, walk: Walk, entries: Mapping[str, Entry]) -> Finding | None:
        """The finding that holds removals back, None when there is nothing to hold."""
        memory = self.memory
        if memory is None or memory.digest != self.rules.digest:
            self._shrink = ("", 0)
            return None
        prefix = len(self.rules.id_of(""))
        gone = [connector_id for connector_id in memory.entries if connector_id not in entries]
        lost = [key for key in gone if (seen := walk.seen.get(key[prefix:])) is None or _is_deleted(seen.outcome)]
        if not _is_much(len(lost), len(memory.entries)):
            self._shrink = ("", 0)
            return None
        digest = sha256(canonical(sorted(entries))).removeprefix("sha256:")[:12]
        walks = self._shrink[1] + 1 if self._shrink[0] == digest else 1
        self._shrink = (digest, walks)
        if walks >= SHRINK_WALKS or self.accept_shrink == digest:
            logger.warning("%d servers of registry %s are removed: %s", len(lost), self.rules.registry_id, digest)
            self._shrink = ("", 0)
            return None
        message = (
            f"{len(lost)} of {len(memory.entries)} published servers are gone from the registry; they stay published until {SHRINK_WALKS} "
            f"walks in a row say so (this was number {walks}), or the annotation junctor.dev/accept-shrink: {digest} confirms it"
        )
        return Finding("False", Reason.SUSPICIOUS_SHRINK, message)

    # --- what has changed -------------------------------------------------------------------------------------------------------------

    async def incremental(self, client: RegistryClient) -> SyncResult:
        """Ask for what has changed since the last sync; walk over everything where that is not enough."""
        memory = self.memory
        if memory is None or not self.can_be_incremental:
            return await self.full(client)
        try:
            outcomes, date = await outcomes_since(client, memory.watermark, self.rules, memory.entries)
        except (CannotTell, QueryRefused) as error:
            logger.info("registry %s: a whole walk instead of what has changed: %s", self.rules.registry_id, error)
            return await self.full(client)
        except WalkLoops as error:
            return SyncResult(memory, Finding("False", Reason.PARTIAL_SYNC, str(error)), False, False, self.counts, walk_again=True)
        except RegistryError as error:
            return SyncResult(memory, Finding("False", error.reason, str(error)), False, False, self.counts, error.retry_after)
        removed = sum(
            isinstance(outcome, Skipped) and outcome.reason not in LISTED and self.rules.id_of(name) in memory.entries
            for name, outcome in outcomes.items()
        )
        if _is_much(removed, len(memory.entries)):
            return await self.full(client)
        return await asyncio.to_thread(self._apply, memory, outcomes, self._watermark(date))

    def _apply(self, memory: Discovered, outcomes: Outcomes, watermark: str) -> SyncResult:
        entries = dict(memory.entries)
        for name, outcome in outcomes.items():
            connector_id = self.rules.id_of(name)
            published = entries.get(connector_id)
            if isinstance(outcome, Entry):
                if published is None or published.digest != outcome.digest:
                    entries[connector_id] = outcome
            elif published is not None and outcome.reason in LISTED:
                entries[connector_id] = unavailable(published, outcome.reason)
            else:
                entries.pop(connector_id, None)
        left_out = len(entries) - self.rules.max_connectors
        for connector_id in sorted(entries)[self.rules.max_connectors :] if left_out > 0 else ():
            del entries[connector_id]
        # The same object where nothing changed: then nobody looks at it again.
        same = entries == memory.entries
        self.memory = replace(memory, watermark=watermark) if same else self._discovered(entries, watermark)
        found = self.counts.found + len(entries) - len(memory.entries)
        self.counts = replace(self.counts, found=max(found, len(entries)), published=_available(entries))
        before = self.counts.skipped.get(SkipReason.LIMIT_REACHED, (0, ()))[0]
        return SyncResult(self.memory, self._success(max(left_out, before)), True, False, self.counts)

    def _discovered(self, entries: Mapping[str, Entry], watermark: str, digest: str | None = None) -> Discovered:
        credentialed = frozenset(key for key, entry in entries.items() if names_credential(entry))
        return Discovered(self.rules.registry_id, self.rules.digest if digest is None else digest, watermark, entries, credentialed)


class _Tally:
    """Counts skipped servers."""

    def __init__(self) -> None:
        self._counts: dict[SkipReason, tuple[int, tuple[str, ...]]] = {}

    def add(self, reason: SkipReason, named: str = "", *, count: int = 1) -> None:
        total, examples = self._counts.get(reason, (0, ()))
        self._counts[reason] = total + count, (*examples, named) if named and len(examples) < EXAMPLES else examples

    def counts(self) -> Mapping[SkipReason, tuple[int, tuple[str, ...]]]:
        return dict(self._counts)


def _is_much(lost: int, of: int) -> bool:
    return lost >= SHRINK_AT_LEAST and 2 * lost > of


def _is_deleted(outcome: Entry | Skipped) -> bool:
    return isinstance(outcome, Skipped) and outcome.reason is SkipReason.DELETED


def _available(entries: Mapping[str, Entry]) -> int:
    return sum('"available":true' in entry.body for entry in entries.values())
