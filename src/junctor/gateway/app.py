"""The gateway process: two ports, one loader, one event loop.

GatewayError
+-- ListenError         a port cannot be listened on
+-- CallersRequired     the public address is reachable by others and nobody said who may call
+-- CallersUnusable     what was said about who may call cannot work
"""

import asyncio
import contextlib
import gc
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn
from starlette.types import ASGIApp

from junctor.gateway.auth import Callers, CallersError, open_callers
from junctor.gateway.catalog.routes import public_app
from junctor.gateway.serving.directory import ConnectorDirectory
from junctor.gateway.serving.management import management_app
from junctor.gateway.serving.map_loader import MapLoader
from junctor.gateway.serving.served_map import ServedMap
from junctor.gateway.serving.sources.opening import open_source
from junctor.gateway.serving.sources.source import MapSource

if TYPE_CHECKING:
    from junctor.gateway.config import UpstreamConfiguration
    from junctor.gateway.responses.service import Responding

_log = logging.getLogger(__name__)

#: Seconds that running requests get after SIGTERM. uvicorn counts whole ones.
_GRACE_SECONDS: Final = 1
#: Longer than the operator and usual clients keep an idle connection, so that none is closed just as it is used again.
_KEEP_ALIVE_SECONDS: Final = 75


class GatewayError(Exception):
    """The gateway cannot start."""


class ListenError(GatewayError):
    """An address cannot be listened on."""


class CallersRequired(GatewayError):
    """Others could reach the gateway and nobody said that they may."""


class CallersUnusable(GatewayError):
    """What was said about who may call cannot work."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What `junctor gateway` was told.

    map: where the connector map is, `configmap:NAMESPACE/NAME` or `file:PATH[#NAME]`. port, management_port: 0 for any free one.
    callers: who may call, `apikeys:FILE`, `kubernetes` or `none`; None: not said, which is enough only on loopback, where everybody may.
    upstreams: model servers, for /v1/responses.
    """

    map: str
    host: str = "127.0.0.1"
    port: int = 8321
    management_host: str = "127.0.0.1"
    management_port: int = 8322
    kubeconfig: Path | None = None
    callers: str | None = None
    poll_seconds: float = 10.0
    upstreams: "tuple[UpstreamConfiguration, ...]" = ()


@dataclass(frozen=True, slots=True)
class Listening:
    """The addresses that a running gateway listens on."""

    url: str
    management_url: str


