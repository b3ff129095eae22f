"""A cluster in memory with the loop on it: a test changes the one and looks at what the other did."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from junctor.connectormap.errors import MapUnreadable
from junctor.net.backoff import Backoff
from junctor.net.clock import Clock
from junctor.net.network_policy import OWN_MACHINE_POLICY
from junctor.reconcile.reconciler import Reconciler
from junctor.reconcile.registry_memory import Recall, recall_discovered
from junctor.reconcile.snapshot import Snapshot
from junctor.reconcile.wakeups import Dirty, Pacer, Timing
from junctor.registry.connection import HTTPRegistries
from tests.unit.planning.building import KEY
from tests.unit.reconcile.bodies import configuration, connector_body, pod_body, registry_body, secret_body
from tests.unit.reconcile.fakes import Objects, Pods, Sink, head_of, until

#: Requests for a LIST and retries follow quickly. Pods have longer to answer than a loaded machine keeps them waiting.
TIMING: Final = Timing(burst=0.01, settle=10.0, retries=Backoff(first=0.05, last=10.0, jitter=0.0))


class SkippingClock(Clock):
    """A clock that is ahead of the real one. skipped: by so many seconds."""

    skipped = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.skipped


@dataclass
class World:
    """A cluster in memory and a loop on it (port `Cluster`)."""

    gateways: tuple[dict[str, Any], ...] = ()
    connectors: dict[str, dict[str, Any]] = field(default_factory=dict)
    registries: dict[str, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods_there: dict[str, dict[str, Any]] = field(default_factory=dict)
    defined: bool = True
    missing: frozenset[str] = frozenset()
    listable: bool = True
    version: int = 100
    refreshes: int = 0
    #: LISTs that are being done.
    refreshing: int = 0
    definition_reads: int = 0
    clock: SkippingClock = field(default_factory=SkippingClock)
    timing: Timing = TIMING
    recall: Recall = recall_discovered

    def __post_init__(self) -> None:
        configured = configuration(*self.gateways)
        self.snapshot = Snapshot(configured, KEY)
        self.objects = Objects()
        maps = {gateway.name: self.objects if not number else Objects() for number, gateway in enumerate(configured.gateways)}
        self.maps = maps
        self.pods, self.sink = Pods(), Sink()
        self.sink.on_status = self._status_written
        self.pacer = Pacer()
        self.loop = Reconciler(
            configured,
            self.snapshot,
            self,
            maps,
            dict.fromkeys(maps, self.pods),
            self.sink,
            HTTPRegistries(OWN_MACHINE_POLICY),
            clock=self.clock,
            timing=self.timing,
            pacer=self.pacer,
            recall=self.recall,
        )
        for name, objects in maps.items():
            objects.on_event = partial(self.loop.map_object_changed, name)

    # --- what happens in the cluster --------------------------------------------------------------------------------------------------

    @property
    def _stored(self) -> dict[str, dict[str, dict[str, Any]]]:
        return {"MCPConnector": self.connectors, "MCPRegistry": self.registries}

    def apply(self, name: str, **fields: Any) -> None:
        self._apply("MCPConnector", connector_body, name, fields)

    def apply_registry(self, name: str, **fields: Any) -> None:
        self._apply("MCPRegistry", registry_body, name, fields)

    def _apply(self, kind: str, made: Callable[..., dict[str, Any]], name: str, fields: dict[str, Any]) -> None:
        before = self._stored[kind].get(name)
        self.version += 1
        generation = before["metadata"]["generation"] + 1 if before else 1
        body = made(name, self.version, generation=generation, **fields)
        if before and "status" in before:
            body["status"] = before["status"]
        self._stored[kind][name] = body
        if self.snapshot.observe_resource(kind, body, deleted=False):
            self.loop.wake()

    def delete(self, name: str, kind: str = "MCPConnector") -> None:
        self.version += 1
        body = self._stored[kind].pop(name)
        body = body | {"metadata": body["metadata"] | {"resourceVersion": str(self.version)}}
        if self.snapshot.observe_resource(kind, body, deleted=True):
            self.loop.wake()

    def vanish(self, *names: str) -> None:
        """Go without an event; a LIST is asked for."""
        self.version += 1
        for name in names:
            del self.connectors[name]
        self.loop.request_refresh()

    def secret(self, name: str, **keys: str) -> None:
        self.version += 1
        self.secrets[name] = secret_body(name, self.version, **keys)
        if self.snapshot.secrets.observe(self.secrets[name]):
            self.loop.wake()

    def pod(self, name: str, **fields: Any) -> None:
        self.version += 1
        self.pods_there[name] = pod_body(name, self.version, **fields)
        if self.snapshot.pods.observe(self.pods_there[name]):
            self.loop.wake()

    def _status_written(self, update: Any) -> None:
        kind = update.resource.kind
        body = self._stored[kind].get(update.resource.name)
        if body is not None and body["metadata"]["uid"] == update.resource.uid:
            self.version += 1
            body = body | {"status": update.status, "metadata": body["metadata"] | {"resourceVersion": str(self.version)}}
            self._stored[kind][update.resource.name] = body
            self.snapshot.observe_resource(kind, body, deleted=False)
            self.loop.wake_statuses(update.resource.uid)

    # --- Cluster ----------------------------------------------------------------------------------------------------------------------

    async def refresh(self) -> bool:
        self.refreshes += 1
        self.refreshing += 1
        try:
            return await self._list_all()
        finally:
            self.refreshing -= 1

    async def _list_all(self) -> bool:
        present = {kind for kind in self._stored if self.defined and kind not in self.missing}
        self.snapshot.defined.update(present)
        self.snapshot.defined.intersection_update(present)
        kinds: list[tuple[Any, Mapping[str, Any]]] = [(self.snapshot.secrets, self.secrets), (self.snapshot.pods, self.pods_there)]
        if self.listable and self.defined:
            kinds += [(self.snapshot.kinds[kind], self._stored[kind]) for kind in present]
        for collection, bodies in kinds:
            listing = collection.listing()
            listing.add(bodies.values())
            await asyncio.sleep(0)
            listing.finish(str(self.version))
        return self.listable and self.defined

    async def still_defined(self, kind: str) -> bool:
        self.definition_reads += 1
        return self.defined

    # --- what came of it --------------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        task = asyncio.create_task(self.loop.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @property
    def served(self) -> int:
        """Connectors in the published map; -1 when there is none that can be read."""
        try:
            return head_of(self.objects).connectors if self.objects.head else -1
        except MapUnreadable:
            return -1

    def ready(self, name: str) -> bool:
        return self.sink.last(name).get("Ready") == ("True", "Ready")

    async def settled(self) -> None:
        """Wait until nothing is left to do: no change waits, no pass runs, no report is held back and every queue is empty.

        What a test itself keeps waiting does not count: a pod's answer, a registry's, the retry of a LIST, the end of a hold.
        """
        await until(self._is_idle)

    def _is_idle(self) -> bool:
        """Whether the loop would do nothing more without a new event or a timer that is far off."""
        loop, queue = self.loop, self.loop._queue
        is_refreshed = self.refreshes > 0 and not self.refreshing
        is_clean = not loop._dirty._kinds and Dirty.STATUSES not in loop._dirty._timers
        is_written = not queue._pending and not queue._writing and not queue._retries and queue._events.empty()
        followers = [follower for gateway in loop._gateways for follower in gateway.signaller._pods.values()]
        is_signalled = not self.pods.busy and not any(follower.is_due.is_set() for follower in followers)
        return is_refreshed and is_clean and loop._passes.began_at is None and is_written and is_signalled
