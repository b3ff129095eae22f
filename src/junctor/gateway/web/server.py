"""The two HTTP servers of a gateway process: listening sockets, uvicorn, and the order in which they stop."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Self

import uvicorn
from starlette.types import ASGIApp

from junctor.gateway import GatewayError
from junctor.gateway.web.errors import management_body, openai_body
from junctor.gateway.web.limits import KEEP_ALIVE_SECONDS, connection_limits
from junctor.gateway.web.protocol import BoundedProtocol, PortState

#: Seconds that running requests get after SIGTERM. uvicorn counts whole ones.
_GRACE_SECONDS: Final = 1
#: Times a second that uvicorn ticks.
_TICKS: Final = 10
#: On every answer, those of the protocol too: a browser must neither guess at what it got, nor run, frame, keep or share it.
_SECURITY_HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
_BACKLOG: Final = 2048


class ListenError(GatewayError):
    """An address cannot be listened on."""


@dataclass(frozen=True, slots=True)
class Listening:
    """The addresses that a running gateway listens on."""

    url: str
    management_url: str


@dataclass(frozen=True, slots=True)
class Ports:
    """The listening sockets of the public port and the management port."""

    public: socket.socket
    management: socket.socket

    @classmethod
    @contextlib.contextmanager
    def open(cls, public: tuple[str, int], management: tuple[str, int]) -> Iterator[Self]:
        """Listen on two addresses, each host and port, while the context lasts. Raises ListenError."""
        with contextlib.closing(_listen(*public)) as public_socket, contextlib.closing(_listen(*management)) as management_socket:
            yield cls(public_socket, management_socket)

    @property
    def listening(self) -> Listening:
        """The addresses, as URLs."""
        return Listening(_url(self.public), _url(self.management))


async def serve_ports(ports: Ports, public: ASGIApp, management: ASGIApp, stopping: asyncio.Event, started: Callable[[], None]) -> None:
    """Serve both apps until `stopping`.

    The management port stops last, so that probes see that the gateway is stopping.

    Args:
        ports: The sockets; their owner closes them.
        public: The app for callers.
        management: The app for the operator and the probes.
        stopping: Ends both servers; set when one of them ends by itself.
        started: Called once both servers accept connections.
    """
    logging.getLogger("uvicorn.error").addFilter(_is_worth_logging)
    public_limit, management_limit = connection_limits()
    public_server = _EmbeddedServer(public, PortState(public_limit, openai_body))
    management_server = _EmbeddedServer(management, PortState(management_limit, management_body))
    public_task = asyncio.create_task(public_server.serve([ports.public]), name="public port")
    management_task = asyncio.create_task(management_server.serve([ports.management]), name="management port")
    stop_task = asyncio.create_task(stopping.wait(), name="stop")
    listening = asyncio.gather(public_server.is_listening.wait(), management_server.is_listening.wait())
    tasks = (public_task, management_task, stop_task)
    try:
        await asyncio.wait((*tasks, listening), return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            started()
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.set()
        for server, task in ((public_server, public_task), (management_server, management_task)):
            server.should_exit = True
            await asyncio.wait((task,))
        for rest in (stop_task, listening):
            rest.cancel()
        await asyncio.gather(stop_task, listening, return_exceptions=True)
    public_task.result()
    management_task.result()


class _EmbeddedServer(uvicorn.Server):
    """A uvicorn server that leaves signals to its owner and tells when it accepts connections."""

    def __init__(self, app: ASGIApp, state: PortState) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                headers=list(_SECURITY_HEADERS),
                lifespan="off",
                ws="none",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_GRACE_SECONDS,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
            )
        )
        self.server_state = self._port = state
        self.is_listening = asyncio.Event()

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS == 0:
            self._port.tick()
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Drop uvicorn's tracebacks of the requests that it cancels after the grace period; it logs their number as well."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _listen(host: str, port: int) -> socket.socket:
    """Listen on the first address of `host`. Raises ListenError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(_BACKLOG)
            sock.setblocking(False)
        except OSError:
            sock.close()
            raise
    except (OSError, OverflowError) as error:
        raise ListenError(f"cannot listen on {host or '*'} port {port}: {error}") from error
    return sock


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
