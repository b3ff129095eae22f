"""`junctor standalone`: the loop and a gateway in one process, on a directory of manifests."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.types import ASGIApp

from junctor.api.configuration import GatewaySpec, OperatorConfiguration
from junctor.api.names import GATEWAY_LABEL
from junctor.gateway.app import GatewaySettings, serve
from junctor.gateway.serving.map_loader import MapLoader, ReloadError
from junctor.gateway.web.server import Listening
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
_FIRST_LOAD_PAUSE: Final = 0.02


@dataclass(frozen=True, slots=True)
class StandaloneSettings:
    """What `junctor standalone` was told. port, management_port: 0 for any free one. callers, upstreams: as in GatewaySettings."""

    manifests: Path
    host: str = "127.0.0.1"
    port: int = 8321
    management_port: int = 8322
    callers: str | None = None
    upstreams: "tuple[UpstreamConfiguration, ...]" = ()


async def serve_standalone(
    settings: StandaloneSettings, *, stop: asyncio.Event | None = None, started: Callable[[Listening], None] = lambda _: None
) -> None:
    """Run until SIGTERM, SIGINT or `stop`, and end within about a second. started: called when both ports listen and the map is served.

    Raises GatewayError when the ports cannot be listened on; what ends the loop ends the process and is raised.
    """
    stopping = stop or asyncio.Event()
    with contextlib.nullcontext() if stop else stop_on_signals(stopping):
        configuration = _configuration(settings)
        gateway = configuration.gateways[0]
        objects = MemoryMapObjects(gateway.map)
        store = ObjectStore()
        snapshot = Snapshot(configuration, await objects.installation_key())
        sink, way = MemoryStatusSink(store), InProcessSignal()
        reconciler = Reconciler(
            configuration, snapshot, StoreCluster(store, snapshot), {GATEWAY: objects}, {GATEWAY: way}, sink, HTTPRegistries()
        )
        directory = ManifestDirectory(settings.manifests, store)
        await directory.scan()
        store.subscribe(StoreObserver(reconciler))
        tasks = [asyncio.create_task(reconciler.run(), name="reconciler"), asyncio.create_task(directory.run(), name="directory")]
        for task in tasks:
            task.add_done_callback(lambda _: stopping.set())

        def manage(loader: MapLoader, app: ASGIApp) -> ASGIApp:
            way.loader = loader
            return resources_app(app, store, directory, sink)

        async def announce(addresses: Listening) -> None:
            await _first_load(way)
            store.apply(ObjectKey("Pod", NAMESPACE, GATEWAY), _pod(), _now())
            started(addresses)

        def listening(addresses: Listening) -> None:
            tasks.append(asyncio.create_task(announce(addresses), name="announce"))

        try:
            await _first_map(objects, stopping)
            await serve(_gateway_settings(settings, gateway), source=objects, stop=stopping, started=listening, manage=manage)
        finally:
            stopping.set()
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for result in ended:
            if isinstance(result, Exception):
                raise result


async def _first_load(way: InProcessSignal) -> None:
    """Wait until the gateway serves a map, as a pod is ready only then."""
    while way.loader is None or way.loader.served() is None:
        try:
            if way.loader is not None:
                await way.loader.reload(0)
        except ReloadError as error:
            logger.debug("the first map is not served yet: %s", error)
        await asyncio.sleep(_FIRST_LOAD_PAUSE)


async def _first_map(objects: MemoryMapObjects, stopping: asyncio.Event) -> None:
    """Wait for the first map, so that the gateway never answers without one."""
    waits = [asyncio.create_task(event.wait()) for event in (objects.published, stopping)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


def _configuration(settings: StandaloneSettings) -> OperatorConfiguration:
    gateway = GatewaySpec(name=GATEWAY, namespace=NAMESPACE, management_port=settings.management_port or 8322)
    return OperatorConfiguration(api_version="config.junctor.dev/v1alpha1", kind="OperatorConfiguration", gateways=(gateway,))


def _gateway_settings(settings: StandaloneSettings, gateway: GatewaySpec) -> GatewaySettings:
    return GatewaySettings(
        map=f"memory:{gateway.map}",
        host=settings.host,
        port=settings.port,
        management_port=settings.management_port,
        callers=settings.callers,
        upstreams=settings.upstreams,
    )


def _pod() -> Mapping[str, Any]:
    """The gateway of this process, as the loop knows gateways."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": {GATEWAY_LABEL: GATEWAY}},
        "status": {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def _now() -> str:
    return rfc3339(datetime.now(UTC), "microseconds")
