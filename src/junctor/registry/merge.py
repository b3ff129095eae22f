"""What is to be published of a server, by what a registry says of it now and by what is published of it."""

from collections.abc import Mapping
from typing import Final

from junctor.api.conditions import SkipReason
from junctor.api.sync_report import SkipCount
from junctor.connectormap.entry import Entry
from junctor.registry.mapping import Skipped
from junctor.registry.scan import EXAMPLES, BestVersion
from junctor.registry.versions import can_tell, is_newer

#: What the owner's rules forbid takes effect at once, however many servers it concerns.
FORBIDDEN: Final = frozenset({SkipReason.HOST_NOT_ALLOWED, SkipReason.INSECURE_URL, SkipReason.PRIVATE_ADDRESS})
#: What a server that is published loses its address for and is still listed, so that its callers learn why.
LISTED: Final = FORBIDDEN | {SkipReason.CONFIGURATION_REQUIRED, SkipReason.INVALID_RECORD, SkipReason.TOO_LARGE}


def merged_entry(best: BestVersion, published: Entry | None) -> Entry | None:
    """The entry of a server that was looked at, the published one where it says the same; None when it has none."""
    entry = best.outcome
    if isinstance(entry, Skipped):
        if published is None or entry.reason not in LISTED:
            return None
        entry = published.without_target(entry.reason, best.version)
    return published if published is not None and published.digest == entry.digest else entry


def is_lost(best: BestVersion | None, published: Entry) -> bool:
    """Whether a server could be called and can be no longer, for another reason than that it must not be. best: None when it is gone."""
    if not published.available:
        return False
    return best is None or (isinstance(best.outcome, Skipped) and best.outcome.reason not in FORBIDDEN)


def supersedes(best: BestVersion, published: Entry) -> bool:
    """Whether a version that was best follows the published one, although more of the server's versions may come."""
    version = published.view.version
    return best.version == version or (can_tell(best.version, version) and is_newer(best.version, 0.0, version, 0.0))


def available(entries: Mapping[str, Entry]) -> list[str]:
    """The ids of the servers that may be called, in the order of their names."""
    return sorted(connector_id for connector_id, entry in entries.items() if entry.available)


class SkipCounter:
    """Counts skipped servers by reason, and names the first of them."""

    def __init__(self) -> None:
        self._counts: dict[SkipReason, SkipCount] = {}

    def add(self, reason: SkipReason, named: str) -> None:
        """Count one. named: how a status names it."""
        skipped = self._counts.get(reason, SkipCount(0))
        examples = (*skipped.examples, named) if len(skipped.examples) < EXAMPLES else skipped.examples
        self._counts[reason] = SkipCount(skipped.count + 1, examples)

    def counts(self) -> Mapping[SkipReason, SkipCount]:
        """How many there are of each, with examples."""
        return dict(self._counts)
