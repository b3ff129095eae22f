"""What one gateway's plan says about one resource."""

from dataclasses import dataclass

from junctor.api.conditions import Finding, Reason
from junctor.api.resources import Resource
from junctor.api.sync_report import SyncReport
from junctor.connectormap.connector_map import Entry
from junctor.planning.acceptance import refused


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one gateway's plan says about one resource. entry: what the map should hold of it, or None. id: of that entry.

    sync: how far the syncs of a registry are, None when it has not begun.
    """

    resource: Resource
    id: str
    accepted: Finding
    resolved: Finding
    entry: Entry | None = None
    disabled: bool = False
    available: bool = True
    credentials: tuple[str, ...] = ()
    sync: SyncReport | None = None

    def without_entry(self, reason: Reason, message: str) -> "Verdict":
        """The verdict on a resource that cannot be published after all."""
        return Verdict(self.resource, self.id, refused(reason, message), self.resolved)
