"""Merges what a registry says of a server now with what is published of it."""

from collections.abc import Mapping
from typing import Final

from junctor.api.conditions import SkipReason
from junctor.api.sync_report import SkipCount
from junctor.connectormap.entry import Entry
from junctor.registry.mapping import Skipped
from junctor.registry.scan import BestVersion
from junctor.registry.versions import are_comparable, is_newer

#: Reasons for which the owner's rules forbid a server. They take effect at once, however many servers they concern.
FORBIDDEN: Final = frozenset({SkipReason.HOST_NOT_ALLOWED, SkipReason.INSECURE_URL, SkipReason.PRIVATE_ADDRESS})
#: Reasons for which a published server stays listed without its address, so that its callers learn why it cannot be called.
LISTED: Final = FORBIDDEN | {SkipReason.CONFIGURATION_REQUIRED, SkipReason.INVALID_RECORD, SkipReason.TOO_LARGE}
_EXAMPLES: Final = 5


def merged_entry(best: BestVersion, published: Entry | None) -> Entry | None:
    """Return the entry to publish for a server: the published object itself where nothing changed, None when there is none."""
    entry = best.outcome
    if isinstance(entry, Skipped):
        if published is None or entry.reason not in LISTED:
            return None
        entry = published.without_target(entry.reason, best.version)
    return published if published is not None and published.digest == entry.digest else entry


def is_lost(best: BestVersion | None, published: Entry) -> bool:
    """Whether a server that could be called cannot any more, although no rule forbids it. best: None when it is not listed."""
    if not published.available:
        return False
    return best is None or (isinstance(best.outcome, Skipped) and best.outcome.reason not in FORBIDDEN)


def supersedes(best: BestVersion, published: Entry) -> bool:
    """Whether a version certainly follows the published one, even when the scan has more versions of the server to come."""
    version = published.view.version
    return best.version == version or (are_comparable(best.version, version) and is_newer(best.version, 0.0, version, 0.0))


def available(entries: Mapping[str, Entry]) -> list[str]:
    """Return the ids of the servers that may be called, in the order of their names."""
    return sorted(connector_id for connector_id, entry in entries.items() if entry.available)


class SkipCounter:
    """Counts skipped servers by reason, and names the first of each."""

    def __init__(self) -> None:
        self._counts: dict[SkipReason, SkipCount] = {}

    def add(self, reason: SkipReason, example: str) -> None:
        """Count one server. example: how a status names it."""
        skipped = self._counts.get(reason, SkipCount(0))
        examples = (*skipped.examples, example) if len(skipped.examples) < _EXAMPLES else skipped.examples
        self._counts[reason] = SkipCount(skipped.count + 1, examples)

    def counts(self) -> Mapping[SkipReason, SkipCount]:
        """Return the counts by reason."""
        return dict(self._counts)
