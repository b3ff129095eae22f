"""The MCP clients of a gateway process: one for each connector, entry and credential, shared by requests, bounded, and ended when idle."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from junctor.connectormap.policy import Limits
from junctor.connectormap.view import EntryView
from junctor.gateway.mcp.client import McpClient, Shares
from junctor.gateway.mcp.client_store import ClientStore, Key
from junctor.gateway.mcp.http_pools import HttpPools
from junctor.gateway.mcp.listing import ListingCache
from junctor.gateway.mcp.target import Target, target_of_entry, target_of_params
from junctor.gateway.mcp.tool_cache import LISTING_USABLE
from junctor.gateway.serving.connector import Connector
from junctor.gateway.serving.served_map import ServedMap
from junctor.gateway.tools.policy import policy_of_entry
from junctor.gateway.tools.server_errors import EntryUnusable
from junctor.net.connecting import Resolve, resolve_host
from junctor.net.network_policy import NetworkPolicy
from junctor.net.tls import ssl_context

_log = logging.getLogger(__name__)

MAX_CLIENTS: Final = 1000
IDLE_SECONDS: Final = 300.0
_NO_HEADERS: Final[Mapping[str, str]] = {}


@dataclass(slots=True)
class _SharedState:
    """What the clients of one entry share.

    own_target: target and identity for callers without authorization and headers of their own, made at its first use.
    """

    digest: str
    view: EntryView = field(repr=False)
    shares: Shares
    own_target: tuple[Target, str] | None = field(default=None, repr=False)


class McpClientPool:
    """Makes ToolServers and keeps them. Nothing is sent before one is used."""

    def __init__(
        self,
        network: NetworkPolicy,
        *,
        max_clients: int = MAX_CLIENTS,
        idle_seconds: float = IDLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        resolve: Resolve = resolve_host,
    ) -> None:
        """Create an empty pool.

        Args:
            network: which addresses the connectors of each namespace may have.
            max_clients: how many clients are kept.
            idle_seconds: after which an idle session ends.
            clock: in seconds.
            resolve: finds the addresses of hosts.
        """
        self._max_shared = max_clients
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._pools = HttpPools(network, resolve)
        self._shared: OrderedDict[str, _SharedState] = OrderedDict()
        self._clients = ClientStore[McpClient](max_clients)
        self._listings = ListingCache()
        self._retired: set[McpClient] = set()
        self._unshared: set[McpClient] = set()
        self._sweeper: asyncio.Task[None] | None = None

    def from_config(
        self,
        connector: Connector,
        credentials: Mapping[str, bytes],
        *,
        authorization: str | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        caller: str = "",
    ) -> McpClient:
        """Return the server of a connector, bound to what the caller brings.

        Args:
            connector: of the served map.
            credentials: values by the keys that the connector names.
            authorization: the caller's token, without a scheme; it replaces the connector's own.
            headers: the caller's.
            caller: who brings them; clients that are kept for one caller take no room from others.

        Raises:
            RequestRefused: the connector does not accept what the caller brings.
            EntryUnusable: what the map says about the server cannot be used.
        """
        shared = self._shared_state(connector)
        is_own = authorization is None and not headers
        if is_own:
            if shared.own_target is None:
                target = target_of_entry(shared.view, credentials, None, headers)
                shared.own_target = (target, target.identity)
            target, identity = shared.own_target
        else:
            target = target_of_entry(shared.view, credentials, authorization, headers)
            identity = target.identity
        key = Key(connector.id, connector.digest, identity)
        client = self._clients.use(key)
        if client is None:
            client = self._add(key, target, shared.shares, None if is_own else caller)
        client.last_used = self._clock()
        return client

    def from_params(
        self, url: str, authorization: str | None = None, headers: Mapping[str, str] = _NO_HEADERS, *, limits: Limits | None = None
    ) -> McpClient:
        """Return a server that a request declares by URL, for that request alone; close it when the request ends.

        Args:
            url: of the server. Whoever calls this has decided that the URL is allowed.
            authorization: the caller's token, without a scheme.
            headers: the caller's.
            limits: None for the defaults.

        Raises:
            RequestRefused: a header or the token is not valid.
            EntryUnusable: the URL is not valid.
        """
        client = McpClient(target_of_params(url, authorization, headers, limits), self._pools, listen=False, clock=self._clock)
        self._unshared.add(client)
        self._sweep_while_used()
        return client

    def entries_changed(self, served: ServedMap) -> None:
        """Retire the clients of connectors whose entry is no longer the served one. Running calls finish."""
        for client in self._clients.pop_all(lambda key: (current := served.get(key.connector)) is None or current.digest != key.digest):
            self._retire(client)
        for connector_id, shared in list(self._shared.items()):
            if (current := served.get(connector_id)) is None or current.digest != shared.digest:
                del self._shared[connector_id]

    async def close(self) -> None:
        """End every session and close every connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeper
        clients = [*self._clients.pop_all(lambda _: True), *self._retired, *self._unshared]
        self._retired.clear()
        self._unshared.clear()
        self._shared.clear()
        await asyncio.gather(*(client.aclose() for client in clients))
        await self._pools.close()

    def sweep(self) -> None:
        """End sessions that are idle for too long, and retire clients whose cached list of tools has expired."""
        now = self._clock()
        for key, client in self._clients:
            if client.is_busy or now - client.last_used < self._idle_seconds:
                continue
            client.end_if_idle()
            if now - client.last_used >= max(self._idle_seconds, LISTING_USABLE):
                self._drop(key)
        for client in list(self._unshared):
            if not client.is_busy and now - client.last_used >= self._idle_seconds:
                _log.warning("%r was not closed by the request that declared it", client)
                self._unshared.discard(client)
                self._retire(client)
        self._unshared = {client for client in self._unshared if not client.is_closed}
        self._retired = {client for client in self._retired if not client.is_closed}

    def _shared_state(self, connector: Connector) -> _SharedState:
        shared = self._shared.get(connector.id)
        if shared is None or shared.digest != connector.digest:
            view = connector.view
            shares = Shares.of(policy_of_entry(view).limits, self._listings)
            shared = self._shared[connector.id] = _SharedState(connector.digest, view, shares)
        self._shared.move_to_end(connector.id)
        while len(self._shared) > self._max_shared:
            self._shared.popitem(last=False)
        return shared

    def _add(self, key: Key, target: Target, shares: Shares, caller: str | None) -> McpClient:
        _check_ca_bundle(target)
        # What a caller made up is not worth keeping; a connector's own credential may be accepted later.
        when_refused = (lambda: self._drop(key)) if caller is not None else (lambda: None)
        client = McpClient(target, self._pools, shares, clock=self._clock, when_refused=when_refused)
        for evicted in self._clients.add(key, caller, client):
            self._retire(evicted)
        self._sweep_while_used()
        return client

    def _drop(self, key: Key) -> None:
        client = self._clients.pop(key)
        if client is not None:
            self._retire(client)

    def _retire(self, client: McpClient) -> None:
        client.retire()
        if not client.is_closed:
            self._retired.add(client)

    def _sweep_while_used(self) -> None:
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(self._sweep_often(), name="mcp idle sessions")

    async def _sweep_often(self) -> None:
        while len(self._clients) or self._retired or self._unshared:
            await asyncio.sleep(min(self._idle_seconds / 4, 30.0))
            self.sweep()


def _check_ca_bundle(target: Target) -> None:
    if target.url.startswith("https:"):
        try:
            ssl_context(target.ca_bundle)
        except ValueError as error:
            raise EntryUnusable(str(error)) from error
