"""What a gateway pod serves: one verified connector map, prepared once for the catalog and for calls.

Entries stay canonical text: 100,000 of them fit, models would not. What the catalog asks of every entry is taken out once for each new
entry; a map and its successor share everything that did not change, so a changed connector costs its own shard.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from junctor.api.connector_map import ConnectorMap, Entry, credentials_of, unknown_features
from junctor.gateway.access import Subject, read_access


@dataclass(frozen=True, slots=True)
class Rejection:
    """An entry that this pod lists and does not use. reason: a sentence for the resource's status."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Connector:
    """An entry with what is asked of all entries at once.

    haystack: what `search` looks in, case-folded. unavailable: the reason word, "" when it may be used.
    rejected: why this pod in particular does not use it, "" when it does. credentials: the keys that it needs.
    access: who may know of it and use it; None: everybody.
    """

    entry: Entry = field(repr=False)
    haystack: str = field(repr=False)
    unavailable: str = ""
    rejected: str = ""
    credentials: tuple[str, ...] = ()
    access: frozenset[Subject] | None = None

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Prepare an entry. One that is not understood is unavailable: it fails closed, by itself."""
        content = entry.content
        haystack = "\n".join(str(content.get(key) or "") for key in ("id", "title", "description")).casefold()
        access = read_access(content)
        if unknown := unknown_features(content):
            told = f"requires {', '.join(unknown)[:200]}, which this gateway does not know; upgrade it"
            return cls(entry, haystack, "UnknownFeature", told, access=access)
        try:
            credentials = tuple(map(str, credentials_of(content)))
        except (TypeError, AttributeError, KeyError):
            told = "its headers or auth are not of the form that this gateway reads"
            return cls(entry, haystack, "InvalidEntry", told, access=access)
        unavailable = "" if content.get("available") is True else str(content.get("reason") or "Unavailable")
        return cls(entry, haystack, unavailable, "", credentials, access)


@dataclass(frozen=True, slots=True)
class PreparedShard:
    """The connectors of one shard, and what of them concerns the whole map."""

    connectors: Mapping[str, Connector] = field(repr=False)
    credentials: frozenset[str] = field(repr=False)
    rejected: tuple[Rejection, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[Entry], known: Mapping[str, Connector]) -> Self:
        """Prepare a shard; entries that `known` prepared already are taken from there."""
        connectors = {}
        for entry in entries:
            held = known.get(entry.id)
            connectors[entry.id] = held if held is not None and held.entry is entry else Connector.of(entry)
        return cls(
            connectors,
            frozenset(key for connector in connectors.values() for key in connector.credentials),
            tuple(Rejection(key, connector.rejected) for key, connector in connectors.items() if connector.rejected),
        )


@dataclass(frozen=True, slots=True)
class PreparedMap:
    """A map with its connectors prepared, before its credentials are there. ids: in order."""

    map: ConnectorMap = field(repr=False)
    shards: Mapping[str, PreparedShard] = field(repr=False)
    connectors: Mapping[str, Connector] = field(repr=False)
    ids: tuple[str, ...] = field(repr=False)
    needed: frozenset[str] = field(repr=False)

    @classmethod
    async def of(cls, connector_map: ConnectorMap, previous: "PreparedMap | None" = None) -> Self:
        """Prepare a map, sharing with the one served before it whatever is the same; lets requests run between shards."""
        known = previous.connectors if previous else {}
        held = previous.shards if previous else {}
        shards = {}
        for digest, entries in connector_map.shards.items():
            shards[digest] = held.get(digest) or PreparedShard.of(entries.values(), known)
            if digest not in held:
                await asyncio.sleep(0)
        connectors = dict(known)
        for digest, shard in held.items():
            if digest not in shards:
                for key in shard.connectors:
                    connectors.pop(key, None)
        for digest, shard in shards.items():
            if digest not in held:
                connectors.update(shard.connectors)
        same_ids = len(connectors) == len(known) and connectors.keys() == known.keys()
        ids = previous.ids if previous and same_ids else tuple(sorted(connectors))
        needed = frozenset().union(*(shard.credentials for shard in shards.values() if shard.credentials))
        return cls(connector_map, shards, connectors, ids, needed)


@dataclass(frozen=True, slots=True)
class ServedMap:
    """The map that requests use; a request keeps the one it began with. Immutable: the next map is another object.

    applied_at: when it became the served one, UTC. missing: credential keys that no credential object held.
    """

    prepared: PreparedMap = field(repr=False)
    credentials: Mapping[str, bytes] = field(repr=False)
    applied_at: datetime
    missing: frozenset[str] = field(repr=False)
    rejected: tuple[Rejection, ...] = field(repr=False)

    @classmethod
    def of(cls, prepared: PreparedMap, credentials: Mapping[str, bytes], applied_at: datetime) -> Self:
        """Put a prepared map and credential values together; values that it does not need are dropped."""
        if credentials.keys() != prepared.needed:
            credentials = {key: credentials[key] for key in prepared.needed if key in credentials}
        missing = prepared.needed - credentials.keys()
        rejected = [rejection for shard in prepared.shards.values() for rejection in shard.rejected]
        for shard in prepared.shards.values():
            if missing & shard.credentials:
                rejected += [Rejection(key, _MISSING) for key, c in shard.connectors.items() if not missing.isdisjoint(c.credentials)]
        return cls(prepared, credentials, applied_at, missing, tuple(sorted(rejected, key=lambda rejection: rejection.id)))

    @property
    def sequence(self) -> int:
        """The sequence of the map."""
        return self.prepared.map.head.sequence

    @property
    def revision(self) -> str:
        """The revision of the map."""
        return self.prepared.map.head.revision

    @property
    def ids(self) -> tuple[str, ...]:
        """All ids, in order."""
        return self.prepared.ids

    def __len__(self) -> int:
        return len(self.prepared.ids)

    def get(self, connector_id: str) -> Connector | None:
        """The connector of an id: a dictionary look-up."""
        return self.prepared.connectors.get(connector_id)

    def unavailable(self, connector: Connector) -> str:
        """Why a connector cannot be used now, as one word; "" when it can."""
        if not connector.unavailable and not self.missing.isdisjoint(connector.credentials):
            return "CredentialMissing"
        return connector.unavailable

    def acknowledgement(self) -> dict[str, Any]:
        """What the pod tells the operator: sequence, revision, appliedAt, rejected."""
        applied_at = self.applied_at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        rejected = [{"id": rejection.id, "reason": rejection.reason} for rejection in self.rejected]
        return {"sequence": self.sequence, "revision": self.revision, "appliedAt": applied_at, "rejected": rejected}


_MISSING = "its credential is not in the credential Secrets of the map; the operator publishes it anew"
