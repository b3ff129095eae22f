"""Publishes one gateway's plan as a connector map: credentials, shards, head; and removes what is old once nobody reads it.

Everything is level-triggered: a pass compares what should be stored with what is stored and writes the difference. A process that dies
between two steps leaves a map that readers can follow; the next pass finishes the work.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from junctor.api.conditions import Finding, Reason
from junctor.api.configuration import GatewaySpec
from junctor.connectormap.connector_map import (
    HEAD_KEY,
    SHARD_KEY,
    ConnectorMapError,
    Head,
    Layout,
    ShardRef,
    installation_of,
    read_layout,
    sha256,
)
from junctor.planning.inputs import Published
from junctor.planning.plan import GatewayPlan
from junctor.process import MANY, in_thread
from junctor.reconcile.map_parts import MapParts
from junctor.reconcile.map_state import MapState
from junctor.reconcile.ports import Conflict, MapObjects, PortError, StoredObject
from junctor.reconcile.stored import ObjectEvent, Stored, sorted_out

logger = logging.getLogger(__name__)


class Superseded(Exception):
    """Another operator with a higher epoch writes this map: this one has to stop."""


class MapPublisher:
    """The writer of one map. `publish` and `clean_up` are never called at the same time.

    checkpoint: called with the name of each step before it is done; tests stop the process there.
    """

    def __init__(self, gateway: GatewaySpec, objects: MapObjects, *, checkpoint: Callable[[str], None] = lambda step: None) -> None:
        self.gateway = gateway
        self._objects = objects
        self._checkpoint = checkpoint
        self._stored = Stored()
        self._parts = MapParts(objects, self._stored, checkpoint)
        self._installation = ""
        self._reload = True
        self._sound = True
        self._busy = False
        #: Whether what is stored was read once: before that a plan is good for statuses only.
        self.loaded = False
        self._events: list[ObjectEvent] = []
        #: The stored map could not be read whole when this process began: what it held is not (all) known.
        self.forgotten = False
        self._map = MapState(Layout(gateway.map, {}))
        self.head: Head | None = None
        self.removed: dict[str, int] = {}
        self.failure: Finding | None = None
        self.epoch = 1
        #: The sequence of the head that was there when this process began.
        self.baseline = 0

    @property
    def published(self) -> Published:
        """What is published."""
        return self._map.published

    def discovered_since(self, plan: GatewayPlan) -> Mapping[str, int]:
        """The sequence in which the servers of a registry last changed, by the id of its entry; only where those of the plan are published.

        While they are being written, those of an earlier sync by the same rules count as well.
        """
        return self._map.dated(plan, writing=self.failure is None)

    @property
    def sequence(self) -> int:
        """The sequence of the published head; 0 when there is none."""
        return self.head.sequence if self.head else 0

    def objects_changed(self) -> None:
        """Events may have been lost: read what is stored at the next pass."""
        self._reload = True
        self._stored.gone.clear()

    def observe(self, event: ObjectEvent) -> bool:
        """Take an event about an object of the map; True when somebody else did it, so that the next pass has to look.

        The echo of an own write can arrive before the write returns, so events during a pass are judged at its end.
        """
        if self._busy:
            self._events.append(event)
            return False
        if self._reload or self._stored.explains(event, self.gateway.map):
            return False
        self._reload = True
        return True

    def settle(self) -> bool:
        """End a pass: judge the events that came during it; True when another pass is needed."""
        self._busy = False
        events, self._events = self._events, []
        return sum(map(self.observe, events)) > 0

    def head_reference(self) -> dict[str, str] | None:
        """An object reference to the head, for Events; None when there is no head."""
        if self._stored.head is None:
            return None
        where = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": self.gateway.namespace}
        return {**where, "name": self._stored.head.name, "uid": self._stored.head.uid}

    async def load(self) -> None:
        """Read what is stored: at first it is the memory of what is published, later what another operator published counts too."""
        self._installation = await self._objects.installation(self._installation)
        head, shards, credentials = await asyncio.gather(
            self._objects.read_head(), self._objects.list_shards(), self._objects.list_credentials()
        )
        self._reload = False
        if head is not None and self._is_ours(head):
            # In a thread: a large map takes seconds, in which single changes of other maps go on.
            if self.head is None:
                await in_thread(partial(self._remember, head, shards))
            elif head.data.get(HEAD_KEY) != self.head.to_text():
                await in_thread(partial(self._follow, head, shards, self.head))
        self._stored.shards, self._stored.broken = await in_thread(partial(sorted_out, shards))
        self._stored.head, self._stored.credentials = head, {item.number: item for item in credentials}
        self.loaded = True

    def _remember(self, stored: StoredObject, shards: Sequence[StoredObject]) -> None:
        """Take the stored map as the one published before this process began: as much of it as can be read."""
        self.forgotten = True
        try:
            head = Head.parse(stored.data.get(HEAD_KEY, ""), stored.name)
            self.epoch = max(self.epoch, head.epoch)
            texts = {shard.name: shard.data.get(SHARD_KEY, "") for shard in shards}
            refs = [ref for ref in head.shards if self._is_readable(ref, texts)]
            self._take_from(head, read_layout(self.gateway.map, refs, texts))
        except (ConnectorMapError, KeyError, TypeError) as error:
            logger.warning("map %s/%s cannot be read and is built anew: %s", self.gateway.namespace, self.gateway.map, error)
            return
        self.forgotten = len(refs) < len(head.shards) or self._map.connectors < head.connectors

    def _is_readable(self, ref: ShardRef, texts: Mapping[str, str]) -> bool:
        if ref.name in texts and sha256(texts[ref.name]) == ref.digest:
            return True
        logger.warning("map %s/%s: shard %s is lost, the others are kept", self.gateway.namespace, self.gateway.map, ref.name)
        return False

    def _follow(self, stored: StoredObject, shards: Sequence[StoredObject], own: Head) -> None:
        """Take the map that another operator of this installation published since, if it is a later and whole one.

        Two operators with one plan would otherwise write over each other for as long as both run.
        """
        memory = self.head, self._map, self._sound
        try:
            head = Head.parse(stored.data.get(HEAD_KEY, ""), stored.name)
            if head.epoch != self.epoch or head.sequence <= own.sequence:
                return
            texts = {shard.name: shard.data.get(SHARD_KEY, "") for shard in shards}
            self._take_from(head, read_layout(self.gateway.map, head.shards, texts))
        except (ConnectorMapError, KeyError, TypeError):
            self._sound = False
        if not self._sound:
            self.head, self._map, self._sound = memory

    def _take_from(self, head: Head, layout: Layout) -> None:
        self.head, self._map = head, MapState.of(layout, head.registries)
        self.baseline = head.sequence
        self._sound = head == self._head_of(head.sequence, self._map, head.registries)

    def _head_of(self, sequence: int, state: MapState, registries: Sequence[Mapping[str, Any]]) -> Head:
        return Head(
            installation=self._installation,
            epoch=self.epoch,
            sequence=sequence,
            revision=state.revision,
            connectors=state.connectors,
            shards=state.layout.refs(),
            registries=tuple(registries),
        )

    def _is_ours(self, head: StoredObject) -> bool:
        """By its content; a head that cannot be read is ours when our anchor owns it."""
        named = installation_of(head.data.get(HEAD_KEY, ""))
        return head.owned if named is None else named == self._installation

    async def publish(
        self, plan: GatewayPlan, values: Callable[[frozenset[str]], Mapping[str, bytes]], sequence_floor: Callable[[], int]
    ) -> bool:
        """Make the stored map hold the plan; True when a new head was written.

        values: gives the values of credentials that have to be stored. sequence_floor: the highest sequence that any pod acknowledged.
        Raises Superseded. What else goes wrong is kept in `failure` and raised as PortError: the next pass tries again.
        """
        self._busy = True
        try:
            if self._reload:
                await self.load()
                self._check_epoch()
            written = await self._publish(plan, values, sequence_floor)
        except PortError as error:
            self._reload = True
            self.failure = self.failure_of(error)
            raise
        self.failure = None
        return written

    @staticmethod
    def failure_of(error: PortError) -> Finding:
        """What the statuses say about a failed write."""
        if isinstance(error, ForeignMap):
            return Finding("False", Reason.MAP_OF_ANOTHER_INSTALLATION, str(error))
        return Finding("False", Reason.PUBLISH_FAILED, str(error))

    async def _publish(
        self, plan: GatewayPlan, values: Callable[[frozenset[str]], Mapping[str, bytes]], sequence_floor: Callable[[], int]
    ) -> bool:
        stored_head = self._stored.head
        if stored_head is not None and not self._is_ours(stored_head):
            where = f"ConfigMap {self.gateway.namespace}/{self.gateway.map}"
            raise ForeignMap(f"{where} belongs to another installation; give this gateway another map, or delete it if that one is gone")
        floor = sequence_floor()
        sequence = max(self.sequence, floor, _sequence_of(stored_head)) + 1
        if self._map.effort(plan) > MANY:
            state, changes = await in_thread(partial(self._map.successor, plan, sequence))
        else:
            state, changes = self._map.successor(plan, sequence)
        intact = (
            self._sound
            and self.head is not None
            and stored_head is not None
            and stored_head.data.get(HEAD_KEY) == self.head.to_text()
            and floor <= self.sequence  # a pod that serves more, from before the head was lost, refuses this one
            and _kept(self.head.registries) == _kept(plan.records)
        )
        await self._parts.write_credentials(plan.credentials, values)
        await self._parts.write_shards(state.layout)
        if not changes and intact:
            self._take_over(plan, state)
            return False
        head = self._head_of(sequence, state, plan.records)
        await self._write_head(head)
        for connector_id, entry in changes.items():
            origin = self.published.origins.get(connector_id)
            if entry is None and origin is not None:
                self.removed[origin.uid] = sequence
        self.head, self._sound, self.forgotten = head, True, False
        self._take_over(plan, state)
        return True

    def _take_over(self, plan: GatewayPlan, state: MapState) -> None:
        self._map = state
        for uid in [uid for uid in self.removed if uid not in plan.verdicts]:
            del self.removed[uid]

    async def _write_head(self, head: Head) -> None:
        self._checkpoint("head")
        try:
            self._stored.head = await self._objects.write_head(head.to_text(), self._stored.head)
        except Conflict:
            await self.load()
            self._check_epoch()
            raise
        self._checkpoint("after-head")

    def _check_epoch(self) -> None:
        stored = self._stored.head
        if stored is None or not self._is_ours(stored):
            return
        try:
            epoch = Head.parse(stored.data.get(HEAD_KEY, ""), stored.name).epoch
        except ConnectorMapError:
            return
        if epoch > self.epoch:
            raise Superseded(
                f"map {self.gateway.namespace}/{self.gateway.map} is written with epoch {epoch}, this operator has {self.epoch}"
            )

    async def clean_up(self, plan: GatewayPlan) -> bool:
        """Delete shards and credentials that the head does not need; True when all is clean. Call it when nobody reads the old map."""
        if self._reload or self.head is None:
            return False
        self._busy = True
        try:
            await self._parts.remove_shards(self._needed)
            await self._parts.remove_credentials(plan.credentials)
        except PortError:
            self._reload = True
            raise
        return True

    def needs_clean_up(self, plan: GatewayPlan) -> bool:
        """Whether anything is stored that the head does not need."""
        return self.head is not None and self._parts.surplus(self._needed, plan.credentials)

    @property
    def _needed(self) -> frozenset[str]:
        """The shards that the head names."""
        return frozenset(ref.name for ref in self.head.shards) if self.head else frozenset()


class ForeignMap(PortError):
    """The head belongs to another installation, and is never written."""


def _kept(registries: Sequence[Mapping[str, Any]]) -> list[Any]:
    """What a head has to say of registries at once. A watermark alone is not worth a write: an older one only costs a longer sync."""
    return [(record.get("id"), record.get("uid"), record.get("filterDigest"), bool(record.get("watermark"))) for record in registries]


def _sequence_of(stored: StoredObject | None) -> int:
    """The sequence of a stored head, 0 when it cannot be read: a head that somebody restored must not pull the sequence back."""
    if stored is None:
        return 0
    try:
        return Head.parse(stored.data.get(HEAD_KEY, ""), stored.name).sequence
    except ConnectorMapError:
        return 0
