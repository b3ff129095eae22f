"""Publishes one gateway's plan as a connector map: credentials, shards, head; and removes what is old once nobody reads it.

Everything is level-triggered: a pass compares what should be stored with what is stored and writes the difference. A process that dies
between two steps leaves a map that readers can follow; the next pass finishes the work.
"""

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from functools import partial
from typing import Any

from junctor.api.conditions import Finding, Reason
from junctor.api.configuration import GatewaySpec
from junctor.connectormap.head import RegistryRecord
from junctor.planning.inputs import Published
from junctor.planning.plan import GatewayPlan
from junctor.planning.readiness import GatewayProgress, PodProgress
from junctor.process import MANY, in_thread
from junctor.reconcile.map_memory import MapMemory
from junctor.reconcile.map_state import Changes, MapState, Rewritten
from junctor.reconcile.ports import Conflict, ForeignMap, MapObjects, PortError, Signature, StoredObject, Superseded
from junctor.reconcile.stored_map import ObjectEvent, StoredMap, parsed_head


class Reading(Enum):
    """How far the stored map is known.

    UNREAD: it was never read; a plan may be used for statuses but not be published. CURRENT: what is known of it is true. STALE: a write
    failed, somebody else wrote or events were lost; the next pass reads it again.
    """

    UNREAD = auto()
    CURRENT = auto()
    STALE = auto()


