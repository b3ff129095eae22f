"""Restricts connections to public Internet addresses, for servers whose address a stranger chose.

A name is resolved once for each connection, all its addresses are checked, and the connection goes to a checked address. The name is not
resolved again, which prevents DNS rebinding. TLS and the Host header keep the name.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import httpcore2

from junctor.net.addresses import is_public

#: How many addresses of a name are tried, one after the other.
_MOST_TRIED: Final = 8
_FOREVER: Final = 3600.0

#: Returns the IP addresses of a host, the best one first. Raises OSError.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class AddressNotPublic(httpcore2.ConnectError):
    """The host resolves to an address that is not public. The message does not name the address."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """Resolve a host as the operating system does. Literal addresses, odd forms included, resolve to themselves."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class PublicOnly(httpcore2.AsyncNetworkBackend):
    """A network backend for httpcore. A host with a single address that is not public is not connected to at all."""

    def __init__(self, resolve: Resolve = resolve, is_public: Callable[[str], bool] = is_public) -> None:
        self._resolve = resolve
        self._is_public = is_public
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the interface's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Resolve, check and connect within `timeout` seconds. Raises ConnectError, of which AddressNotPublic is one, or ConnectTimeout."""
        deadline = time.monotonic() + (_FOREVER if timeout is None else timeout)
        addresses = await self._checked(host, port, deadline)
        failure: httpcore2.ConnectError | httpcore2.ConnectTimeout = httpcore2.ConnectError("the name has no address")
        for position, address in enumerate(addresses):
            # An address that does not answer must leave time for the others.
            seconds = (deadline - time.monotonic()) / (len(addresses) - position)
            try:
                return await self._network.connect_tcp(address, port, max(seconds, 0.0), local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _checked(self, host: str, port: int, deadline: float) -> Sequence[str]:
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                addresses = await self._resolve(host, port)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout from error
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError from error
        if not all(map(self._is_public, addresses)):
            raise AddressNotPublic
        return addresses[:_MOST_TRIED]
