"""Connections go to addresses that were checked, and to the first one that answers."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from junctor.net import connecting
from junctor.net.connecting import AddressRefused, connect_first, permitted_addresses, resolve_host
from junctor.net.network_policy import CLUSTER_POLICY, OWN_MACHINE_POLICY

RULES = CLUSTER_POLICY.rules("team")


class Stream:
    def __init__(self, address: str) -> None:
        self.address = address
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True


async def permitted(*addresses: str) -> Sequence[str]:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return await permitted_addresses("mcp.acme.com", 443, RULES, resolve)


async def test_one_refused_address_refuses_the_host_and_is_not_named() -> None:
    assert await permitted("192.0.2.1", "10.0.0.1") == ("192.0.2.1", "10.0.0.1")
    with pytest.raises(AddressRefused, match=r"^the address of mcp\.acme\.com is link-local, which is never allowed$") as caught:
        await permitted("192.0.2.1", "169.254.169.254")
    assert caught.value.address == "169.254.169.254"


async def test_the_machines_own_addresses_count_as_loopback() -> None:
    own = await _own_address()
    with pytest.raises(AddressRefused, match="is of the machine itself"):
        await permitted(own)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return [own]

    assert await permitted_addresses("mcp.acme.com", 443, OWN_MACHINE_POLICY.default, resolve) == [own]


async def _own_address() -> str:
    """An address of this machine that is not loopback."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("192.0.2.1", 9))
    address = str(transport.get_extra_info("sockname")[0])
    transport.close()
    if address.startswith("127."):
        pytest.skip("this machine has only loopback addresses")
    return address


class Network:
    """Addresses that answer, refuse or are silent. attempts: in order."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.attempts: list[str] = []
        self.streams: list[Stream] = []

    async def connect(self, address: str, seconds: float) -> Stream:
        self.attempts.append(address)
        match self.answers[address]:
            case "silent":
                await asyncio.sleep(seconds)
                raise TimeoutError(address)
            case "refuses":
                raise ConnectionRefusedError(address)
        self.streams.append(Stream(address))
        return self.streams[-1]


async def test_the_first_address_that_answers_is_used() -> None:
    network = Network(a="refuses", b="silent", c="answers", d="answers")
    assert (await connect_first(["a", "b", "c", "d"], network.connect, 30.0)).address == "c"
    assert network.attempts == ["a", "b", "c"]


async def test_the_last_failure_is_reported() -> None:
    network = Network(a="silent", b="refuses")
    with pytest.raises(TimeoutError):
        await connect_first(["a", "b"], network.connect, 0.3)
    with pytest.raises(ConnectionRefusedError):
        await connect_first(["b", "b"], network.connect, 30.0)


async def test_a_connection_that_comes_second_is_closed() -> None:
    streams: list[Stream] = []

    async def connect(address: str, seconds: float) -> Stream:
        if address == "slow":
            with contextlib.suppress(asyncio.CancelledError):  # it is made at the same moment
                await asyncio.sleep(30)
        streams.append(Stream(address))
        return streams[-1]

    assert (await connect_first(["slow", "fast"], connect, 60.0)).address == "fast"
    assert {stream.address: stream.closed for stream in streams} == {"fast": False, "slow": True}


class Names:
    """Name servers: those of `hangs.test` never answer, until `answer` is set. asked: the names that were looked up."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self.asked: list[str] = []
        self._look_up = socket.getaddrinfo

    def getaddrinfo(self, host: str, port: Any, **options: Any) -> Any:
        if options.get("flags", 0) & socket.AI_NUMERICHOST:
            return self._look_up(host, port, **options)
        self.asked.append(host)
        if host.endswith("hangs.test"):
            self.answer.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "no name server answers")
        return self._look_up("192.0.2.7", port, **options)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    made = Names()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    yield made
    made.answer.set()


async def test_names_that_never_resolve_keep_no_others_waiting(names: Names) -> None:
    """The event loop has five or six threads, and as few would be enough to stop all planning, and all new connections."""
    hanging = [asyncio.create_task(resolve_host(f"{number}.hangs.test", 443)) for number in range(50)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        assert await resolve_host("mcp.acme.test", 443) == ["192.0.2.7"]
        assert await resolve_host("127.1", 443) == ["127.0.0.1"]
        assert await asyncio.to_thread(str, 5) == "5"
        names.answer.set()
        ends = await asyncio.gather(*hanging, return_exceptions=True)
    assert {type(end) for end in ends} == {socket.gaierror}


async def test_a_name_is_looked_up_once_at_a_time(names: Names) -> None:
    lookups = [asyncio.create_task(resolve_host("hangs.test", port)) for port in range(1, 20)]
    await asyncio.sleep(0)
    lookups[0].cancel()
    names.answer.set()
    ends = await asyncio.gather(*lookups, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError, *[socket.gaierror] * 18]
    assert names.asked == ["hangs.test"]
    with pytest.raises(socket.gaierror):
        await resolve_host("hangs.test", 443)
    assert len(names.asked) == 2


async def test_names_beyond_the_limit_fail_at_once(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "_MOST_LOOKUPS", 2)
    hanging = [asyncio.create_task(resolve_host(f"{number}.hangs.test", 443)) for number in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(socket.gaierror, match="too many names"):
        await resolve_host("mcp.acme.test", 443)
    names.answer.set()
    await asyncio.gather(*hanging, return_exceptions=True)
    assert await resolve_host("mcp.acme.test", 443) == ["192.0.2.7"]


async def test_what_is_no_name_is_an_error_and_leaves_nothing_behind() -> None:
    with pytest.raises(UnicodeError):
        await resolve_host(f"{'a' * 64}.test", 443)
    assert connecting._lookups == {}
