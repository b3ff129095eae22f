"""The connection pools of a process: one for each origin and trust, shared by all sessions there."""

import logging
from collections import OrderedDict
from typing import Final

import httpx2

from junctor.gateway.mcp.connections import Connections, PublicOnly
from junctor.gateway.mcp.target import Target

_IDLE_POOLS: Final = 128
_SDK_LOGS: Final = {
    "mcp.client": logging.CRITICAL,
    "client": logging.CRITICAL,
    "httpx2": logging.WARNING,
    "httpcore2": logging.WARNING,
}

_Key = tuple[str | None, bool, str]


class HttpPools:
    """Connections by origin, CA bundle and allowed addresses, shared by all sessions. A pool that no session uses is kept for a while.

    public_only: the network of the pools that may reach public addresses only.
    """

    def __init__(self, public_only: PublicOnly | None = None) -> None:
        self._public_only = public_only or PublicOnly()
        self._in_use: dict[_Key, tuple[Connections, list[int]]] = {}
        self._idle: OrderedDict[_Key, Connections] = OrderedDict()
        # The SDK logs session ids, URLs with their queries, and a traceback for every mistake of a server.
        for name, level in _SDK_LOGS.items():
            logging.getLogger(name).setLevel(level)

    def acquire(self, target: Target) -> httpx2.AsyncBaseTransport:
        """Return the pool for a target, to be returned with `release`."""
        key = _key(target)
        if key not in self._in_use:
            network = self._public_only if target.public_only else None
            self._in_use[key] = (self._idle.pop(key) if key in self._idle else Connections(target.ca_bundle, network), [0])
        transport, users = self._in_use[key]
        users[0] += 1
        return transport

    async def release(self, target: Target) -> None:
        """Return the pool that `acquire` returned."""
        key = _key(target)
        transport, users = self._in_use[key]
        users[0] -= 1
        if users[0] == 0:
            del self._in_use[key]
            self._idle[key] = transport
            while len(self._idle) > _IDLE_POOLS:
                await self._idle.popitem(last=False)[1].aclose()

    async def close(self) -> None:
        """Close the connections that no session uses."""
        while self._idle:
            await self._idle.popitem()[1].aclose()


def origin_of(url: httpx2.URL) -> str:
    """Return scheme, host and port of a URL."""
    return f"{url.scheme}://{url.host}" if url.port is None else f"{url.scheme}://{url.host}:{url.port}"


def _key(target: Target) -> _Key:
    return target.ca_bundle, target.public_only, origin_of(httpx2.URL(target.url))
