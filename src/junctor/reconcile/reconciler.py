"""The single-flight loop: whatever happened, one pass at a time makes the published maps what they should be.

event -> dirty -> (pacing) -> plan -> publish -> announce -> statuses
                                                   ^ acknowledgements make only statuses dirty
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from junctor.api.configuration import OperatorConfiguration
from junctor.api.resources import Resource
from junctor.net.clock import Clock
from junctor.planning.plan import GatewayPlan
from junctor.reconcile.gateway_state import GatewayState
from junctor.reconcile.ports import Cluster, MapObjects, PortError, Registries, Signal, StatusSink
from junctor.reconcile.publisher import MapPublisher
from junctor.reconcile.registry_memory import Recall, recall_discovered, registries_to_read
from junctor.reconcile.registry_syncs import RegistrySyncs
from junctor.reconcile.reporter import Notices, Reporter
from junctor.reconcile.signaller import Signaller
from junctor.reconcile.snapshot import Observation, Snapshot
from junctor.reconcile.status_queue import StatusQueue
from junctor.reconcile.stored_map import ObjectEvent
from junctor.reconcile.wakeups import Dirty, DirtySet, Pacer, Passes, Timing

logger = logging.getLogger(__name__)


class Reconciler:
    """The loop of one operator. Nothing runs before `run`.

    Args:
        configuration: The gateways.
        snapshot: What is known of the cluster; handlers fill it.
        cluster: Full LISTs into the snapshot.
        maps: The objects of each gateway's map, by the gateway's name.
        signals: The way to each gateway's pods, by the gateway's name.
        sink: Where statuses and Events go.
        registries: Opens registries.
        clock: The clock of the loop, its reports and the syncs of registries.
        timing: How long the loop waits.
        pacer: When the next change may be published.
        recall: Returns what the published map holds of a registry.
    """

    def __init__(
        self,
        configuration: OperatorConfiguration,
        snapshot: Snapshot,
        cluster: Cluster,
        maps: Mapping[str, MapObjects],
        signals: Mapping[str, Signal],
        sink: StatusSink,
        registries: Registries,
        *,
        clock: Clock | None = None,
        timing: Timing | None = None,
        pacer: Pacer | None = None,
        recall: Recall = recall_discovered,
    ) -> None:
        self.snapshot = snapshot
        self._cluster = cluster
        self._clock = clock = clock or Clock()
        self._timing = timing or Timing()
        self._pacer = pacer or Pacer()
        self._dirty = DirtySet()
        self._queue = StatusQueue(sink)
        self._syncs = RegistrySyncs(registries, self.wake, snapshot.secret_value, clock, recall=recall, limits=configuration.limits)
        self._gateways = [
            GatewayState(
                gateway,
                MapPublisher(gateway, maps[gateway.name]),
                Signaller(gateway.name, signals[gateway.name], self.wake_statuses, on_ahead=self.wake),
            )
            for gateway in configuration.gateways
        ]
        self._reporter = Reporter(self._queue, snapshot, now=clock.now)
        self._notices = Notices(self._queue)
        self._passes = Passes()
        self._refresh_again_at: list[float] = []
        self._planned: Mapping[str, Resource] = {}

    # --- what events do ---------------------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something changed that the maps depend on."""
        self._dirty.mark(Dirty.MAPS)

    def wake_statuses(self, uid: str | None = None) -> None:
        """Something changed that only statuses depend on: the status of the resource `uid`, or an acknowledgement."""
        if uid is None:
            self._dirty.mark(Dirty.STATUSES)
        else:
            self._dirty.mark_status(uid)

    def request_refresh(self, again_after: Sequence[float] = ()) -> None:
        """Events may have been lost: replace the snapshot by full LISTs soon, and again after these seconds."""
        if again_after:
            self._refresh_again_at = [self._clock.monotonic() + seconds for seconds in again_after]
        self._dirty.mark(Dirty.REFRESH)

    def map_object_changed(self, gateway: str, event: ObjectEvent) -> None:
        """An object of a gateway's map was written or deleted, by this process or by somebody else."""
        for item in self._gateways:
            if item.configuration.name == gateway and item.publisher.observe(event):
                logger.info("map %s: %s was changed by somebody else", item.map_name, event.name)
                self.wake()

    @property
    def seconds_since_pass(self) -> float | None:
        """How long ago a pass ended; None before the first one."""
        return None if self._passes.ended_at is None else self._clock.monotonic() - self._passes.ended_at

    @property
    def seconds_in_pass(self) -> float:
        """How long the present pass has been going on; 0 between passes. Every call in it has a deadline, so it ends in time."""
        return 0.0 if self._passes.began_at is None else self._clock.monotonic() - self._passes.began_at

    # --- the loop ---------------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until cancelled. Raises Superseded when another operator took over."""
        self._queue.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_fresh(), name="refresh")
                group.create_task(self._keep_reporting(), name="report")
                group.create_task(self._keep_publishing(), name="reconcile")
        finally:
            self._dirty.close()
            await self._syncs.close()
            await self._queue.close()
            await asyncio.gather(*(gateway.signaller.close() for gateway in self._gateways))

    async def _keep_fresh(self) -> None:
        """Full LISTs at the start, on request, and now and then; never in the way of a single change."""
        failures = 0
        while True:
            self._dirty.take(Dirty.REFRESH)
            began = self._clock.monotonic()
            complete = await self._cluster.refresh()
            failures = 0 if complete else failures + 1
            for gateway in self._gateways:
                gateway.publisher.objects_changed()
            self.wake()
            try:
                async with asyncio.timeout(self._refresh_pause(failures, began)):
                    await self._dirty.wait(Dirty.REFRESH)
                await asyncio.sleep(self._timing.burst)
            except TimeoutError:
                continue

    def _refresh_pause(self, failures: int, began: float) -> float:
        """Seconds until the next LISTs. Those that fell due while the last ones ran, since `began`, are due now."""
        now = self._clock.monotonic()
        self._refresh_again_at = [due for due in self._refresh_again_at if due > began]
        pause = self._timing.retries.pause(failures) if failures else self._timing.refresh
        return max(0.0, min([pause, *(due - now for due in self._refresh_again_at)]))

    async def _keep_publishing(self) -> None:
        while True:
            await self._dirty.wait(Dirty.MAPS | Dirty.CLEAN_UP)
            if Dirty.MAPS in self._dirty:
                await asyncio.sleep(self._pacer.delay(self._clock.monotonic()))
            dirty = self._dirty.take(Dirty.MAPS | Dirty.CLEAN_UP)
            if not self.snapshot.complete:
                continue  # before the first LISTs nothing may be concluded; each of them makes the maps dirty
            self._passes.began_at = self._clock.monotonic()
            if Dirty.MAPS in dirty:
                await self._pass()
            else:
                await self._clean_up_all()
            self._passes.began_at = None

    async def _keep_reporting(self) -> None:
        while True:
            await self._dirty.wait(Dirty.STATUSES)
            await asyncio.sleep(self._timing.report)
            self._dirty.take(Dirty.STATUSES)
            self._report_statuses()

    # --- a pass -----------------------------------------------------------------------------------------------------------------------

    async def _pass(self) -> None:
        observation = await self._observe()
        inputs = observation.inputs
        self._planned = {**inputs.connectors, **inputs.registries}
        began = self._clock.monotonic()
        async with asyncio.TaskGroup() as group:  # one that is superseded takes the others with it
            tasks = [group.create_task(self._reconcile(gateway, observation)) for gateway in self._gateways]
        if any(gateway.published_at >= began for gateway in self._gateways):
            self._pacer.published(self._clock.monotonic())
        if all(task.result() for task in tasks):
            self.snapshot.forget_deletions(inputs.deleted)
            self._passes.failures = 0
        else:
            self._passes.failures += 1
            self._dirty.mark_in(Dirty.MAPS, self._timing.retries.pause(self._passes.failures))
        self._end_pass()
        self._syncs.set_registries(registries_to_read(self._gateways, self.snapshot, self._clock.monotonic()))
        self._passes.ended_at = self._clock.monotonic()
        self._notices.report_ignored_fields(self._planned)
        self.wake_statuses()

    async def _observe(self) -> Observation:
        """The snapshot, with deletions believed only while the kind itself exists: removing a CRD deletes all its objects."""
        observation = self._snapshot_now()
        if not observation.inputs.deleted:
            return observation
        for kind in sorted(self.snapshot.defined):
            try:
                defined = await self._cluster.still_defined(kind)
            except PortError as error:
                logger.warning("deletions wait until it is known whether %s still exists: %s", kind, error)
                self._dirty.mark_in(Dirty.MAPS, 1.0)
                inputs = replace(observation.inputs, connectors_known=False, registries_known=False, deleted=frozenset())
                return replace(observation, inputs=inputs)
            if not defined:
                logger.warning("the kind %s is being removed: what is published of it stays", kind)
                self.snapshot.defined.discard(kind)
                self.snapshot.deleted.clear()
                return self._snapshot_now()
        return observation

    def _snapshot_now(self) -> Observation:
        registries = {uid: tracked.resource for uid, tracked in self.snapshot.registries.items.items()}
        return self.snapshot.observation(self._syncs.reports(registries))

    async def _reconcile(self, gateway: GatewayState, observation: Observation) -> bool:
        """One gateway's part of a pass; False when it has to be tried again."""
        now = self._clock.monotonic()
        publisher, signaller = gateway.publisher, gateway.signaller
        if signaller.set_pods(self.snapshot.pods_of(gateway.configuration.name)):
            self.wake_statuses()
        try:
            if not publisher.is_loaded:
                await publisher.load()
            plan = await gateway.make_plan(observation.inputs, now)
            self._notices.report_hold(gateway.configuration.name, plan.hold, gateway.head_reference)
            if not publisher.is_published and not gateway.is_surveyed:
                await signaller.survey(deadline=self._timing.survey)
                gateway.is_surveyed = True
            is_new = await publisher.publish(
                plan, observation.credentials, sequence_floor=signaller.highest, unlisted_kinds=observation.unlisted_kinds
            )
            if is_new:
                gateway.note_published(self._clock.monotonic())
                logger.info("published sequence %s of map %s: %s connectors", publisher.sequence, gateway.map_name, plan.connectors)
                self._notices.report_publication(gateway.configuration.name, plan.moved, publisher.forged_head, gateway.head_reference)
            signaller.announce(publisher.sequence)
            await self._clean_up(gateway, plan)
        except PortError as error:
            if not publisher.is_loaded:  # a map that cannot be read must not keep the other gateways' statuses from being written
                await gateway.make_plan(observation.inputs, now)
            logger.error("map %s not published, trying again: %s", gateway.map_name, error)
            return False
        if plan.wake_at is not None:
            self._dirty.mark_in(Dirty.MAPS, max(0.0, plan.wake_at - now))
        return True

    async def _clean_up_all(self) -> None:
        for gateway in self._gateways:
            if gateway.plan is not None:
                try:
                    await self._clean_up(gateway, gateway.plan)
                except PortError as error:
                    logger.warning("old objects of map %s not removed yet: %s", gateway.map_name, error)
                    self._dirty.mark_in(Dirty.MAPS, self._timing.retries.last)
        self._end_pass()

    async def _clean_up(self, gateway: GatewayState, plan: GatewayPlan) -> None:
        if not gateway.publisher.needs_clean_up(plan):
            return
        waited = self._clock.monotonic() - gateway.published_at
        if gateway.all_acknowledged or waited >= self._timing.clean_up:
            await gateway.publisher.clean_up(plan)
        else:
            self._dirty.mark_in(Dirty.CLEAN_UP, self._timing.clean_up - waited)

    def _end_pass(self) -> None:
        for gateway in self._gateways:
            if gateway.publisher.end_pass():
                self.wake()

    # --- statuses ---------------------------------------------------------------------------------------------------------------------

    def _report_statuses(self) -> None:
        if any(gateway.plan is None for gateway in self._gateways):
            return
        now = self._clock.monotonic()
        settling = max(gateway.settles_in(now, self._timing.settle) for gateway in self._gateways)
        if self._dirty.all_statuses and settling > 0:
            self._dirty.mark_in(Dirty.STATUSES, settling)
            return  # some pods have a moment to answer: one report and one status write instead of one for each
        progress = [gateway.progress() for gateway in self._gateways]
        self._reporter.report(self._planned, progress, self._dirty.take_statuses())
        if any(gateway.may_clean_up for gateway in self._gateways):
            self._dirty.mark(Dirty.CLEAN_UP)
