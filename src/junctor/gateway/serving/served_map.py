"""What a gateway pod serves: one verified connector map, prepared once for the catalog and for calls.

Entries stay canonical text: 100,000 of them fit into memory as text, but not as models. What the catalog needs of every entry is extracted
once for each new entry. A map and its successor share everything that did not change, so a changed connector costs the work of its own
shard, and a changed registry that of the shards of its servers, because they inherit from it.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

from junctor.connectormap.entry import Entry
from junctor.connectormap.ids import is_registry_entry, registry_entry_id
from junctor.connectormap.messages import Acknowledgement
from junctor.connectormap.policy import Subject
from junctor.connectormap.reader import ConnectorMap
from junctor.gateway.serving.connector import Connector, Registry
from junctor.gateway.serving.rejections import Rejection, bounded_rejections
from junctor.net.timestamps import rfc3339

#: How many new ids are sorted in one step, which takes a few milliseconds.
_SORT_STEP: Final = 8192


@dataclass(frozen=True, slots=True)
class PreparedShard:
    """The connectors of one shard, and summaries that `PreparedMap` combines.

    rejected: ids and reasons. registries: those whose entry is in this shard. inherits: the registries, by the ids of their entries, from
    which the connectors inherit; None for one that is missing. discovered: how many of a registry's servers are here, for each `access`.
    """

    connectors: Mapping[str, Connector] = field(repr=False)
    credentials: frozenset[str] = field(repr=False)
    rejected: tuple[tuple[str, str], ...] = ()
    registries: Mapping[str, Registry] = field(default_factory=dict, repr=False)
    inherits: Mapping[str, Registry | None] = field(default_factory=dict, repr=False)
    discovered: Mapping[tuple[str, frozenset[Subject] | None], int] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, entries: Iterable[Entry], known: Mapping[str, Connector], registries: Mapping[str, Registry]) -> Self:
        """Prepare a shard. Connectors in `known` are prepared already and used again. registries: all of the map, by entry id."""
        connectors: dict[str, Connector] = {}
        inherits: dict[str, Registry | None] = {}
        discovered: Counter[tuple[str, frozenset[Subject] | None]] = Counter()
        for entry in entries:
            if is_registry_entry(entry.id):
                continue
            shared = registry_entry_id(entry.id)
            registry = registries.get(shared)
            previous = known.get(entry.id)
            is_same = previous is not None and previous.entry is entry and previous.registry is registry
            connector = connectors[entry.id] = previous if previous is not None and is_same else Connector.of(entry, registry)
            if shared:
                inherits[shared] = registry
                discovered[shared, connector.access] += 1
        return cls(
            connectors,
            frozenset(key for connector in connectors.values() for key in connector.credentials),
            tuple((key, connector.rejected) for key, connector in connectors.items() if connector.rejected),
            {entry.id: registries[entry.id] for entry in entries if is_registry_entry(entry.id)},
            inherits,
            discovered,
        )

    def is_current(self, registries: Mapping[str, Registry]) -> bool:
        """Tell whether the connectors inherit from these registries."""
        return all(registries.get(key) is registry for key, registry in self.inherits.items())


@dataclass(frozen=True, slots=True)
class PreparedMap:
    """A map with its connectors prepared, before its credentials are there. ids: in order, as are the registries.

    discovered: how many servers there are of a registry, by the id of its entry and their `access`.
    """

    map: ConnectorMap = field(repr=False)
    shards: Mapping[str, PreparedShard] = field(repr=False)
    connectors: Mapping[str, Connector] = field(repr=False)
    ids: tuple[str, ...] = field(repr=False)
    needed: frozenset[str] = field(repr=False)
    registries: Mapping[str, Registry] = field(default_factory=dict, repr=False)
    discovered: Mapping[tuple[str, frozenset[Subject] | None], int] = field(default_factory=dict, repr=False)

    @classmethod
    async def of(cls, connector_map: ConnectorMap, previous: "PreparedMap | None" = None) -> Self:
        """Prepare a map, sharing with the one served before it whatever is the same; lets requests run between shards."""
        known = previous.connectors if previous else {}
        previous_shards = previous.shards if previous else {}
        registries = _registries(connector_map, previous)
        shards = {}
        for digest, entries in connector_map.shards.items():
            shard = previous_shards.get(digest)
            if shard is None or not shard.is_current(registries):
                shard = PreparedShard.of(entries.values(), known, registries)
                await asyncio.sleep(0)
            shards[digest] = shard
        connectors = dict(known)
        for digest, shard in previous_shards.items():
            if shards.get(digest) is not shard:
                for key in shard.connectors:
                    connectors.pop(key, None)
        for digest, shard in shards.items():
            if previous_shards.get(digest) is not shard:
                connectors.update(shard.connectors)
        same_ids = len(connectors) == len(known) and connectors.keys() == known.keys()
        ids = previous.ids if previous and same_ids else await _ordered(connectors, previous)
        needed = frozenset().union(*(shard.credentials for shard in shards.values() if shard.credentials))
        discovered: Counter[tuple[str, frozenset[Subject] | None]] = Counter()
        for shard in shards.values():
            discovered.update(shard.discovered)
        return cls(connector_map, shards, connectors, ids, needed, registries, discovered)


def _registries(connector_map: ConnectorMap, previous: PreparedMap | None) -> dict[str, Registry]:
    """All registries by the ids of their entries, in order; those whose entry did not change are the same objects."""
    known = previous.registries if previous else {}
    previous_shards = previous.shards if previous else {}
    found: dict[str, Registry] = {}
    for digest, entries in connector_map.shards.items():
        if digest in previous_shards:
            found.update(previous_shards[digest].registries)
            continue
        for entry in entries.values():
            if is_registry_entry(entry.id):
                before = known.get(entry.id)
                found[entry.id] = before if before is not None and before.entry is entry else Registry.of(entry)
    return dict(sorted(found.items()))


async def _ordered(connectors: Mapping[str, Connector], previous: PreparedMap | None) -> tuple[str, ...]:
    """The ids in order, made from those of the map before; lets requests run in between."""
    known = previous.connectors if previous else {}
    ordered = [key for key in previous.ids if key in connectors] if previous else []
    new = [key for key in connectors if key not in known]
    for begin in range(0, len(new), _SORT_STEP):
        ordered += new[begin : begin + _SORT_STEP]
        ordered.sort()  # quick, because all but the last step's are in order
        await asyncio.sleep(0)
    return tuple(ordered)


@dataclass(frozen=True, slots=True)
class ServedMap:
    """The map that requests use; a request keeps the one it began with. Immutable: the next map is another object.

    applied_at: when the gateway began to serve it, UTC. missing: credential keys that no credential object has.
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
                rejected += [(key, _MISSING) for key, c in shard.connectors.items() if not missing.isdisjoint(c.credentials)]
        # A reason that concerns all servers of a registry is reported once.
        rejected += [(key, registry.rejected) for key, registry in prepared.registries.items() if registry.rejected]
        rejected += [(key, _NO_REGISTRY) for key in {key for key, _ in prepared.discovered} - prepared.registries.keys()]
        return cls(prepared, credentials, applied_at, missing, bounded_rejections(rejected))

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

    @property
    def registries(self) -> Mapping[str, Registry]:
        """The registries by the ids of their entries, in order."""
        return self.prepared.registries

    def __len__(self) -> int:
        return len(self.prepared.ids)

    def get(self, connector_id: str) -> Connector | None:
        """Return the connector of an id, None when there is none."""
        return self.prepared.connectors.get(connector_id)

    def unavailable(self, connector: Connector) -> str:
        """Return why a connector cannot be used now, as one word; "" when it can."""
        if not connector.unavailable and not self.missing.isdisjoint(connector.credentials):
            return "CredentialMissing"
        return connector.unavailable

    def acknowledgement(self) -> Acknowledgement:
        """Return what the pod reports to the operator."""
        applied_at = rfc3339(self.applied_at, "microseconds")
        rejected = {rejection.id: rejection.reason for rejection in self.rejected}
        return Acknowledgement(self.sequence, self.revision, rejected, applied_at)


_MISSING = "its credential is not in the credential Secrets of the map; the operator publishes it anew"
_NO_REGISTRY = "the entry from which the servers of this registry inherit is not in the map; the operator publishes it anew"
