"""Guards against a registry that suddenly lists far fewer servers, for example because it lost its database."""

from collections.abc import Collection, Mapping
from typing import Final

from junctor.api.conditions import Finding, Reason
from junctor.api.names import ACCEPT_SHRINK_ANNOTATION
from junctor.connectormap.digests import canonical_json, sha256
from junctor.connectormap.entry import Entry
from junctor.registry.merge import available, is_lost
from junctor.registry.scan import RegistryScan

#: A loss is suspicious if it is at least this many servers and more than half of the available ones.
AT_LEAST: Final = 20
#: This many consecutive full syncs that find the same loss confirm it.
FULL_SYNCS: Final = 3


def is_suspicious(lost: int, published: Mapping[str, Entry]) -> bool:
    """Whether the loss of so many of the published servers is suspicious."""
    return lost >= AT_LEAST and 2 * lost > len(available(published))


def lost_connectors(scan: RegistryScan, published: Mapping[str, Entry], *, made_by_other_rules: bool) -> Collection[str]:
    """Return the ids of the published connectors that a complete scan removes, except for those that the rules forbid.

    made_by_other_rules: the published entries were made under other rules than the scan's. Then a server that the scan's rules deselect is
    not lost, but one that the registry no longer lists is.
    """
    prefix, lost = len(scan.rules.id_of("")), set()
    for connector_id, entry in published.items():
        name = connector_id[prefix:]
        best = scan.servers.get(name)
        if is_lost(best, entry) and (not made_by_other_rules or (best is None and scan.rules.selects_name(name))):
            lost.add(connector_id)
    return lost


class ShrinkGuard:
    """Holds a suspicious loss back until it is confirmed: by the owner, or by full syncs in a row that find the same."""

    def __init__(self) -> None:
        self._digest, self._repeated = "", 0

    def judge(self, lost: Collection[str], remaining: Collection[str], published: Mapping[str, Entry], accepted: str) -> Finding | None:
        """Judge the loss that a complete scan found.

        Args:
            lost: ids of connectors that would be removed.
            remaining: ids of connectors that would stay.
            published: the published entries.
            accepted: the digest that the owner confirms.

        Returns:
            The finding that holds the loss back; None when it is believed.
        """
        if not is_suspicious(len(lost), published):
            self._digest, self._repeated = "", 0
            return None
        # The digest names what would be lost, too: a confirmation that was left in place must not confirm another loss.
        digest = sha256(canonical_json([sorted(remaining), sorted(lost)])).removeprefix("sha256:")[:12]
        self._digest, self._repeated = digest, self._repeated + 1 if digest == self._digest else 1
        if self._repeated >= FULL_SYNCS or accepted == digest:
            self._digest, self._repeated = "", 0
            return None
        return Finding(
            "False",
            Reason.SUSPICIOUS_SHRINK,
            f"{len(lost)} of {len(available(published))} published servers are gone from the registry; they stay published until "
            f"{FULL_SYNCS} full syncs in a row find the same (this was number {self._repeated}), or the annotation "
            f"{ACCEPT_SHRINK_ANNOTATION}: {digest} confirms it",
        )
