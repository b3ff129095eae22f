"""The connections to one origin, shared by all sessions there."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import httpcore2
import httpx2

from junctor.net.lifo_pool import LifoPool
from junctor.net.tls import ssl_context

#: With the library's 5 s, most calls would need a new connection.
KEEPALIVE_SECONDS: Final = 60.0
_MOST_IDLE: Final = 100


class Connections(httpx2.AsyncBaseTransport):
    """As many connections as there are requests: each session keeps a stream open beside its calls, and calls are bounded elsewhere.

    The library's own pool looks at every connection whenever a request begins or ends, and a thousand sessions are a thousand connections.
    Here each pool has one connection.

    network: opens the connections; None for the library's own backend.
    """

    def __init__(self, ca_bundle: str | None, network: httpcore2.AsyncNetworkBackend | None = None) -> None:
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
    """The library's transport over a given pool, since its own constructor takes no network backend. Ignores proxy settings."""

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
