"""The composition root of the gateway: settings in, a running process with two ports out."""

import asyncio
import contextlib
import importlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from junctor.gateway.auth import AllowAll, Callers, CallersError, open_callers
from junctor.gateway.catalog.routes import public_app
from junctor.gateway.serving.directory import Available, ConnectorDirectory
from junctor.gateway.serving.management import management_app
from junctor.gateway.serving.map_loader import MapLoader
from junctor.gateway.serving.served_map import ServedMap
from junctor.gateway.serving.sources import MapSource
from junctor.gateway.serving.sources.opening import open_source
from junctor.gateway.tools.ports import ToolServer
from junctor.gateway.web.browsers import BrowserGuard
from junctor.gateway.web.disconnect import cancel_and_wait
from junctor.gateway.web.errors import management_body, openai_body
from junctor.gateway.web.server import Listening, Ports, serve_ports
from junctor.net.network_policy import CLUSTER_POLICY, NetworkPolicy
from junctor.process import GrowthFreezer, stop_on_signals

if TYPE_CHECKING:
    from junctor.gateway.config import UpstreamConfiguration
    from junctor.gateway.mcp import McpClientPool


class CallersRequired(CallersError):
    """Others can reach the public port, and --callers does not say who may call."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The options of `junctor gateway`.

    map: where the connector map is, `configmap:NAMESPACE/NAME` or `file:PATH[#NAME]`. port, management_port: 0 for any free one.
    callers: who may call, `apikeys:FILE`, `kubernetes` or `none`; None lets everybody call, and is possible only on loopback.
    upstreams: model servers, for /v1/responses. network: which addresses connectors may have.
    """

    map: str
    host: str = "127.0.0.1"
    port: int = 8321
    management_host: str = "127.0.0.1"
    management_port: int = 8322
    kubeconfig: Path | None = None
    callers: str | None = None
    poll_seconds: float = 10.0
    allowed_hosts: tuple[str, ...] = ()
    upstreams: "tuple[UpstreamConfiguration, ...]" = ()
    network: NetworkPolicy = CLUSTER_POLICY


async def serve(
    settings: GatewaySettings,
    *,
    source: MapSource | None = None,
    stop: asyncio.Event | None = None,
    started: Callable[[Listening], None] = lambda _: None,
    manage: Callable[[MapLoader, ASGIApp], ASGIApp] = lambda _, app: app,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`; then finish within about a second.

    Args:
        settings: The options of the process.
        source: Replaces the source that settings.map names.
        stop: Replaces the signals, which are then left to the caller.
        started: Called when both ports accept connections.
        manage: Gets the loader and the management port's app, and returns the app to serve, for a process that is more than a gateway.

    Raises:
        GatewayError: A port cannot be listened on, or --callers cannot work.
        BadSource: settings.map names no source.
    """
    stopping = stop or asyncio.Event()
    async with contextlib.AsyncExitStack() as resources:
        ports = resources.enter_context(Ports.open((settings.host, settings.port), (settings.management_host, settings.management_port)))
        _refuse_open_door(settings, ports)
        callers = await open_callers(settings.callers, settings.kubeconfig)
        resources.push_async_callback(callers.close)
        source = source or await open_source(settings.map, settings.kubeconfig)
        resources.push_async_callback(source.close)
        if stop is None:
            resources.enter_context(stop_on_signals(stopping))
        loader, public = _wired(settings, source, callers, resources)
        if isinstance(callers, AllowAll):
            hosts = settings.allowed_hosts if settings.allowed_hosts or _is_loopback(ports.public) else None
            public = BrowserGuard(public, render=openai_body, hosts=hosts)
        hosts = settings.allowed_hosts if _is_loopback(ports.management) else None
        app = manage(loader, management_app(loader, stopping=stopping.is_set))
        management = BrowserGuard(app, render=management_body, hosts=hosts)
        await resources.enter_async_context(_running(loader))
        await serve_ports(ports, public, management, stopping, lambda: started(ports.listening))


def _refuse_open_door(settings: GatewaySettings, ports: Ports) -> None:
    """Refuse to let everybody in by omission. The socket's own address decides: a host name may stand for any."""
    if settings.callers is None and not _is_loopback(ports.public):
        raise CallersRequired(
            f"--host {settings.host} can be reached by others, and --callers does not say who may call; "
            "write --callers none to let everybody in, or listen on 127.0.0.1"
        )


def _is_loopback(listening: socket.socket) -> bool:
    return ipaddress.ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback


def _wired(
    settings: GatewaySettings, source: MapSource, callers: Callers, resources: contextlib.AsyncExitStack
) -> tuple[MapLoader, ASGIApp]:
    """Build the loader and the public port's app. resources: gets what has to be closed."""
    freezer = GrowthFreezer()
    loader = MapLoader(source, poll_seconds=settings.poll_seconds)
    # Going through 50,000 connectors would stop requests for 60 ms each time.
    loader.subscribe(lambda served: freezer.size_changed(len(served)))
    directory, clients = ConnectorDirectory(loader.served), McpClients(settings.network)
    resources.push_async_callback(clients.close)
    loader.subscribe(clients.map_changed)
    if not settings.upstreams:
        return loader, public_app(directory, clients.bind, callers=callers)
    # Imported late: a gateway that only lists connectors does not need the Responses API.
    from junctor.gateway.responses.routes import ResponsesService

    service = ResponsesService(directory, settings.upstreams, clients.pool)
    resources.push_async_callback(service.close)
    return loader, public_app(directory, clients.bind, more=service.routes(), callers=callers)


class McpClients:
    """The pool of MCP clients, created at first use.

    The MCP SDK takes a second to import and 37 MB, which a gateway without a model server may never need.
    """

    def __init__(self, network: NetworkPolicy) -> None:
        self._network = network
        self._pool: McpClientPool | None = None

    @property
    def pool(self) -> "McpClientPool":
        """The pool; the first access imports the MCP SDK."""
        if self._pool is None:
            from junctor.gateway.mcp import McpClientPool

            self._pool = McpClientPool(self._network)
        return self._pool

    async def bind(self, found: Available) -> ToolServer:
        """Bind a connector to its own credentials. Raises RequestRefused, EntryUnusable."""
        if self._pool is None:
            # In a thread, so that other requests are served meanwhile.
            await asyncio.to_thread(importlib.import_module, "junctor.gateway.mcp")
        return self.pool.from_config(found.connector, found.credentials)

    def map_changed(self, served: ServedMap) -> None:
        """End the sessions of connectors that changed."""
        if self._pool is not None:
            self._pool.entries_changed(served)

    async def close(self) -> None:
        """End all sessions."""
        if self._pool is not None:
            await self._pool.close()


@contextlib.asynccontextmanager
async def _running(loader: MapLoader) -> AsyncIterator[None]:
    """Keep the served map current while the context lasts."""
    task = asyncio.create_task(loader.run(), name="map loader")
    try:
        yield
    finally:
        await cancel_and_wait(task)
