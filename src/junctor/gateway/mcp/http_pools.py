"""The connection pools of a process: one for each origin and trust, shared by all sessions there."""

import logging
from collections import OrderedDict
from typing import Final

import httpx2

from junctor.gateway.mcp.connections import Connections, GuardedNetwork
from junctor.gateway.mcp.target import Target
from junctor.net.connecting import Resolve, resolve_host
from junctor.net.network_policy import NetworkPolicy, NetworkRules

_IDLE_POOLS: Final = 128
_SDK_LOGS: Final = {
    "mcp.client": logging.CRITICAL,
    "client": logging.CRITICAL,
    "httpx2": logging.WARNING,
    "httpcore2": logging.WARNING,
}

_Key = tuple[str | None, NetworkRules, str]


class HttpPools:
    """Connections by origin, CA bundle and allowed addresses, shared by all sessions. A pool that no session uses is kept for a while.

    network: which addresses the connectors of each namespace may have. resolve: finds the addresses of hosts.
    """

    def __init__(self, network: NetworkPolicy, resolve: Resolve = resolve_host) -> None:
        self._network = network
        self._resolve = resolve
        self._in_use: dict[_Key, tuple[Connections, list[int]]] = {}
        self._idle: OrderedDict[_Key, Connections] = OrderedDict()
        # The SDK logs session ids, URLs with their queries, and a traceback for every mistake of a server.
        for name, level in _SDK_LOGS.items():
            logging.getLogger(name).setLevel(level)

    def acquire(self, target: Target) -> httpx2.AsyncBaseTransport:
        """Return the pool for a target, to be returned with `release`."""
        key = self._key(target)
        if key not in self._in_use:
            pool = self._idle.pop(key, None) or Connections(target.ca_bundle, GuardedNetwork(key[1], self._resolve))
            self._in_use[key] = (pool, [0])
        transport, users = self._in_use[key]
        users[0] += 1
        return transport

    async def release(self, target: Target) -> None:
        """Return the pool that `acquire` returned."""
        key = self._key(target)
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

    def _key(self, target: Target) -> _Key:
        rules = self._network.rules(target.namespace, public_only=target.public_only)
        return target.ca_bundle, rules, origin_of(httpx2.URL(target.url))


def origin_of(url: httpx2.URL) -> str:
    """Return scheme, host and port of a URL."""
    return f"{url.scheme}://{url.host}" if url.port is None else f"{url.scheme}://{url.host}:{url.port}"
