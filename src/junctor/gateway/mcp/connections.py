"""The connections to one origin, shared by all sessions there; only to addresses that the network's rules allow.

A name is resolved once for each connection, all its addresses are checked, and the connection goes to a checked address. The name is not
resolved again, which prevents DNS rebinding. TLS and the Host header keep the name. Proxies of the environment are not used, since a proxy
would resolve the name itself.
"""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final

import httpcore2
import httpx2

from junctor.net.connecting import AddressRefused, Resolve, connect_first, permitted_addresses, resolve_host
from junctor.net.lifo_pool import LifoPool
from junctor.net.network_policy import NetworkRules
from junctor.net.tls import ssl_context

_log = logging.getLogger(__name__)

#: With the library's 5 s, most calls would need a new connection.
KEEPALIVE_SECONDS: Final = 60.0
_MOST_IDLE: Final = 100
_FOREVER: Final = 3600.0


class Connections(httpx2.AsyncBaseTransport):
    """As many connections as there are requests: each session keeps a stream open beside its calls, and calls are bounded elsewhere.

    The library's own pool looks at every connection whenever a request begins or ends, and a thousand sessions are a thousand connections.
    Here each pool has one connection.

    network: opens the connections.
    """

    def __init__(self, ca_bundle: str | None, network: httpcore2.AsyncNetworkBackend) -> None:
        self._ca_bundle = ca_bundle
        self._network = network
        self._idle = LifoPool(self._connection, httpx2.AsyncHTTPTransport.aclose, most=_MOST_IDLE, seconds=KEEPALIVE_SECONDS)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request. Its connection is free again when the answer is closed."""
        connection = self._idle.take()
        try:
            response = await connection.handle_async_request(request)
        except BaseException:
            await self._idle.give(connection)
            raise
        response.stream = _Body(response, lambda: self._idle.give(connection))
        return response

    async def aclose(self) -> None:
        """Close the idle connections."""
        await self._idle.aclose()

    def _connection(self) -> httpx2.AsyncHTTPTransport:
        return _Connection(
            httpcore2.AsyncConnectionPool(
                ssl_context=ssl_context(self._ca_bundle),
                max_connections=1,
                keepalive_expiry=KEEPALIVE_SECONDS,
                socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
                network_backend=self._network,
            )
        )


class _Connection(httpx2.AsyncHTTPTransport):
    """The library's transport over the pool that it gets, since its own constructor takes no network backend. Ignores proxy settings."""

    def __init__(self, pool: httpcore2.AsyncConnectionPool) -> None:
        self._pool = pool


class _Body(httpx2.AsyncByteStream):
    """An answer's body. on_close: called once, when it is closed."""

    def __init__(self, response: httpx2.Response, on_close: Callable[[], Awaitable[None]]) -> None:
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101  # for the type: every async transport gives one
        self._inner = response.stream
        self._on_close: Callable[[], Awaitable[None]] | None = on_close

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            yield chunk

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            on_close, self._on_close = self._on_close, None
            if on_close is not None:
                await on_close()


class GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """A network backend for httpcore that connects only to addresses that the rules allow."""

    def __init__(self, rules: NetworkRules, resolve: Resolve = resolve_host) -> None:
        self._rules = rules
        self._resolve = resolve
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the interface's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Resolve, check and connect within `timeout` seconds. Raises ConnectError, caused by AddressRefused or not, or ConnectTimeout."""
        deadline = time.monotonic() + (_FOREVER if timeout is None else timeout)
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                addresses = await permitted_addresses(host, port, self._rules, self._resolve)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout from error
        except AddressRefused as error:
            _log.warning("no connection to %s: its address %s %s", host, error.address, error.reason)
            raise httpcore2.ConnectError from error
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError from error
        if not addresses:
            raise httpcore2.ConnectError("the name has no address")

        async def connect(address: str, seconds: float) -> httpcore2.AsyncNetworkStream:
            return await self._network.connect_tcp(address, port, seconds, local_address, socket_options)

        return await connect_first(addresses, connect, deadline - time.monotonic())
