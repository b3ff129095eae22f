"""What one gateway's plan says about one resource."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from junctor.api.conditions import Finding, Reason
from junctor.api.resources import Resource
from junctor.api.sync_report import SyncReport
from junctor.connectormap.entry import Entry
from junctor.planning.acceptance import refused

ACCEPTED: Final = Finding("True", Reason.ACCEPTED, "the resource is valid")
RESOLVED: Final = Finding("True", Reason.RESOLVED_REFS, "all references are resolved")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one gateway's plan says about one resource.

    id: of its entry. entry: what the map should contain for it, or None. is_available: whether callers can use it. credentials: every
    `<refhash>.<version>` that its entries name. sync: report on the syncs of a registry, None before the first one. servers: the entries
    of a registry's servers, by id, None while nothing is known of them.
    """

    resource: Resource
    id: str
    accepted: Finding
    resolved: Finding
    entry: Entry | None = None
    is_disabled: bool = False
    is_available: bool = True
    credentials: tuple[str, ...] = ()
    sync: SyncReport | None = None
    servers: Mapping[str, Entry] | None = field(default=None, repr=False, compare=False)

    def without_entry(self, reason: Reason, message: str) -> "Verdict":
        """Refuse the resource although it owns its id."""
        return Verdict(self.resource, self.id, refused(reason, message), self.resolved)
