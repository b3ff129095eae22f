"""Connects to a host by an address that was checked: resolved once, every address judged, and no other one connected to.

A name that resolves to something else a moment later (DNS rebinding) changes nothing, because it is not resolved again.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Final, Protocol, TypeVar

from junctor.net.network_policy import NetworkRules

#: How many addresses of a name are tried.
_MOST_TRIED: Final = 8
#: Seconds after which the next address is tried beside one that does not answer (RFC 8305, section 5).
_STAGGER: Final = 0.25


class _Closable(Protocol):
    async def aclose(self) -> None: ...


Connection = TypeVar("Connection", bound=_Closable)

#: Returns the IP addresses of a host, the best one first. Raises OSError.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class AddressRefused(OSError):
    """A host resolves to an address that the rules refuse. reason: the end of a sentence about it. The text does not name the address."""

    def __init__(self, host: str, reason: str, address: str) -> None:
        super().__init__(f"the address of {host} {reason}")
        self.reason = reason
        self.address = address


#: Names that are being looked up. Each has a thread of its own, and the event loop's few threads have none: nothing can interrupt the C
#: library, which waits for half a minute when the name servers of a name do not answer.
_lookups: Final[dict[str, Future[list[str]]]] = {}
_MOST_LOOKUPS: Final = 256


async def resolve_host(host: str, port: int) -> Sequence[str]:
    """Resolve a host as the operating system does. Literal addresses, odd forms included, resolve to themselves."""
    with suppress(socket.gaierror):  # it is a name
        return _addresses(host, socket.AI_NUMERICHOST)
    return await asyncio.wrap_future(_lookup(host))


def _addresses(host: str, flags: int = 0) -> list[str]:
    return list(dict.fromkeys(str(address[0]) for *_, address in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)))


def _lookup(host: str) -> Future[list[str]]:
    """The lookup of a name that runs already, or a new one."""
    lookup = _lookups.get(host)
    if lookup is None:
        if len(_lookups) >= _MOST_LOOKUPS:
            raise socket.gaierror(socket.EAI_AGAIN, "too many names are being looked up")
        lookup = _lookups[host] = Future()
        lookup.set_running_or_notify_cancel()  # so that one who gives up waiting cancels nobody else's lookup
        try:
            threading.Thread(target=_look_up, args=(host, lookup), name="lookup", daemon=True).start()
        except RuntimeError as error:
            del _lookups[host]
            raise socket.gaierror(socket.EAI_AGAIN, "the system gives no thread for another lookup") from error
    return lookup


def _look_up(host: str, lookup: Future[list[str]]) -> None:
    try:
        found = _addresses(host)
    except (OSError, UnicodeError) as error:
        del _lookups[host]
        lookup.set_exception(error)
    else:
        del _lookups[host]
        lookup.set_result(found)


async def permitted_addresses(host: str, port: int, rules: NetworkRules, resolve: Resolve = resolve_host) -> Sequence[str]:
    """Resolve a host and check all its addresses. One refused address refuses the host.

    Raises AddressRefused, another OSError when the host does not resolve, UnicodeError for a host that is no name.
    """
    addresses = await resolve(host, port)
    for address in addresses:
        reason = rules.refusal(address)
        if not reason and not rules.allows_loopback and _is_own(address, port):
            reason = "is of the machine itself, which networkPolicy does not allow"
        if reason:
            raise AddressRefused(host, reason, address)
    return addresses[:_MOST_TRIED]


def _is_own(address: str, port: int) -> bool:
    """Whether packets to an address would stay on this machine: the system would send them from the address itself. Sends nothing."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, port))
        except OSError:
            return False
        return str(probe.getsockname()[0]) == address


async def connect_first(addresses: Sequence[str], connect: Callable[[str, float], Awaitable[Connection]], seconds: float) -> Connection:
    """Connect to the first address that answers. A further one is tried whenever one fails or is silent for a moment.

    Args:
        addresses: at least one, the best one first.
        connect: connects to an address within so many seconds.
        seconds: for all of them together.

    Raises:
        Exception: what `connect` raised for the address that failed last.
    """
    if len(addresses) == 1:
        return await connect(addresses[0], seconds)
    deadline = time.monotonic() + seconds
    waiting, attempts = list(addresses), set[asyncio.Future[Connection]]()
    winner: asyncio.Future[Connection] | None = None
    try:
        while winner is None:
            if waiting:
                left = max(deadline - time.monotonic(), 0.0)
                attempts.add(asyncio.ensure_future(connect(waiting.pop(0), left)))
            running = {attempt for attempt in attempts if not attempt.done()}
            done, _ = await asyncio.wait(running, timeout=_STAGGER if waiting else None, return_when=asyncio.FIRST_COMPLETED)
            winner = next((attempt for attempt in done if attempt.exception() is None), None)
            if winner is None and not waiting and all(attempt.done() for attempt in attempts):
                winner = done.pop()
        return winner.result()
    finally:
        await _end(attempts - {winner})


async def _end(attempts: Iterable[asyncio.Future[Connection] | None]) -> None:
    """Cancel attempts, and close what one of them connected meanwhile."""
    futures = [attempt for attempt in attempts if attempt is not None]
    for attempt in futures:
        attempt.cancel()
    for outcome in await asyncio.gather(*futures, return_exceptions=True):
        if not isinstance(outcome, BaseException):
            await outcome.aclose()
