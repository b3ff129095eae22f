"""The single-flight loop: whatever happened, one pass at a time makes the published maps what they should be.

wake -> (pacing) -> plan -> publish -> announce -> statuses
                                          ^ acknowledgements wake the statuses only
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from junctor.api.configuration import OperatorConfiguration
from junctor.api.resources import Resource
from junctor.net.backoff import Backoff
from junctor.planning.inputs import Inputs
from junctor.planning.plan import GatewayPlan, Planner
from junctor.reconcile.clock import Clock
from junctor.reconcile.gateway_state import GatewayState, registries_to_read
from junctor.reconcile.notices import Notices
from junctor.reconcile.pacing import Pacer
from junctor.reconcile.ports import Cluster, MapObjects, PortError, Registries, Signal, StatusSink
from junctor.reconcile.publisher import MapPublisher
from junctor.reconcile.registry_syncs import RegistrySyncs
from junctor.reconcile.reporter import Reporter
from junctor.reconcile.signaller import Signaller
from junctor.reconcile.snapshot import Snapshot
from junctor.reconcile.status_queue import StatusQueue
from junctor.reconcile.stored import ObjectEvent

logger = logging.getLogger(__name__)

#: Seconds between full LISTs when nothing else asks for one.
REFRESH_SECONDS: Final = 300.0
#: Seconds after which old shards and credentials are removed although some pod did not acknowledge: it starts again at the head.
CLEAN_UP_SECONDS: Final = 60.0
_RETRIES: Final = Backoff(first=0.5, last=10.0, jitter=0.0)
_SURVEY_SECONDS: Final = 2.0
#: Acknowledgements of one revision come within milliseconds of each other: one report speaks of them all.
_REPORT_SECONDS: Final = 0.005
#: Requests for a full LIST come in bursts: one LIST answers them all.
_BURST_SECONDS: Final = 0.5


@dataclass(slots=True)
class _Health:
    """When the loop last did its work, on its own clock: for liveness."""

    passed_at: float | None = None
    began_at: float | None = None
    failures: int = 0


class Reconciler:
    """The loop of one operator. maps, signals: by gateway name. clock: monotonic seconds. checkpoint: see MapPublisher."""

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
        clock: Callable[[], float] = time.monotonic,
        checkpoint: Callable[[str], None] = lambda step: None,
    ) -> None:
        self.snapshot = snapshot
        self._cluster = cluster
        self._clock = clock
        self._queue = StatusQueue(sink)
        self._syncs = RegistrySyncs(registries, self.wake, snapshot.secret_value, Clock())
        self._gateways = [
            GatewayState(
                gateway,
                Planner(gateway),
                MapPublisher(gateway, maps[gateway.name], checkpoint=checkpoint),
                Signaller(gateway.name, signals[gateway.name], self.wake_statuses, on_ahead=self.wake),
            )
            for gateway in configuration.gateways
        ]
        self._reporter = Reporter(self._queue, snapshot)
        self._notices = Notices(self._queue)
        self._woken = asyncio.Event()
        self._changed = False
        self._report = asyncio.Event()
        self._report_all = False
        self._report_only: set[str] = set()
        self._refresh = asyncio.Event()
        self._pacer = Pacer()
        self._health = _Health()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._planned: Mapping[str, Resource] = {}

    # --- what events do ---------------------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something that the maps depend on changed."""
        self._changed = True
        self._woken.set()

    def wake_statuses(self, uid: str | None = None) -> None:
        """Something that only statuses depend on changed: the status of the connector `uid`, or an acknowledgement."""
        if uid is None:
            self._report_all = True
        else:
            self._report_only.add(uid)
        self._report.set()

    def _tidy(self) -> None:
        """Old objects may be removed now: a pass without a new plan."""
        self._woken.set()

    def request_refresh(self, seconds: float = 0.0) -> None:
        """Events may have been lost: replace the snapshot by full LISTs soon, or after some seconds."""
        if seconds:
            self._timer(f"refresh {seconds}", seconds, self._refresh.set)
        else:
            self._refresh.set()

    def map_object_changed(self, gateway: str, event: ObjectEvent) -> None:
        """An object of a gateway's map was written or deleted, by this process or by somebody else."""
        for item in self._gateways:
            if item.configuration.name == gateway and item.publisher.observe(event):
                logger.info("map %s/%s: %s was changed by somebody else", item.configuration.namespace, item.configuration.map, event.name)
                self.wake()

    @property
    def seconds_since_pass(self) -> float | None:
        """How long ago a pass ended; None before the first one."""
        return None if self._health.passed_at is None else self._clock() - self._health.passed_at

    @property
    def seconds_in_pass(self) -> float:
        """How long the present pass has been going on; 0 between passes. Every call in it has a deadline, so it ends in time."""
        return 0.0 if self._health.began_at is None else self._clock() - self._health.began_at

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
            for timer in self._timers.values():
                timer.cancel()
            await self._syncs.close()
            await self._queue.close()
            await asyncio.gather(*(gateway.signaller.close() for gateway in self._gateways))

    async def _keep_fresh(self) -> None:
        """Full LISTs at the start, on request, and now and then; never in the way of a single change."""
        failures = 0
        while True:
            self._refresh.clear()
            complete = await self._cluster.refresh()
            failures = 0 if complete else failures + 1
            for gateway in self._gateways:
                gateway.publisher.objects_changed()
            self.wake()
            pause = REFRESH_SECONDS if complete else _RETRIES.pause(failures)
            try:
                async with asyncio.timeout(pause):
                    await self._refresh.wait()
                await asyncio.sleep(_BURST_SECONDS)
            except TimeoutError:
                continue

    async def _keep_publishing(self) -> None:
        while True:
            await self._woken.wait()
            if self._changed:
                await asyncio.sleep(self._pacer.delay(self._clock()))
            self._woken.clear()
            if not self.snapshot.complete:
                continue  # before the first LISTs nothing may be concluded
            changed, self._changed = self._changed, False
            self._health.began_at = self._clock()
            if changed:
                await self._pass()
            else:
                await self._tidy_up()
            self._health.began_at = None

    async def _keep_reporting(self) -> None:
        while True:
            await self._report.wait()
            await asyncio.sleep(_REPORT_SECONDS)
            self._report.clear()
            self._report_statuses()

    async def _pass(self) -> None:
        inputs = await self._inputs()
        self._planned = {**inputs.connectors, **inputs.registries}
        began = self._clock()
        async with asyncio.TaskGroup() as group:  # one that is superseded takes the others with it
            passes = [group.create_task(self._reconcile(gateway, inputs)) for gateway in self._gateways]
        if any(gateway.published_at >= began for gateway in self._gateways):
            self._pacer.published(self._clock())
        if all(done.result() for done in passes):
            self.snapshot.forget_deletions(inputs.deleted)
            self._health.failures = 0
        else:
            self._health.failures += 1
            self._wake_in("retry", _RETRIES.pause(self._health.failures))
        self._settle()
        self._syncs.set_registries(registries_to_read(self._gateways, self.snapshot))
        self._health.passed_at = self._clock()
        self._notices.ignored_fields(self._planned)
        self.wake_statuses()

    async def _tidy_up(self) -> None:
        for gateway in self._gateways:
            if gateway.plan is not None:
                try:
                    await self._clean_up(gateway, gateway.plan)
                except PortError as error:
                    logger.warning("old objects of map %s not removed yet: %s", gateway.configuration.map, error)
                    self._wake_in("retry", _RETRIES.last)
        self._settle()

    def _settle(self) -> None:
        for gateway in self._gateways:
            if gateway.publisher.settle():
                self.wake()

    async def _inputs(self) -> Inputs:
        """The snapshot, with deletions believed only while the kind itself is there: removing a CRD deletes all its objects."""
        inputs = self._observed()
        if not inputs.deleted:
            return inputs
        for kind in sorted(self.snapshot.defined):
            try:
                defined = await self._cluster.still_defined(kind)
            except PortError as error:
                logger.warning("deletions wait until it is known whether %s still exists: %s", kind, error)
                self._wake_in("defined", 1.0)
                return replace(inputs, connectors_known=False, registries_known=False, deleted=frozenset())
            if not defined:
                logger.warning("the kind %s is being removed: what is published of it stays", kind)
                self.snapshot.defined.discard(kind)
                self.snapshot.deleted.clear()
                return self._observed()
        return inputs

    def _observed(self) -> Inputs:
        registries = {uid: tracked.resource for uid, tracked in self.snapshot.registries.items.items()}
        return self.snapshot.inputs(self._syncs.reports(registries))

    async def _reconcile(self, gateway: GatewayState, inputs: Inputs) -> bool:
        """One gateway's part of a pass; False when it has to be tried again."""
        now = self._clock()
        publisher = gateway.publisher
        if gateway.signaller.set_pods(self.snapshot.pods_of(gateway.configuration.name)):
            self.wake_statuses()
        try:
            if not publisher.loaded:
                await publisher.load()
            plan = await gateway.make_plan(inputs, now)
            self._notices.hold(gateway, plan)
            if publisher.head is None and not gateway.surveyed:
                await gateway.signaller.survey(deadline=_SURVEY_SECONDS)
                gateway.surveyed = True
            gateway.check_memory(inputs)
            written = await publisher.publish(plan, self.snapshot.credential_values, lambda: gateway.signaller.highest)
            if written:
                gateway.published_at = self._clock()
                gateway.signaller.announce(publisher.sequence)
                logger.info(
                    "published sequence %s of map %s/%s: %s connectors",
                    publisher.sequence,
                    gateway.configuration.namespace,
                    gateway.configuration.map,
                    plan.connectors,
                )
            elif publisher.head is not None:
                gateway.signaller.announce(publisher.sequence)
            await self._clean_up(gateway, plan)
        except PortError as error:
            publisher.failure = publisher.failure_of(error)
            if not publisher.loaded:  # a map that cannot be read must not keep the other gateways' statuses from being written
                await gateway.make_plan(inputs, now)
            logger.error("map %s/%s not published, trying again: %s", gateway.configuration.namespace, gateway.configuration.map, error)
            return False
        if plan.wake_at is not None:
            self._wake_in(f"plan {gateway.configuration.name}", max(0.0, plan.wake_at - now))
        return True

    async def _clean_up(self, gateway: GatewayState, plan: GatewayPlan) -> None:
        if not gateway.publisher.needs_clean_up(plan):
            return
        waited = self._clock() - gateway.published_at
        if gateway.signaller.all_acknowledged(gateway.publisher.sequence) or waited >= CLEAN_UP_SECONDS:
            await gateway.publisher.clean_up(plan)
        else:
            self._wake_in(f"clean-up {gateway.configuration.name}", CLEAN_UP_SECONDS - waited)

    # --- what is told -----------------------------------------------------------------------------------------------------------------

    def _report_statuses(self) -> None:
        if any(gateway.plan is None for gateway in self._gateways):
            return
        now = self._clock()
        settling = [gateway.settles_in(now) for gateway in self._gateways]
        if self._report_all and max(settling) > 0:
            self._timer("report", max(settling), self.wake_statuses)
            return  # some pods have a moment to answer: one report and one status write instead of one for each
        everything, self._report_all = self._report_all, False
        only, self._report_only = self._report_only, set()
        progress = [gateway.progress() for gateway in self._gateways]
        self._reporter.report(self._planned, progress, None if everything else only)
        if any(gateway.may_clean_up for gateway in self._gateways):
            self._tidy()

    # --- timers -----------------------------------------------------------------------------------------------------------------------

    def _wake_in(self, name: str, seconds: float) -> None:
        self._timer(name, seconds, self.wake)

    def _timer(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        if name in self._timers:
            self._timers[name].cancel()
        self._timers[name] = asyncio.get_running_loop().call_later(seconds, action)
