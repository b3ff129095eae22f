"""The report on the syncs of a registry: the sync builds it, the plan reads it, and the status of the MCPRegistry shows it.

It is part of `api` because `planning` and `registry` both need it and must not import each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from junctor.api.conditions import Finding, SkipReason
from junctor.api.limits import Room, weight_of
from junctor.connectormap.credentials import reference_of
from junctor.connectormap.entry import UNRESOLVED_REFS, Entry
from junctor.connectormap.head import RegistryRecord


@dataclass(frozen=True, slots=True, eq=False)
class Discovered:
    """The servers of one registry that are to be published.

    digest: of all rules that decide which servers are published and how; when it changes, the next sync is a full one. watermark: RFC 3339,
    where the next incremental sync begins; "" before the first complete full sync. entries: by connector id; they name credentials by
    reference, without a version, so that a changed Secret changes the map at once, without another sync. credentialed: the ids of the
    entries that name a credential. room: what they take of the limits.
    """

    registry_id: str
    digest: str
    watermark: str
    entries: Mapping[str, Entry] = field(repr=False)
    credentialed: frozenset[str] = field(repr=False)
    room: Room = field(init=False)

    def __post_init__(self) -> None:
        """Add the entries up once: a registry can have 100,000."""
        object.__setattr__(self, "room", Room(len(self.entries), sum(map(weight_of, self.entries.values()))))

    @classmethod
    def recalled(cls, record: RegistryRecord, published: Mapping[str, Entry]) -> Self:
        """Restore the servers from a published map, when the operator starts.

        A server that was published without its credentials, because they were missing, can only be learned from the registry again, and
        so can servers that a damaged map lost: then the watermark is "", which makes the next sync a full one.

        Args:
            record: What the head of the map stores about the registry.
            published: The published entries of its servers, by id.
        """
        entries = {connector_id: entry.rename_credentials(reference_of) for connector_id, entry in published.items()}
        credentialed = frozenset(connector_id for connector_id, entry in published.items() if entry.credentials)
        is_damaged = len(published) < record.connectors
        is_incomplete = is_damaged or any(entry.reason == UNRESOLVED_REFS for entry in published.values())
        watermark = "" if is_incomplete else record.watermark or ""
        return cls(record.id, record.filter_digest or "", watermark, entries, credentialed)


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