class MapPublisher:
    """The writer of one map. `publish` and `clean_up` are never called at the same time."""

    def __init__(self, gateway: GatewaySpec, objects: MapObjects) -> None:
        self._gateway = gateway
        self._objects = objects
        self._reading = Reading.UNREAD
        self._stored = StoredMap(objects, gateway.map)
        self._memory = MapMemory.empty(gateway)
        self._failure: Finding | None = None
        #: The head that the last reading found, if somebody other than this installation wrote it.
        self.forged_head: StoredObject | None = None
        #: Events that arrived during a pass, to be classified at its end; None between passes.
        self._deferred: list[ObjectEvent] | None = None

    # --- what is known ----------------------------------------------------------------------------------------------------------------

    @property
    def is_loaded(self) -> bool:
        """Whether the stored map was read once: before that a plan may be used for statuses but not be published."""
        return self._reading is not Reading.UNREAD

    @property
    def is_published(self) -> bool:
        """Whether there is a published head."""
        return self._memory.head is not None

    @property
    def published(self) -> Published:
        """What is published."""
        return self._memory.content.published

    @property
    def sequence(self) -> int:
        """The sequence of the published head; 0 when there is none."""
        return self._memory.sequence

    @property
    def rewritten(self) -> Rewritten:
        """What the last published changes of registries' servers caused to be written."""
        return self._memory.content.rewritten

    @property
    def failure(self) -> Finding | None:
        """Why the last attempt to load or publish failed; None when it did not."""
        return self._failure

    @property
    def stored_head(self) -> StoredObject | None:
        """The head as the API server has it."""
        return self._stored.head

    def progress(self, plan: GatewayPlan, pods: Sequence[PodProgress] = ()) -> GatewayProgress:
        """How far the gateway is with a plan; pods: how far its pods are."""
        return GatewayProgress(
            gateway=self._gateway.name,
            entries=self.published.entries,
            sequence=self.sequence,
            pods=pods,
            removed=self._memory.removed,
            failure=self._failure,
            # While the plan's servers are being written, those of an earlier sync by the same rules count as well.
            discovered=self._memory.content.sequences_of_registries(plan, is_writing=self._failure is None),
            verdicts=plan.verdicts,
            sequence_at_start=self._memory.sequence_at_start,
        )

    # --- events -----------------------------------------------------------------------------------------------------------------------

    def objects_changed(self) -> None:
        """Events may have been lost: read what is stored at the next pass."""
        self._invalidate()
        self._stored.deleted_uids.clear()

    def observe(self, event: ObjectEvent) -> bool:
        """Take an event about an object of the map; True when another writer caused it, so that the next pass has to look.

        The echo of an own write can arrive before the write returns, so events during a pass are classified at its end.
        """
        if self._deferred is not None:
            self._deferred.append(event)
            return False
        if self._reading is not Reading.CURRENT or self._stored.is_own_write(event):
            return False
        self._invalidate()
        return True

    def end_pass(self) -> bool:
        """Classify the events of the pass as own or foreign writes; True when another pass is needed."""
        events, self._deferred = self._deferred or [], None
        news = [event for event in events if self.observe(event)]
        return bool(news)

    def _invalidate(self) -> None:
        if self._reading is Reading.CURRENT:
            self._reading = Reading.STALE

    # --- publishing -------------------------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read what is stored. Raises PortError, which is kept in `failure`."""
        try:
            await self._read()
        except PortError as error:
            self._fail(error)
            raise

    async def publish(
        self,
        plan: GatewayPlan,
        credentials: Mapping[str, bytes],
        *,
        sequence_floor: int = 0,
        unlisted_kinds: frozenset[str] = frozenset(),
    ) -> bool:
        """Make the stored map hold the plan.

        Args:
            plan: What to publish.
            credentials: Values by `<refhash>.<version>`: those that the plan names and that may have to be stored.
            sequence_floor: The highest sequence that any pod acknowledged; the next head is above it.
            unlisted_kinds: Kinds of which nobody can tell which resources exist.

        Returns:
            Whether a new head was written.

        Raises:
            Superseded: Another operator took over.
            PortError: Anything else that goes wrong; it is kept in `failure`, and the next pass tries again.
        """
        self._deferred = self._deferred or []
        try:
            self._memory.refuse_blind_publish(unlisted_kinds, sequence_floor)
            if self._reading is not Reading.CURRENT:
                await self._read()
                self._check_epoch()
            self._refuse_foreign_map()
            written = await self._write(plan, credentials, sequence_floor)
        except PortError as error:
            self._fail(error)
            raise
        self._failure = None
        return written

    async def _read(self) -> None:
        installation = await self._objects.installation(self._memory.installation)
        self._memory = self._memory.of_installation(installation)
        listed = await self._stored.list()
        self._reading = Reading.CURRENT
        is_forged = listed.head is not None and listed.head.signature is Signature.INVALID
        self.forged_head = listed.head if is_forged else None
        # In a thread: a large map takes seconds, in which single changes of other maps go on.
        self._memory = await in_thread(partial(self._memory.informed_by, listed.head, listed.shards))
        await self._stored.replace(listed)

    async def _write(self, plan: GatewayPlan, credentials: Mapping[str, bytes], sequence_floor: int) -> bool:
        """Write what is missing: first what a head refers to, then the head."""
        memory, stored = self._memory, self._stored
        in_storage = parsed_head(stored.head)  # a head that somebody restored must not pull the sequence back
        sequence = max(memory.sequence, sequence_floor, in_storage.sequence if in_storage else 0) + 1
        content, changes = await self._successor(plan, sequence)
        is_head_current = (
            memory.is_stored(stored.head)
            and memory.head_matches_content
            and sequence_floor <= memory.sequence  # a pod that serves more, from before the head was lost, refuses this one
            and memory.head is not None
            and _lasting(memory.head.registries) == _lasting(plan.records)
        )
        await stored.write_credentials(plan.credentials, credentials)
        await stored.write_shards(content.layout)
        if not changes and is_head_current:
            self._memory = memory.confirmed(plan, content)
            return False
        head = memory.head_of(sequence, content, plan.records)
        try:
            await stored.write_head(head)
        except Conflict:
            await self._read()
            self._check_epoch()
            raise
        self._memory = memory.published(plan, head, content, changes)
        return True

    async def _successor(self, plan: GatewayPlan, sequence: int) -> tuple[MapState, Changes]:
        content = self._memory.content
        if content.effort(plan) > MANY:
            return await in_thread(partial(content.successor, plan, sequence))
        return content.successor(plan, sequence)

    def _refuse_foreign_map(self) -> None:
        stored = self._stored.head
        if stored is not None and not self._memory.owns(stored):
            where = f"ConfigMap {self._gateway.namespace}/{self._gateway.map}"
            raise ForeignMap(f"{where} belongs to another installation; give this gateway another map, or delete it if that one is gone")

    def _check_epoch(self) -> None:
        stored, epoch = self._stored.head, self._memory.epoch
        head = parsed_head(stored)
        if stored is not None and head is not None and self._memory.owns(stored) and head.epoch > epoch:
            where = f"map {self._gateway.namespace}/{self._gateway.map}"
            raise Superseded(f"{where} is written with epoch {head.epoch}, this operator has {epoch}")

    def _fail(self, error: PortError) -> None:
        self._invalidate()
        reason = Reason.MAP_OF_ANOTHER_INSTALLATION if isinstance(error, ForeignMap) else Reason.PUBLISH_FAILED
        self._failure = Finding("False", reason, str(error))

    # --- clean-up ---------------------------------------------------------------------------------------------------------------------

    def needs_clean_up(self, plan: GatewayPlan) -> bool:
        """Whether anything is stored that the head does not need."""
        return self.is_published and self._stored.has_surplus(self._memory.shard_names, plan.credentials)

    async def clean_up(self, plan: GatewayPlan) -> None:
        """Delete shards and credentials that the head does not need. Call it when nobody reads the old map. Raises PortError."""
        if self._reading is not Reading.CURRENT or not self.is_published:
            return
        self._deferred = self._deferred or []
        try:
            await self._stored.remove_shards(self._memory.shard_names)
            await self._stored.remove_credentials(plan.credentials)
        except PortError:
            self._invalidate()
            raise


def _lasting(registries: Sequence[RegistryRecord]) -> list[Any]:
    """The changes of registry records that justify a new head. A watermark alone does not: an older one only costs a longer sync."""
    return [(record.id, record.uid, record.filter_digest, bool(record.watermark)) for record in registries]