async def serve(
    settings: GatewaySettings,
    *,
    source: MapSource | None = None,
    stop: asyncio.Event | None = None,
    started: Callable[[Listening], None] = lambda _: None,
    manage: Callable[[MapLoader, ASGIApp], ASGIApp] = lambda _, app: app,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`; then finish within about a second.

    source: instead of the one that settings.map names. stop: given, signals are left to the caller. started: called when both ports listen.
    manage: gets the loader and the management port's app and gives the app to serve, for a process that is more than a gateway.
    Raises GatewayError, BadSource.
    """
    logging.getLogger("uvicorn.error").addFilter(_worth_logging)
    public_socket = _listen(settings.host, settings.port)
    try:
        _check_callers(settings, public_socket)
        management_socket = _listen(settings.management_host, settings.management_port)
    except GatewayError:
        public_socket.close()
        raise
    async with contextlib.AsyncExitStack() as opened:
        opened.enter_context(contextlib.closing(public_socket))
        opened.enter_context(contextlib.closing(management_socket))
        callers = await _open_callers(settings)
        opened.push_async_callback(callers.close)
        source = source or await open_source(settings.map, settings.kubeconfig)
        settling, responding = _Settling(), None

        def swapped(served: ServedMap) -> None:
            settling(served)
            if responding is not None:
                responding.map_changed(served)

        loader = MapLoader(source, poll_seconds=settings.poll_seconds, swapped=swapped)
        if settings.upstreams:
            # Imported late: a gateway that only lists connectors needs neither the MCP SDK nor the loop.
            from junctor.gateway.responses.service import Responding

            responding = Responding(loader.served, settings.upstreams)
        stopping = stop or asyncio.Event()
        with contextlib.nullcontext() if stop else stop_on_signals(stopping):
            public = _EmbeddedServer(_configuration(_public(loader, responding, callers)))
            management = _EmbeddedServer(_configuration(manage(loader, management_app(loader, stopping=stopping.is_set))))
            loading = asyncio.create_task(loader.run(), name="map loader")
            listening = Listening(_url(public_socket), _url(management_socket))
            try:
                await _run(public, public_socket, management, management_socket, stopping, lambda: started(listening))
            finally:
                loading.cancel()
                await asyncio.gather(loading, return_exceptions=True)
                if responding is not None:
                    await responding.close()
                await source.close()


def _public(loader: MapLoader, responding: "Responding | None", callers: Callers) -> ASGIApp:
    directory = ConnectorDirectory(loader.served)
    if responding is None:
        return public_app(directory, callers=callers)
    return public_app(directory, more=responding.routes(), tools=responding.tools, callers=callers)


async def _run(
    public: "_EmbeddedServer",
    public_socket: socket.socket,
    management: "_EmbeddedServer",
    management_socket: socket.socket,
    stopping: asyncio.Event,
    ready: Callable[[], None],
) -> None:
    """Both servers until `stopping`; the management port stays to the end, so that probes see why."""
    public_task = asyncio.create_task(public.serve([public_socket]), name="public port")
    management_task = asyncio.create_task(management.serve([management_socket]), name="management port")
    stop_task = asyncio.create_task(stopping.wait(), name="stop")
    listening = asyncio.gather(public.listening.wait(), management.listening.wait())
    tasks = (public_task, management_task, stop_task)
    try:
        await asyncio.wait((*tasks, listening), return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            ready()
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.set()
        public.should_exit = True
        await asyncio.wait((public_task,))
        management.should_exit = True
        await asyncio.wait((management_task,))
        for rest in (stop_task, listening):
            rest.cancel()
        await asyncio.gather(*tasks[2:], listening, return_exceptions=True)
    public_task.result()
    management_task.result()


class _EmbeddedServer(uvicorn.Server):
    """A uvicorn server that leaves signals to its owner and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Settling:
    """Takes a map that has grown a lot out of the garbage collector's sight: going through 50,000 connectors stops requests for 60 ms."""

    def __init__(self) -> None:
        self._settled = 0

    def __call__(self, served: ServedMap) -> None:
        # Not at every swap: garbage in cycles that is there at that moment is never collected.
        if len(served) > self._settled * 1.25:
            self._settled = len(served)
            gc.collect()
            gc.freeze()


def _worth_logging(record: logging.LogRecord) -> bool:
    """Leaves out uvicorn's traceback of every request that it cancels itself when the grace is over; their number it tells beside."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _configuration(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket on the first address of `host`. Raises ListenError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(2048)
            sock.setblocking(False)
        except OSError:
            sock.close()
            raise
    except (OSError, OverflowError) as error:
        raise ListenError(f"cannot listen on {host or '*'} port {port}: {error}") from error
    return sock


def _check_callers(settings: GatewaySettings, sock: socket.socket) -> None:
    """Refuse an open door: judged by the address that the socket got, not by the name it was asked for."""
    address = ipaddress.ip_address(sock.getsockname()[0].partition("%")[0])
    if settings.callers is None and not address.is_loopback:
        raise CallersRequired(
            f"--host {settings.host} can be reached by others, and --callers does not say who may call; "
            "write --callers none to let everybody in, or listen on 127.0.0.1"
        )


async def _open_callers(settings: GatewaySettings) -> Callers:
    try:
        return await open_callers(settings.callers, settings.kubeconfig)
    except CallersError as error:
        raise CallersUnusable(str(error)) from error


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def stop_on_signals(stopping: asyncio.Event) -> Iterator[None]:
    """Set `stopping` at SIGTERM or SIGINT while the context lasts."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stopping.set)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
