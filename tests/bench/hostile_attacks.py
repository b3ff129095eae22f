"""The attacks of the hostile benchmark: each goes on until a time and returns what it was answered, counted."""

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx

from tests.support.attacks import MIB, post_head
from tests.support.token_reviews import made_up_token

#: Bytes of a body that stays within the 10 MiB that a gateway takes.
_BODY: Final = int(9.9 * MIB)
_PIECE: Final = 64 * 1024
STALLED: Final = 40
MADE_UP: Final = 1000
_CONNECTIONS: Final = 300

#: Status or failure, and how often.
Seen = Counter[str]


@dataclass(frozen=True)
class Target:
    """A gateway under attack. url: of its API, without /v1. key: the attacker's own, for attacks that need one."""

    url: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        """What a caller sends."""
        return {"Authorization": f"Bearer {self.key}"}


#: Goes on until this time by `time.monotonic`.
Attack = Callable[[Target, float], Awaitable[Seen]]


async def endless_heads(target: Target, until: float) -> Seen:
    """18 MiB of headers on a connection without a key, and the next one."""
    return await _repeated(lambda: _send(target, b"GET / HTTP/1.1\r\nHost: x\r\n", [b"a:\r\n" * (_PIECE // 4)] * (18 * 16), until), until)


async def stalled_bodies(target: Target, until: float) -> Seen:
    """40 requests of one caller whose last byte never comes."""
    head = post_head(target.url, "/v1/responses", _BODY, Authorization=f"Bearer {target.key}")
    pieces = [b" " * _PIECE] * (_BODY // _PIECE)
    return Seen(await asyncio.gather(*(_send(target, head, pieces, until) for _ in range(STALLED))))


def dense_body(start: bytes, part: bytes, end: bytes) -> bytes:
    """A body of 9.9 MiB that is small parts beside its start and its end."""
    return start + part * ((_BODY - len(start) - len(end)) // len(part)) + end


async def dense_json(target: Target, until: float) -> Seen:
    """9.9 MiB of empty values, one request after the other."""
    bodies = itertools.cycle(dense_body(b'{"model":"m","input":[', part, b"0]}") for part in (b"[],", b'{"":0},'))
    paths = itertools.cycle(("/v1/responses", "/v1/responses", "/v1/chat/completions", "/v1/chat/completions"))
    async with _client(target) as http:
        headers = {"Content-Type": "application/json"}
        return await _repeated(lambda: _status(http.post(next(paths), content=next(bodies), headers=headers)), until)


def hostile_listings(connectors: Sequence[str]) -> Attack:
    """Ask for the tools of connectors whose servers list more than anybody takes."""
    return _gets([f"/v1/connectors/{name}/tools" for name in connectors])


def near_ids(wanted: str) -> Attack:
    """Ask for an id that is like many others."""
    return _gets([f"/v1/connectors/{wanted}"])


def sessions_that_reconnect(connectors: Sequence[str]) -> Attack:
    """Begin a session with each, and ask for nothing more."""

    async def attack(target: Target, until: float) -> Seen:
        async with _client(target) as http:
            seen = await asyncio.gather(*(_status(http.get(f"/v1/connectors/{name}/tools")) for name in connectors))
        await asyncio.sleep(until - time.monotonic())
        return Seen(seen)

    return attack


async def made_up_tokens(target: Target, until: float) -> Seen:
    """1,000 tokens that nobody issued, in turn, on 300 connections."""
    tokens = itertools.cycle([made_up_token(f"nobody-{number}") for number in range(MADE_UP)])
    async with _client(Target(target.url, "")) as http:

        def one() -> Awaitable[str]:
            return _status(http.get("/v1/connectors", headers={"Authorization": f"Bearer {next(tokens)}"}))

        return sum(await asyncio.gather(*(_repeated(one, until) for _ in range(_CONNECTIONS))), Seen())


def _gets(paths: Sequence[str]) -> Attack:
    async def attack(target: Target, until: float) -> Seen:
        turns: Iterator[str] = itertools.cycle(paths)
        async with _client(target) as http:
            return await _repeated(lambda: _status(http.get(next(turns))), until)

    return attack


def _client(target: Target) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, keepalive_expiry=3.0)
    return httpx.AsyncClient(base_url=target.url, headers=target.headers, limits=limits, timeout=60.0, trust_env=False)


async def _repeated(once: Callable[[], Awaitable[str]], until: float, pause: float = 0.05) -> Seen:
    """Do it again and again, with a pause in which others of this process get their turn."""
    seen = Seen()
    while time.monotonic() < until:
        seen[await once()] += 1
        await asyncio.sleep(pause)
    return seen


async def _status(request: Awaitable[httpx.Response]) -> str:
    try:
        return str((await request).status_code)
    except httpx.TransportError as error:
        return type(error).__name__


async def _send(target: Target, head: bytes, pieces: Sequence[bytes], until: float) -> str:
    """Send, as far as the other side takes it, and wait for an answer; its status."""
    parts = urlsplit(target.url)
    try:
        async with asyncio.timeout(until - time.monotonic()):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                with contextlib.suppress(ConnectionError):
                    for piece in (head, *pieces):
                        writer.write(piece)
                        await writer.drain()
                line = (await reader.readline()).split()
            finally:
                writer.transport.abort()
    except TimeoutError:
        return "no answer"
    except ConnectionError:
        return "closed"
    return line[1].decode() if len(line) > 1 else "closed"
