"""Connections go to addresses that were checked, and to the first one that answers."""

import asyncio
import contextlib
from collections.abc import Sequence

import pytest

from junctor.net.connecting import AddressRefused, connect_first, permitted_addresses
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
