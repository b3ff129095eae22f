"""`junctor standalone`: the reconcile loop and a gateway in one process, on a directory of manifests."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from starlette.types import ASGIApp

from junctor.api.configuration import GatewaySpec, OperatorConfiguration
from junctor.api.names import GATEWAY_LABEL
from junctor.gateway.app import GatewaySettings, serve
from junctor.gateway.serving.map_loader import MapLoader, ReloadError
from junctor.gateway.web.server import Listening
from junctor.net.configuration import API_VERSION
from junctor.net.formats import KubernetesObjectView
from junctor.net.network_policy import OWN_MACHINE_POLICY
from junctor.net.timestamps import rfc3339
from junctor.offline.manifests import ObjectKey
from junctor.process import stop_on_signals
from junctor.reconcile.reconciler import Reconciler
from junctor.reconcile.snapshot import Snapshot
from junctor.registry.connection import HTTPRegistries
from junctor.standalone.adapters import InProcessSignal, MemoryMapObjects, MemoryStatusSink, StoreCluster, StoreObserver
from junctor.standalone.directory import ManifestDirectory
from junctor.standalone.objects import ObjectStore
from junctor.standalone.resources import resources_app

if TYPE_CHECKING:
    from junctor.gateway.config import UpstreamConfiguration

logger = logging.getLogger(__name__)

GATEWAY: Final = "default"
NAMESPACE: Final = "standalone"
MAP: Final = "junctor-connectors"
_FIRST_LOAD_PAUSE: Final = 0.02


@dataclass(frozen=True, slots=True)
class StandaloneSettings:
    """The options of `junctor standalone`. port, management_port: 0 for any free one. callers, upstreams,
    allowed_hosts: as in GatewaySettings."""

    manifests: Path
    host: str = "127.0.0.1"
    port: int = 8321
    management_port: int = 8322
    callers: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    upstreams: "tuple[UpstreamConfiguration, ...]" = ()


async def serve_standalone(
    settings: StandaloneSettings, *, stop: asyncio.Event | None = None, started: Callable[[Listening], None] = lambda _: None
) -> None:
    """Run until SIGTERM, SIGINT or `stop`, and end within about a second.

    Args:
        settings: the options.
        stop: ends the run instead of signals.
        started: called when both ports listen and the map is served.

    Raises:
        GatewayError: a port cannot be opened.
        Exception: whatever ended the reconcile loop or the directory's scans.
    """
    stopping = stop or asyncio.Event()
    with contextlib.nullcontext() if stop else stop_on_signals(stopping):
        parts = await _Parts.create(settings)
        tasks = parts.start(stopping)

        async def announce(addresses: Listening) -> None:
            await parts.serve_first_map()
            started(addresses)

        def listening(addresses: Listening) -> None:
            tasks.append(asyncio.create_task(announce(addresses), name="announce"))

        try:
            await _wait_for_first_map(parts.objects, stopping)
            await serve(_gateway_settings(settings), source=parts.objects, stop=stopping, started=listening, manage=parts.manage)
        finally:
            stopping.set()
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result


@dataclass(slots=True)
class _Parts:
    """The reconcile loop with its ports in memory, and the directory that feeds it."""

    objects: MemoryMapObjects
    store: ObjectStore
    sink: MemoryStatusSink
    signal: InProcessSignal
    reconciler: Reconciler
    directory: ManifestDirectory

    @classmethod
    async def create(cls, settings: StandaloneSettings) -> Self:
        """Connect the parts and read the directory once."""
        gateway = GatewaySpec(name=GATEWAY, namespace=NAMESPACE, map=MAP, management_port=settings.management_port or 8322)
        configuration = OperatorConfiguration(api_version=API_VERSION, kind="OperatorConfiguration", gateways=(gateway,))
        objects, store, signal = MemoryMapObjects(MAP), ObjectStore(), InProcessSignal()
        sink = MemoryStatusSink(store)
        snapshot = Snapshot(configuration, await objects.installation_key())
        reconciler = Reconciler(
            configuration,
            snapshot,
            StoreCluster(store, snapshot),
            {GATEWAY: objects},
            {GATEWAY: signal},
            sink,
            HTTPRegistries(OWN_MACHINE_POLICY),
        )
        directory = ManifestDirectory(settings.manifests, store)
        await directory.scan()
        store.subscribe(StoreObserver(reconciler))
        return cls(objects, store, sink, signal, reconciler, directory)

    def start(self, stopping: asyncio.Event) -> list[asyncio.Task[None]]:
        """Start the loop and the directory's scans; `stopping` is set when one of them ends."""
        tasks = [
            asyncio.create_task(self.reconciler.run(), name="reconciler"),
            asyncio.create_task(self.directory.run(), name="directory"),
        ]
        for task in tasks:
            task.add_done_callback(lambda _: stopping.set())
        return tasks

    def manage(self, loader: MapLoader, app: ASGIApp) -> ASGIApp:
        """Connect the gateway's map loader, and extend the app of its management port."""
        self.signal.loader = loader
        return resources_app(app, self.store, self.directory, self.sink)

    async def serve_first_map(self) -> None:
        """Wait until the gateway serves a map, then show the loop a ready pod."""
        await _wait_for_first_load(self.signal)
        self.store.apply(ObjectKey("Pod", NAMESPACE, GATEWAY), _pod(), rfc3339(datetime.now(UTC), "microseconds"))


async def _wait_for_first_load(signal: InProcessSignal) -> None:
    """Wait until the gateway serves a map, as a pod is ready only then."""
    while signal.loader is None or signal.loader.served() is None:
        try:
            if signal.loader is not None:
                await signal.loader.reload(0)
        except ReloadError as error:
            logger.debug("the first map is not served yet: %s", error)
        await asyncio.sleep(_FIRST_LOAD_PAUSE)


async def _wait_for_first_map(objects: MemoryMapObjects, stopping: asyncio.Event) -> None:
    """Wait for the first map, so that the gateway never answers without one."""
    waits = [asyncio.create_task(event.wait()) for event in (objects.published, stopping)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


def _gateway_settings(settings: StandaloneSettings) -> GatewaySettings:
    return GatewaySettings(
        map=f"memory:{MAP}",
        host=settings.host,
        port=settings.port,
        management_port=settings.management_port,
        callers=settings.callers,
        allowed_hosts=settings.allowed_hosts,
        upstreams=settings.upstreams,
        network=OWN_MACHINE_POLICY,
    )


def _pod() -> KubernetesObjectView:
    """Return the pod object that stands for the gateway of this process."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": {GATEWAY_LABEL: GATEWAY}},
        "status": {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    }
