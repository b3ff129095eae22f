"""The content of a map, and the content that follows from a plan. Pure: large maps are worked on in a thread."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from junctor.connectormap.digests import FEW_CHANGES, digest_lines, replace_digests, revision_of
from junctor.connectormap.entry import Entry
from junctor.connectormap.head import RegistryRecord, ReleasedId
from junctor.connectormap.ids import entry_id_of_registry, registry_entry_id
from junctor.connectormap.layout import Layout, bucket_of
from junctor.planning.inputs import Published, origin_of
from junctor.planning.plan import GatewayPlan

Changes = Mapping[str, Entry | None]


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What changes of registries' servers cause to be written. bytes: of shards, by registry. total: of all these shards."""

    bytes: Mapping[str, int] = field(default_factory=dict)
    total: int = 0


@dataclass(frozen=True, slots=True)
class MapState:
    """What is in a map. Immutable.

    digests: `digest_lines` of all entries. planned: by registry, the mapping of planned servers that was last published; the same object
    again means that nothing changed. discovered_since: by registry, the sequence in which any of its servers last changed.
    """

    layout: Layout = field(repr=False)
    published: Published = field(default_factory=Published, repr=False)
    digests: bytes = field(default=b"", repr=False)
    planned: Mapping[str, Mapping[str, Entry]] = field(default_factory=dict, repr=False)
    discovered_since: Mapping[str, int] = field(default_factory=dict)
    rewritten: Rewritten = Rewritten()

    @classmethod
    def of(cls, layout: Layout, records: Iterable[RegistryRecord] = (), released: Iterable[ReleasedId] = ()) -> Self:
        """The state that a stored map describes. records, released: the registries and the released ids in its head."""
        by_entry = {entry_id_of_registry(record.id): record for record in records}
        entries: dict[str, Entry] = {}
        # A registry without servers is part of the state too.
        discovered: dict[str, dict[str, Entry]] = {registry: {} for registry in by_entry}
        since = dict.fromkeys(by_entry, 0)
        for connector_id, entry in layout.entries().items():
            registry = registry_entry_id(connector_id)
            if registry:
                discovered.setdefault(registry, {})[connector_id] = entry
                since[registry] = max(since.get(registry, 0), entry.since)
            else:
                entries[connector_id] = entry
        origins = {connector_id: origin_of(entry) for connector_id, entry in entries.items()}
        digests = digest_lines(entry.digest for shard in layout.shards.values() for entry in shard.entries.values())
        published = Published(entries, origins, discovered, by_entry, {item.id: item for item in released})
        return cls(layout, published, digests, {}, since)

    @property
    def connectors(self) -> int:
        """How many entries there are."""
        return len(self.published.entries) + sum(map(len, self.published.discovered.values()))

    @property
    def revision(self) -> str:
        """The revision of the map."""
        return revision_of(self.digests)

    def sequences_of_registries(self, plan: GatewayPlan, *, is_writing: bool) -> dict[str, int]:
        """The sequence in which the servers of a registry last changed, of those registries whose planned servers are in the map.

        is_writing: the map is about to follow the plan; until it does, servers selected by the same rules count as well.
        """
        rules = {entry_id_of_registry(record.id): _rules(record) for record in plan.records}
        return {
            registry: self.discovered_since.get(registry, 0)
            for registry, servers in plan.discovered.items()
            if self.planned.get(registry) is servers
            or (is_writing and rules[registry][1] and _rules(self.published.records.get(registry)) == rules[registry])
        }

    def effort(self, plan: GatewayPlan) -> int:
        """How many entries `successor` has to compare one by one."""
        fresh = sum(len(entries) for registry, entries in plan.discovered.items() if self.planned.get(registry) is not entries)
        removed = sum(len(entries) for registry, entries in self.published.discovered.items() if registry not in plan.discovered)
        return len(plan.entries) // 8 + fresh + removed

    def successor(self, plan: GatewayPlan, sequence: int) -> "tuple[MapState, Changes]":
        """The state that follows the plan, changed entries with `sequence` as their `since`; and the changes (None: removed)."""
        published = self.published
        changes = _changes(plan.entries, published.entries, sequence)
        entries = _applied(published.entries, changes)
        discovered, since = {}, {}
        for registry in (*plan.discovered, *(key for key in published.discovered if key not in plan.discovered)):
            before = published.discovered.get(registry, {})
            if registry in plan.discovered and self.planned.get(registry) is plan.discovered[registry]:
                discovered[registry], since[registry] = before, self.discovered_since[registry]
                continue
            changed = _changes(plan.discovered.get(registry, {}), before, sequence)
            changes.update(changed)
            if registry in plan.discovered:
                discovered[registry] = _applied(before, changed)
                since[registry] = sequence if changed else self.discovered_since.get(registry, 0)
        layout = self.layout.replace(changes) if changes else self.layout
        records = {entry_id_of_registry(record.id): record for record in plan.records}
        following = Published(entries, plan.origins, discovered, records, plan.released)
        rewritten = _rewritten(changes, layout, rebuilt=layout.buckets != self.layout.buckets)
        return MapState(layout, following, self._digests(changes, layout), dict(plan.discovered), since, rewritten), changes

    def _digests(self, changes: Changes, layout: Layout) -> bytes:
        if len(changes) > FEW_CHANGES:
            return digest_lines(entry.digest for shard in layout.shards.values() for entry in shard.entries.values())
        old = [entry.digest for key in changes if (entry := self._entry(key)) is not None]
        return replace_digests(self.digests, old, [entry.digest for entry in changes.values() if entry is not None])

    def _entry(self, connector_id: str) -> Entry | None:
        registry = registry_entry_id(connector_id)
        entries = self.published.discovered.get(registry, {}) if registry else self.published.entries
        return entries.get(connector_id)


def _rewritten(changes: Changes, layout: Layout, *, rebuilt: bool) -> Rewritten:
    """rebuilt: every shard is a new one, which counts for each registry that changed."""
    touched: dict[str, set[int]] = {}
    for connector_id in changes:
        registry = registry_entry_id(connector_id)
        if registry:
            touched.setdefault(registry, set()).add(bucket_of(connector_id, layout.buckets, layout.salt))
    if not touched:
        return Rewritten()
    sizes = {bucket: shard.size for bucket, shard in layout.shards.items()}
    if rebuilt:
        touched = {registry: set(sizes) for registry in touched}
    total = set().union(*touched.values())
    sums = {registry: sum(sizes.get(bucket, 0) for bucket in buckets) for registry, buckets in touched.items()}
    return Rewritten(sums, sum(sizes.get(bucket, 0) for bucket in total))


def _rules(record: RegistryRecord | None) -> tuple[str | None, str | None]:
    return (record.uid, record.filter_digest) if record is not None else (None, None)


def _changes(planned: Mapping[str, Entry], published: Mapping[str, Entry], sequence: int) -> dict[str, Entry | None]:
    changes: dict[str, Entry | None] = {}
    for key, entry in planned.items():
        before = published.get(key)
        if before is not entry and (before is None or before.digest != entry.digest):
            changes[key] = entry.changed_at(sequence)
    changes.update((key, None) for key in published if key not in planned)
    return changes


def _applied(entries: Mapping[str, Entry], changes: Changes) -> Mapping[str, Entry]:
    if not changes:
        return entries
    result = dict(entries)
    for key, entry in changes.items():
        if entry is None:
            result.pop(key, None)
        else:
            result[key] = entry
    return result
