"""What the syncs of a registry report, in the one shape that the sync builds, the plan reads and the status of an MCPRegistry shows.

It lives here because the planner and the registry client may both import it, and neither of them the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from junctor.api.conditions import Finding, SkipReason
from junctor.connectormap.discovered import Discovered


@dataclass(frozen=True, slots=True)
class SkipCount:
    """The servers of a registry that are not published for one reason. examples: some of their names, with what is wrong."""

    count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SyncCounts:
    """found: servers in the registry. published: those of them that may be called. skipped: the others, by reason."""

    found: int = 0
    published: int = 0
    skipped: Mapping[SkipReason, SkipCount] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class SyncReport:
    """How far the syncs of one registry are.

    generation: of the resource that the syncs follow. synced: the condition. discovered: what to publish, None before the first success.
    current: whether that was made by the rules of that generation. times: RFC 3339, "" for never. handled_request: the value of the
    annotation that requested the last sync.
    """

    generation: int
    synced: Finding
    discovered: Discovered | None = None
    current: bool = False
    counts: SyncCounts = SyncCounts()
    last_sync: str = ""
    last_full_sync: str = ""
    handled_request: str = ""
