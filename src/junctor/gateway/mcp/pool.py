"""The MCP servers of a gateway process: sessions by connector, entry and credential, shared by requests, bounded, ended when idle."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from junctor.gateway.mcp.client import LISTING_USABLE, McpClient
from junctor.gateway.mcp.errors import EntryUnusable
from junctor.gateway.mcp.public_only import PublicOnly
from junctor.gateway.mcp.target import Limits, Target, target_of_entry, target_of_params
from junctor.gateway.mcp.transport import HttpPools
from junctor.gateway.serving.served_map import ServedMap
from junctor.net.tls import ssl_context

_log = logging.getLogger(__name__)

MAX_CLIENTS: Final = 1000
IDLE_SECONDS: Final = 300.0
_NO_HEADERS: Final[Mapping[str, str]] = {}


class Declared(Protocol):
    """A connector as the map declares it."""

    @property
    def id(self) -> str:
        """Its connector id."""

    @property
    def digest(self) -> str:
        """Another one when anything of the content changed."""

    @property
    def content(self) -> Mapping[str, Any]:
        """All that the map says of it; parsed at each use."""


@dataclass(slots=True)
class _Connector:
    """What one entry's clients share. own: the target of callers that bring nothing."""

    digest: str
    content: Mapping[str, Any] = field(repr=False)
    slots: asyncio.Semaphore
    own: tuple[Target, str] | None = field(default=None, repr=False)


class McpClientPool:
    """Makes ToolServers. Nothing is sent before one is used.

    max_clients: how many are kept. idle_seconds: a session's idle life. public_only: see HttpPools.
    """

    def __init__(
        self,
        *,
        max_clients: int = MAX_CLIENTS,
        idle_seconds: float = IDLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        public_only: PublicOnly | None = None,
    ) -> None:
        self._max_clients = max_clients
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._pools = HttpPools(public_only)
        self._connectors: OrderedDict[str, _Connector] = OrderedDict()
        self._clients: OrderedDict[tuple[str, str, str], McpClient] = OrderedDict()
        self._retired: set[McpClient] = set()
        self._unshared: set[McpClient] = set()
        self._sweeper: asyncio.Task[None] | None = None

    def from_config(
        self,
        declared: Declared,
        credentials: Mapping[str, bytes],
        *,
        authorization: str | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> McpClient:
        """The server of a connector of the map. Raises McpRefused.

        credentials: values by the keys that it names. authorization: the caller's token, without a scheme; replaces the connector's own.
        """
        connector = self._connector(declared)
        if authorization is None and not headers:
            if connector.own is None:
                target = target_of_entry(connector.content, credentials, None, headers)
                connector.own = (target, target.identity)
            target, identity = connector.own
        else:
            target = target_of_entry(connector.content, credentials, authorization, headers)
            identity = target.identity
        key = (declared.id, declared.digest, identity)
        client = self._clients.get(key)
        if client is None:
            if target.url.startswith("https:"):
                try:
                    ssl_context(target.ca_bundle)
                except ValueError as error:
                    raise EntryUnusable(str(error)) from error
            client = self._clients[key] = McpClient(target, self._pools, slots=connector.slots, clock=self._clock)
            self._make_room()
            self._sweep_while_used()
        else:
            self._clients.move_to_end(key)
        client.last_used = self._clock()
        return client

    def from_params(
        self, url: str, authorization: str | None = None, headers: Mapping[str, str] = _NO_HEADERS, *, limits: Limits | None = None
    ) -> McpClient:
        """A server that a request declares, for that request alone; close it (`aclose`, or `async with`) when the request ends.

        Raises McpRefused. Whether the URL may be called is decided before.
        """
        client = McpClient(target_of_params(url, authorization, headers, limits), self._pools, listen=False, clock=self._clock)
        self._unshared.add(client)
        self._sweep_while_used()
        return client

    def entries_changed(self, served: ServedMap) -> None:
        """Let go of the sessions and tool lists of connectors whose entry is not the served one any more. What runs finishes."""
        for key in [key for key in self._clients if (now := served.get(key[0])) is None or now.digest != key[1]]:
            self._retire(self._clients.pop(key))
        for connector_id, connector in list(self._connectors.items()):
            if (current := served.get(connector_id)) is None or current.digest != connector.digest:
                del self._connectors[connector_id]

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def sessions(self) -> int:
        """Sessions that are open."""
        return sum(client.has_session for client in (*self._clients.values(), *self._retired, *self._unshared))

    async def close(self) -> None:
        """End every session and close every connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeper
        clients = [*self._clients.values(), *self._retired, *self._unshared]
        self._clients.clear()
        self._retired.clear()
        self._unshared.clear()
        self._connectors.clear()
        await asyncio.gather(*(client.aclose() for client in clients))
        await self._pools.close()

    def sweep(self) -> None:
        """End the sessions that are idle for too long, and forget clients whose list of tools is of no use any more."""
        now = self._clock()
        for key, client in list(self._clients.items()):
            if client.is_busy or now - client.last_used < self._idle_seconds:
                continue
            client.rest()
            if now - client.last_used >= max(self._idle_seconds, LISTING_USABLE):
                self._retire(self._clients.pop(key))
        for client in list(self._unshared):
            if not client.is_busy and now - client.last_used >= self._idle_seconds:
                _log.warning("%r was not closed by the request that declared it", client)
                self._unshared.discard(client)
                self._retire(client)
        self._unshared = {client for client in self._unshared if not client.is_closed}
        self._retired = {client for client in self._retired if not client.is_closed}

    def _connector(self, declared: Declared) -> _Connector:
        connector = self._connectors.get(declared.id)
        if connector is None or connector.digest != declared.digest:
            content = declared.content
            slots = asyncio.Semaphore(int(content.get("limits", {}).get("maxConcurrentCalls", Limits().max_concurrent_calls)))
            connector = self._connectors[declared.id] = _Connector(declared.digest, content, slots)
        self._connectors.move_to_end(declared.id)
        while len(self._connectors) > self._max_clients:
            self._connectors.popitem(last=False)
        return connector

    def _make_room(self) -> None:
        while len(self._clients) > self._max_clients:
            idle = next((key for key, client in self._clients.items() if not client.is_busy), next(iter(self._clients)))
            self._retire(self._clients.pop(idle))

    def _retire(self, client: McpClient) -> None:
        client.retire()
        if not client.is_closed:
            self._retired.add(client)

    def _sweep_while_used(self) -> None:
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(self._sweep_often(), name="mcp idle sessions")

    async def _sweep_often(self) -> None:
        while self._clients or self._retired or self._unshared:
            await asyncio.sleep(min(self._idle_seconds / 4, 30.0))
            self.sweep()
