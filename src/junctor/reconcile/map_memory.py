"""What this process knows of the published map: from its own writes, and at the start from what is stored. Pure."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self

from junctor.api.configuration import GatewaySpec
from junctor.api.names import CONNECTOR_KIND, REGISTRY_KIND
from junctor.connectormap.digests import sha256
from junctor.connectormap.errors import ConnectorMapError
from junctor.connectormap.head import HEAD_KEY, SHARD_KEY, Head, RegistryRecord, ShardRef, installation_of
from junctor.connectormap.layout import Layout
from junctor.connectormap.reader import read_layout
from junctor.planning.plan import GatewayPlan
from junctor.reconcile.map_state import Changes, MapState
from junctor.reconcile.ports import Signature, StoredObject, Unavailable

logger = logging.getLogger(__name__)

FORGED: Final = "the head is not signed with the map's key, so somebody other than this operator wrote it"


@dataclass(frozen=True, slots=True)
class MapMemory:
    """The published map as this process knows it. Immutable: each method returns another memory or none.

    installation: id of the installation that owns the map; "" before it was read. content: what is in the map. head: the published head;
    None before there is one that can be read. head_matches_content: whether the head says of the content what one written now would say.
    history_incomplete: the stored map could not be read whole when this process began, so its content is not (all) known.
    sequence_at_start: that of the head which this process found when it started or last adopted. removed: the sequence in which a
    resource left the map, by uid. epoch: fences writers; a process keeps the one that it found.
    """

    gateway: GatewaySpec
    installation: str = ""
    content: MapState = field(default_factory=lambda: MapState(Layout("", {})), repr=False)
    head: Head | None = None
    head_matches_content: bool = True
    history_incomplete: bool = False
    sequence_at_start: int = 0
    removed: Mapping[str, int] = field(default_factory=dict)
    epoch: int = 1

    @classmethod
    def empty(cls, gateway: GatewaySpec) -> Self:
        """The memory of a process that has not read anything."""
        return cls(gateway, content=MapState(Layout(gateway.map, {})))

    @property
    def sequence(self) -> int:
        """The sequence of the published head; 0 when there is none."""
        return self.head.sequence if self.head else 0

    @property
    def shard_names(self) -> frozenset[str]:
        """The shards that the head names."""
        return frozenset(ref.name for ref in self.head.shards) if self.head else frozenset()

    def of_installation(self, installation: str) -> Self:
        """The memory of an installation. Its id is the salt of the map's buckets: only readers of the gateway's namespace know it."""
        if self.installation or self.head is not None:
            return replace(self, installation=installation)
        return replace(self, installation=installation, content=MapState(Layout(self.gateway.map, {}, salt=installation)))

    def owns(self, head: StoredObject) -> bool:
        """Whether a stored head belongs to this installation: by its content, or by its owner when it cannot be read."""
        named = installation_of(head.data.get(HEAD_KEY, ""))
        return head.owned if named is None else named == self.installation

    def is_stored(self, stored: StoredObject | None) -> bool:
        """Whether the stored head is the published one, with a valid signature."""
        if self.head is None or stored is None or stored.signature is not Signature.VALID:
            return False
        return stored.data.get(HEAD_KEY) == self.head.to_text()

    def refuse_blind_publish(self, unlisted_kinds: frozenset[str], sequence_floor: int) -> None:
        """Do not publish when both the resource list and the published map are unknown: that is not an empty map.

        Raises Unavailable. sequence_floor: the highest sequence that a pod serves; one without a head means that the head was lost.
        """
        unknown = self.history_incomplete
        if REGISTRY_KIND in unlisted_kinds and unknown and self.head is not None and self.head.registries:
            raise Unavailable(f"{REGISTRY_KIND} resources cannot be listed and the published map is damaged; gateways keep what they serve")
        if CONNECTOR_KIND in unlisted_kinds and (unknown or (self.head is None and sequence_floor > 0)):
            raise Unavailable(f"{CONNECTOR_KIND}s cannot be listed and the published map is damaged; gateways keep what they serve")

    # --- from what is stored ----------------------------------------------------------------------------------------------------------

    def informed_by(self, stored: StoredObject | None, shards: Sequence[StoredObject]) -> Self:
        """The memory after the stored map was read.

        On start the stored map is our state; afterwards a newer head is adopted that another replica wrote.
        """
        if stored is None or not self.owns(stored):
            return self
        texts = {shard.name: shard.data.get(SHARD_KEY, "") for shard in shards}
        if self.head is None:
            return self._recalled(stored, texts)
        return self if self.is_stored(stored) else self._adopted(self.head, stored, texts)

    def _recalled(self, stored: StoredObject, texts: Mapping[str, str]) -> Self:
        """The memory of the process before this one: as much of the stored map as can be read."""
        where = f"map {self.gateway.namespace}/{self.gateway.map}"
        memory = replace(self, history_incomplete=True)
        if stored.signature is Signature.INVALID:
            logger.warning("%s is built anew: %s", where, FORGED)
            return memory
        try:
            head = Head.parse(stored.data.get(HEAD_KEY, ""), stored.name)
            memory = replace(memory, epoch=max(self.epoch, head.epoch))
            refs = [ref for ref in head.shards if _is_intact(ref, texts, where)]
            memory = memory._of(head, read_layout(self.gateway.map, refs, texts, self.installation))
        except (ConnectorMapError, KeyError, TypeError) as error:
            logger.warning("%s cannot be read and is built anew: %s", where, error)
            return memory
        return replace(memory, history_incomplete=len(refs) < len(head.shards) or memory.content.connectors < head.connectors)

    def _adopted(self, own: Head, stored: StoredObject, texts: Mapping[str, str]) -> Self:
        """The memory with the map that another operator of this installation published since, if it is a later and whole one.

        Two operators with one plan would otherwise write over each other for as long as both run.
        """
        if stored.signature is not Signature.VALID:
            return self
        try:
            head = Head.parse(stored.data.get(HEAD_KEY, ""), stored.name)
            if head.epoch != self.epoch or head.sequence <= own.sequence:
                return self
            memory = self._of(head, read_layout(self.gateway.map, head.shards, texts, self.installation))
        except (ConnectorMapError, KeyError, TypeError):
            return self
        return memory if memory.head_matches_content else self

    def _of(self, head: Head, layout: Layout) -> Self:
        content = MapState.of(layout, head.registries, head.released)
        matches = head == self.head_of(head.sequence, content, head.registries)
        return replace(self, head=head, content=content, head_matches_content=matches, sequence_at_start=head.sequence)

    # --- from own writes --------------------------------------------------------------------------------------------------------------

    def head_of(self, sequence: int, content: MapState, registries: Sequence[RegistryRecord]) -> Head:
        """The head to write for a content."""
        return Head(
            installation=self.installation,
            epoch=self.epoch,
            sequence=sequence,
            revision=content.revision,
            connectors=content.connectors,
            shards=content.layout.refs(),
            registries=tuple(registries),
            released=tuple(sorted(content.published.released.values(), key=lambda item: item.id)),
        )

    def confirmed(self, plan: GatewayPlan, content: MapState) -> Self:
        """The memory after a plan turned out to be published already."""
        return replace(self, content=content, removed={uid: since for uid, since in self.removed.items() if uid in plan.verdicts})

    def published(self, plan: GatewayPlan, head: Head, content: MapState, changes: Changes) -> Self:
        """The memory after a plan was published."""
        origins = self.content.published.origins
        left = {origins[key].uid: head.sequence for key, entry in changes.items() if entry is None and key in origins}
        memory = replace(self, head=head, head_matches_content=True, history_incomplete=False, removed={**self.removed, **left})
        return memory.confirmed(plan, content)


def _is_intact(ref: ShardRef, texts: Mapping[str, str], where: str) -> bool:
    if ref.name in texts and sha256(texts[ref.name]) == ref.digest:
        return True
    logger.warning("%s: shard %s is lost, the others are kept", where, ref.name)
    return False
