"""HTTP connections for httpx that go only to addresses which the network's rules allow, each checked at the moment of the connection."""

import asyncio
import logging
import ssl
import time
from collections.abc import Iterable

import httpcore
import httpx

from junctor.net.connecting import AddressRefused, connect_first, permitted_addresses
from junctor.net.network_policy import NetworkRules

_log = logging.getLogger(__name__)


class GuardedTransport(httpx.AsyncHTTPTransport):
    """The library's transport over connections that follow `rules`, since its own constructor takes no network backend."""

    def __init__(self, tls: ssl.SSLContext, rules: NetworkRules) -> None:
        self._pool = httpcore.AsyncConnectionPool(ssl_context=tls, keepalive_expiry=5.0, network_backend=_GuardedNetwork(rules))


class _GuardedNetwork(httpcore.AsyncNetworkBackend):
    def __init__(self, rules: NetworkRules) -> None:
        self._rules = rules
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the interface's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, check and connect within `timeout` seconds."""
        deadline = time.monotonic() + (timeout or 60.0)
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                addresses = await permitted_addresses(host, port, self._rules)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except AddressRefused as error:
            _log.warning("no connection to %s: its address %s %s", host, error.address, error.reason)
            raise httpcore.ConnectError from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError from error
        if not addresses:
            raise httpcore.ConnectError("the name has no address")

        async def connect(address: str, seconds: float) -> httpcore.AsyncNetworkStream:
            return await self._network.connect_tcp(address, port, seconds, local_address, socket_options)

        return await connect_first(addresses, connect, deadline - time.monotonic())
