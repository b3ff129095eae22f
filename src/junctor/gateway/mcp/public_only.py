"""Connections to addresses of the public Internet only: for servers whose address a stranger chose.

A name is resolved once for each connection, everything that it resolves to is checked, and the connection goes to what was checked:
a second answer of the name's owner (DNS rebinding) is never asked for. TLS and the Host header keep the name.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import httpcore2

from junctor.net.addresses import is_public

#: Addresses of a name that are tried, one after the other.
_MOST_TRIED: Final = 8
_FOREVER: Final = 3600.0

#: The IP addresses of a host, the best first. Raises OSError.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class AddressNotPublic(httpcore2.ConnectError):
    """The host leads to an address that is not one of the public Internet. Never says to which."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """As the operating system resolves; literal addresses, odd forms included, are what they mean."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class PublicOnly(httpcore2.AsyncNetworkBackend):
    """What httpcore connects with. A host of which a single address is not public is not connected to at all."""

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
