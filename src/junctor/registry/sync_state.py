"""What is published of one registry, and how the outcome of a sync changes it. Pure: reads nothing, waits for nothing.

Nothing is removed unless a full sync came to its end and the registry is not suspiciously small, or an incremental sync reports the
removal. A sync that fails keeps everything that it has found. With 80,000 servers each method takes about a second: call them in a thread.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Final

from junctor.api.conditions import Finding, Reason, SkipReason
from junctor.api.limits import DEFAULT_LIMITS, Room, weight_of
from junctor.api.sync_report import Discovered, SkipCount, SyncCounts
from junctor.connectormap.entry import Entry
from junctor.registry.mapping import Skipped
from junctor.registry.merge import SkipCounter, available, is_lost, merged_entry, supersedes
from junctor.registry.retract import retract_disallowed
from junctor.registry.rules import MappingRules, RulesDigest
from junctor.registry.scan import BestVersion, RegistryScan, example
from junctor.registry.shrink import ShrinkGuard, is_suspicious, lost_connectors

logger = logging.getLogger(__name__)

_DEFAULT_ROOM: Final = DEFAULT_LIMITS.registry.room


class SyncState:
    """What is published of one registry.

    rules: what the next syncs follow. discovered: what to publish, None while nothing is known. counts: of the last sync. room: how much
    the registry may have now.
    """

    def __init__(
        self, rules: MappingRules, discovered: Discovered | None, counts: SyncCounts, room: Callable[[], Room] = lambda: _DEFAULT_ROOM
    ) -> None:
        self.rules = rules
        self.discovered = discovered
        self.counts = counts
        self.room = room
        self._is_retracted = False
        self._shrink = ShrinkGuard()

    @property
    def entries(self) -> Mapping[str, Entry]:
        """The published entries by connector id."""
        return self.discovered.entries if self.discovered else {}

    @property
    def is_by_present_rules(self) -> bool:
        """Whether the present rules made what is published."""
        return self.discovered is not None and self.discovered.digest == str(self.rules.digest)

    def retract_disallowed(self) -> None:
        """Retract at once what other rules published and the present ones forbid."""
        discovered = self.discovered
        if discovered is None or self.is_by_present_rules or self._is_retracted:
            return
        self._is_retracted = True
        entries = retract_disallowed(discovered.entries, self.rules)
        if entries is not discovered.entries:
            # The rest follows from no rules at all, so a full sync is due even when the rules change back.
            self._publish(entries, "", str(RulesDigest.parse(discovered.digest).without_rules()))
            self.counts = replace(self.counts, published=len(available(entries)))

    # --- full syncs -------------------------------------------------------------------------------------------------------------------

    def merge_partial(self, scan: RegistryScan) -> None:
        """Publish what a scan found that did not come to its end; nothing is removed."""
        found: dict[str, Entry] = {}
        for name, best in scan.servers.items():
            published = self.entries.get(self.rules.id_of(name))
            if published is None or (best.outcome is not published and supersedes(best, published)):
                entry = merged_entry(best, published)
                if entry is not None:
                    found[entry.id] = entry
        entries = self._add(found, self.entries)
        if entries:
            discovered = self.discovered
            self._publish(entries, discovered.watermark if discovered else "", discovered.digest if discovered else None)
        self.counts = replace(self.counts, found=max(self.counts.found, len(scan.servers)), published=len(available(entries)))

    def merge_full(self, scan: RegistryScan, accept_shrink: str) -> Finding | None:
        """Publish exactly what a complete scan found, unless a suspicious number of servers is missing.

        accept_shrink: the digest of the loss that the owner confirms. Returns the finding that holds removals back, or None.
        """
        entries, skipped = self._merged(scan)
        suspicion = self._suspicion(scan, entries, accept_shrink)
        if suspicion is None:
            self._publish(entries, scan.began)
        else:
            _, lost = suspicion
            found = {key: entry for key, entry in entries.items() if key not in lost}
            # The present rules account for everything else that is missing.
            kept = self.entries if self.is_by_present_rules else {key: self.entries[key] for key in lost}
            self._publish(self._add(found, kept), self.discovered.watermark if self.discovered else "")
        self.counts = SyncCounts(len(scan.servers), len(available(self.entries)), skipped.counts())
        return suspicion[0] if suspicion else None

    def _merged(self, scan: RegistryScan) -> tuple[dict[str, Entry], SkipCounter]:
        """Return the entries that follow from a complete scan, and the servers that have none, counted."""
        entries: dict[str, Entry] = {}
        skipped, room = SkipCounter(), self.max_connectors
        for name in sorted(scan.servers):
            best = scan.servers[name]
            entry = merged_entry(best, self.entries.get(self.rules.id_of(name)))
            if isinstance(best.outcome, Skipped):
                skipped.add(best.outcome.reason, example(name, best.outcome))
            elif room == 0:
                skipped.add(SkipReason.LIMIT_REACHED, name)
                entry = None
            else:
                room -= 1
            if entry is not None:
                entries[entry.id] = entry
        for name in sorted(scan.duplicates):
            skipped.add(SkipReason.DUPLICATE_NAME, name)
        return entries, skipped

    def _add(self, found: Mapping[str, Entry], published: Mapping[str, Entry]) -> Mapping[str, Entry]:
        """Return the published entries updated with those that were found; new ones by name, as far as there is room."""
        entries = {**published, **{key: found[key] for key in found if key in published}}
        new = sorted(key for key in found if key not in entries)
        size, most = _size(entries), self.room().bytes
        for key in new[: max(0, self.max_connectors - len(available(entries)))]:
            size += weight_of(found[key])
            if size > most:
                break
            entries[key] = found[key]
        return entries

    def _suspicion(self, scan: RegistryScan, entries: Mapping[str, Entry], accept_shrink: str) -> tuple[Finding, Collection[str]] | None:
        """Return the finding that holds removals back, and the ids that stay; None when every removal is believed."""
        discovered = self.discovered
        if discovered is None or RulesDigest.parse(discovered.digest).registry != self.rules.digest.registry:
            return None
        lost = lost_connectors(scan, discovered.entries, made_by_other_rules=not self.is_by_present_rules)
        finding = self._shrink.judge(lost, entries, discovered.entries, accept_shrink)
        if finding is not None:
            return finding, lost
        if is_suspicious(len(lost), discovered.entries):
            logger.warning("%d servers of registry %s are removed, as was confirmed", len(lost), self.rules.registry_id)
        return None

    # --- incremental syncs ------------------------------------------------------------------------------------------------------------

    def needs_full_sync(self, changes: Mapping[str, BestVersion]) -> bool:
        """Whether changes, by server name, remove or add so much that a full sync has to verify them."""
        published = ((self.entries.get(self.rules.id_of(name)), best) for name, best in changes.items())
        lost = sum(entry is not None and is_lost(best, entry) for entry, best in published)
        added = {name: best.outcome for name, best in changes.items() if isinstance(best.outcome, Entry)}
        return is_suspicious(lost, self.entries) or _size(self.entries) + _size(added) > self.room().bytes

    def merge_changes(self, changes: Mapping[str, BestVersion], watermark: str) -> bool:
        """Apply changes, by server name. watermark: where the next incremental sync begins.

        Returns whether servers that `filter.maxConnectors` left out may fit now, so that a full sync has to look for them.
        """
        before, entries = self.entries, dict(self.entries)
        for name, best in changes.items():
            connector_id = self.rules.id_of(name)
            entry = merged_entry(best, entries.get(connector_id))
            if entry is None:
                entries.pop(connector_id, None)
            else:
                entries[connector_id] = entry
        found = self.counts.found + len(entries) - len(before)
        chosen, chosen_before, room = available(entries), available(before), self.max_connectors
        for connector_id in chosen[room:]:
            del entries[connector_id]
        was_full = self.left_out > 0 or len(chosen_before) >= room
        # Those that were left out come after the last published one, in an order that is not known here.
        may_fit = len(chosen) < room or chosen[:room][-1:] > chosen_before[-1:]
        self._publish(entries, watermark)
        skipped = dict(self.counts.skipped)
        if len(chosen) - room > self.left_out:
            skipped[SkipReason.LIMIT_REACHED] = SkipCount(len(chosen) - room)
        self.counts = SyncCounts(max(found, len(entries)), min(len(chosen), room), skipped)
        return was_full and may_fit

    # --- results ----------------------------------------------------------------------------------------------------------------------

    @property
    def max_connectors(self) -> int:
        """The largest number of servers to publish."""
        return min(self.rules.max_connectors, self.room().connectors)

    @property
    def left_out(self) -> int:
        """How many servers filter.maxConnectors, or the gateway's limits, leave out."""
        return self.counts.skipped.get(SkipReason.LIMIT_REACHED, SkipCount(0)).count

    def success(self) -> Finding:
        """The condition Synced after a sync that came to its end."""
        published = f"{self.counts.published} of {self.counts.found} servers are published"
        if self.left_out:
            by = "filter.maxConnectors" if self.max_connectors == self.rules.max_connectors else "the limits of the gateway"
            message = f"{published}; {self.left_out} are left out by {by}: the last ones in the order of their names"
            return Finding("True", Reason.CONNECTOR_LIMIT_REACHED, message)
        return Finding("True", Reason.SYNCED, published)

    def _publish(self, entries: Mapping[str, Entry], watermark: str, digest: str | None = None) -> None:
        """Replace what is published. Entries that did not change stay the same object, so that nothing looks at them again."""
        digest = str(self.rules.digest) if digest is None else digest
        discovered = self.discovered
        if discovered is not None and discovered.entries == entries:
            if (discovered.digest, discovered.watermark) != (digest, watermark):
                self.discovered = replace(discovered, digest=digest, watermark=watermark)
            return
        credentialed = frozenset(key for key, entry in entries.items() if entry.credentials)
        self.discovered = Discovered(self.rules.registry_id, digest, watermark, entries, credentialed)


def _size(entries: Mapping[str, Entry]) -> int:
    return sum(map(weight_of, entries.values()))
