"""HTTP clients for model servers, each with the one connection that it uses at a time."""

import http.cookiejar
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import httpx

from junctor.net.lifo_pool import LifoPool

#: uvicorn, which vLLM runs on, closes idle connections after 5 s; a request sent at that very moment would fail.
_KEEP_SECONDS: Final = 3.0
_MOST_IDLE: Final = 100


class ModelClients:
    """HTTP clients that all model servers share: as many connections as there are requests; cookies are not kept.

    The pool of httpx looks at every connection, with a system call for idle ones, whenever a request begins or ends, which at 16 concurrent
    requests was a fifth of the gateway's work. Here each pool has one connection.

    transport: replaces the network in tests.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._transport = transport
        self._tls = httpx.create_ssl_context()
        self._idle = LifoPool(self._client, httpx.AsyncClient.aclose, most=_MOST_IDLE, seconds=_KEEP_SECONDS)

    @asynccontextmanager
    async def stream(self, method: str, url: str, **options: Any) -> AsyncIterator[httpx.Response]:
        """Send a request and return the response before its body is read, as `httpx.AsyncClient.stream` does."""
        client = self._idle.take()
        try:
            async with client.stream(method, url, **options) as response:
                yield response
        finally:
            await self._idle.give(client)

    async def aclose(self) -> None:
        """Close the idle connections."""
        await self._idle.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _client(self) -> httpx.AsyncClient:
        no_cookies = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        limits = httpx.Limits(max_connections=None, keepalive_expiry=_KEEP_SECONDS)
        return httpx.AsyncClient(verify=self._tls, limits=limits, cookies=no_cookies, transport=self._transport)
