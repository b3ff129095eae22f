"""One connection without a key sends a request head that is too large, or never ends."""

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.support.attacks import MIB, RawConnection, bystander, memory, reset_peak
from tests.support.running_gateway import RunningGateway

PORTS = ("public", "management")
#: MiB; one request of an honest caller needs about one.
GROWTH = 24


def header_lines(megabytes: int) -> Iterator[bytes]:
    yield b"GET /v1/connectors HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    yield from [b"a:\r\n" * (MIB // 4)] * megabytes


def endless_url(megabytes: int) -> Iterator[bytes]:
    yield b"GET /"
    yield from [b"u" * MIB] * megabytes


def endless_header(megabytes: int) -> Iterator[bytes]:
    yield b"GET /v1/connectors HTTP/1.1\r\nHost: 127.0.0.1\r\nx: "
    yield from [b"v" * MIB] * megabytes


def endless_header_name(megabytes: int) -> Iterator[bytes]:
    yield b"GET /v1/connectors HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    yield from [b"n" * MIB] * megabytes


def endless_trailers(megabytes: int) -> Iterator[bytes]:
    yield b"POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    yield from [b"a:\r\n" * (MIB // 4)] * megabytes


def pipelined(megabytes: int) -> Iterator[bytes]:
    yield from [b"GET / HTTP/1.1\r\n\r\n" * (MIB // 18)] * megabytes


def behind_another(megabytes: int) -> Iterator[bytes]:
    yield b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET / HTTP/1.1\r\n"
    yield from [b"a:\r\n" * (MIB // 4)] * megabytes


FLOODS = {
    "header lines": (header_lines, b"431"),
    "a URL": (endless_url, b"414"),
    "a header that never ends": (endless_header, b"431"),
    "a header name that never ends": (endless_header_name, b"431"),
    "trailers": (endless_trailers, b""),
    "pipelined requests": (pipelined, b""),
    "header lines of a second request": (behind_another, b""),
}


def address(victim: RunningGateway, port: str) -> str:
    return victim.url if port == "public" else victim.management


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("flood", FLOODS)
def test_a_head_without_end_costs_no_memory(victim: RunningGateway, flood: str, port: str) -> None:
    pieces, status = FLOODS[flood]
    before = reset_peak(victim.process)
    with bystander(f"{victim.management}/-/livez") as probes, RawConnection(address(victim, port)) as attacker:
        for piece in pieces(18):
            if attacker.send(piece) < len(piece):
                break
        attacker.send(b"\r\n")
        probe = httpx.get(f"{victim.management}/-/livez", timeout=60, trust_env=False)  # answered after what was sent is read
        after = memory(victim.process)
        answer = attacker.receive() if after.peak - before.now < GROWTH else b""
    assert probe.is_success
    assert after.peak - before.now < GROWTH, f"{flood}: {before} -> {after}"
    assert not probes.failures
    # The kernel may drop the answer when the attacker is still sending.
    assert not answer or answer.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("port", PORTS)
def test_many_header_lines_in_one_small_head_are_refused(victim: RunningGateway, port: str) -> None:
    with RawConnection(address(victim, port)) as attacker:
        attacker.send(b"GET /v1/connectors HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"a: b\r\n" * 100 + b"\r\n")
        answer = attacker.receive()
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"100 headers" in answer
    assert b"x-content-type-options: nosniff\r\n" in answer.lower()


def test_half_heads_are_answered_after_ten_seconds(victim: RunningGateway) -> None:
    connections = {(port, kind): RawConnection(address(victim, port)) for port in PORTS for kind in ("silent", "half", "dripping")}
    for (_, kind), connection in connections.items():
        if kind != "silent":
            connection.send(b"GET /v1/connectors HTTP/1.1\r\nHost: ")
    started = time.monotonic()
    for port in PORTS:
        assert drip(connections[port, "dripping"]).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - started > 5
        assert connections[port, "half"].receive().startswith(b"HTTP/1.1 408 ")
        assert connections[port, "silent"].receive() == b""
    for connection in connections.values():
        connection.close()


def drip(connection: RawConnection) -> bytes:
    """Send byte after byte, each in time, until an answer comes."""
    connection.socket.settimeout(0.5)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        connection.send(b"x")
        try:
            return connection.socket.recv(65536)
        except TimeoutError:
            continue
    return b""


def test_a_head_in_single_bytes_is_served(victim: RunningGateway) -> None:
    with RawConnection(victim.management) as slow:
        for _ in range(2):  # the second one on the same connection
            for byte in b"GET /-/livez HTTP/1.1\r\nHost: 127.0.0.1\r\nx: y\r\n\r\n":
                slow.send(bytes([byte]))
            assert slow.receive(b"ok\n").startswith(b"HTTP/1.1 200 ")
