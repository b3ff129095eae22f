"""A registry that suddenly holds much less: whether that is believed."""

from collections.abc import Collection, Mapping
from typing import Final

from junctor.api.conditions import Finding, Reason
from junctor.api.names import ACCEPT_SHRINK_ANNOTATION
from junctor.connectormap.connector_map import Entry, canonical, sha256
from junctor.registry.merge import available, is_lost
from junctor.registry.scan import RegistryScan

#: Losing so many servers at once, and more than half, is not believed at first.
AT_LEAST: Final = 20
#: Equal walks in a row after which it is.
WALKS: Final = 3


def is_much(lost: int, published: Mapping[str, Entry]) -> bool:
    """Whether it is suspicious to lose so many of what is published."""
    return lost >= AT_LEAST and 2 * lost > len(available(published))


def lost_to(scan: RegistryScan, published: Mapping[str, Entry], *, other_rules: bool) -> Collection[str]:
    """The published connectors that a whole scan takes away, the forbidden ones aside.

    other_rules: than the scan's made what is published. What they let through and the scan's do not is believed to be gone; what the
    registry does not list is not, because no rule does that.
    """
    prefix, lost = len(scan.rules.id_of("")), set()
    for connector_id, entry in published.items():
        name = connector_id[prefix:]
        best = scan.servers.get(name)
        if is_lost(best, entry) and (not other_rules or (best is None and scan.rules.selects_name(name))):
            lost.add(connector_id)
    return lost


class Shrink:
    """Counts the walks in a row that found the same loss."""

    def __init__(self) -> None:
        self._digest, self._walks = "", 0

    def judge(self, lost: Collection[str], remaining: Collection[str], published: Mapping[str, Entry], accepted: str) -> Finding | None:
        """Take the loss that a whole scan found; the finding that holds it back, None when it is believed.

        lost, remaining: connector ids. accepted: the digest that the owner confirms.
        """
        if not is_much(len(lost), published):
            self._digest, self._walks = "", 0
            return None
        # Of what goes as well: a confirmation that nobody removed must not confirm another loss.
        digest = sha256(canonical([sorted(remaining), sorted(lost)])).removeprefix("sha256:")[:12]
        self._digest, self._walks = digest, self._walks + 1 if digest == self._digest else 1
        if self._walks >= WALKS or accepted == digest:
            self._digest, self._walks = "", 0
            return None
        return Finding(
            "False",
            Reason.SUSPICIOUS_SHRINK,
            f"{len(lost)} of {len(available(published))} published servers are gone from the registry; they stay published until "
            f"{WALKS} equal walks in a row say so (this was number {self._walks}), or the annotation {ACCEPT_SHRINK_ANNOTATION}: {digest} "
            "confirms it",
        )
