"""Servers whose address a stranger chose are reached at public addresses only. Here the loopback plays the public Internet."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from junctor.gateway.mcp import McpClient, McpClientPool
from junctor.gateway.tools.server_errors import ListingFailed
from junctor.net.network_policy import CLUSTER_POLICY, NOT_PUBLIC, NetworkPolicy, NetworkRules
from tests.support.mcp_servers import sdk_server, self_signed, serving
from tests.support.ports import free_port
from tests.unit.gateway.maps import connector, content

NAME = "mcp.acme.com"
PUBLIC, PRIVATE = "127.0.0.1", "127.0.0.2"


class Resolver:
    """Gives the answers of a script, the last one again and again. asked: for which hosts."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


@dataclass(frozen=True)
class PlayedInternet(NetworkRules):
    """Some addresses on loopback are public, all others private and allowed."""

    public: tuple[str, ...] = (PUBLIC,)

    def refusal(self, address: str) -> str:
        return NOT_PUBLIC if self.public_only and address not in self.public else ""

    @property
    def allows_loopback(self) -> bool:
        return True


@asynccontextmanager
async def pooling(resolver: Resolver, public: tuple[str, ...] = (PUBLIC,)) -> AsyncIterator[McpClientPool]:
    pool = McpClientPool(NetworkPolicy(PlayedInternet(public=public)), resolve=resolver)
    try:
        yield pool
    finally:
        await pool.close()


def client_of(pool: McpClientPool, url: str, host: str = NAME, **fields: Any) -> McpClient:
    """The client of a server at `url` that is known under a name."""
    parts = urlsplit(url)
    return pool.from_config(
        connector(content("a", url=f"{parts.scheme}://{host}:{parts.port or 80}/mcp", addresses="public", **fields)), {}
    )


async def refused(client: McpClient) -> str:
    with pytest.raises(ListingFailed) as caught:
        await client.list_tools()
    assert caught.value.status in (502, 504)
    return str(caught.value)


@asynccontextmanager
async def counting(port: int) -> AsyncIterator[list[int]]:
    """Listens on the private address; gives a list that grows with each connection."""
    connections: list[int] = []

    def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        writer.close()

    server = await asyncio.start_server(connected, PRIVATE, port)
    async with server:
        yield connections


class Seen:
    """An app that notes the Host header and goes on."""

    def __init__(self) -> None:
        self.hosts: set[str] = set()
        self._app = sdk_server().streamable_http_app(host=NAME)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.hosts.add(dict(scope["headers"])[b"host"].decode())
        await self._app(scope, receive, send)


async def test_a_name_that_resolves_to_public_addresses_is_connected_to_and_keeps_its_name(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, NAME)
    app, resolver = Seen(), Resolver([PUBLIC])
    async with serving(app, tls=(certificate, key)) as url, pooling(resolver) as pool:
        client = client_of(pool, url, tls={"caBundle": certificate.read_text()})
        assert (await client.call_tool("echo", {"message": "hi"})).output == "Echo: hi"
        assert app.hosts == {f"{NAME}:{urlsplit(url).port}"}
        assert set(resolver.asked) == {NAME}
        assert "certificate is not valid" in await refused(
            client_of(pool, url, "other.acme.com", tls={"caBundle": certificate.read_text()})
        )


@pytest.mark.parametrize("addresses", [[PRIVATE], [PUBLIC, PRIVATE], [PRIVATE, PUBLIC]])
async def test_a_name_that_resolves_to_a_private_address_is_not_connected_to(addresses: list[str]) -> None:
    port = free_port()
    async with counting(port) as connections, pooling(Resolver(addresses)) as pool:
        message = await refused(client_of(pool, f"http://{NAME}:{port}"))
        outcome = await client_of(pool, f"http://{NAME}:{port}").call_tool("echo", {})
    assert outcome.failure is not None
    for told in (message, outcome.failure.message):
        assert "address not public" in told
        assert PRIVATE not in told
    assert not connections


async def test_a_name_that_is_public_first_and_private_later_is_connected_to_only_while_it_is_public() -> None:
    port, resolver = free_port(), Resolver([PUBLIC], [PRIVATE])
    async with counting(port) as connections, pooling(resolver) as pool:
        async with serving(_Once(sdk_server().streamable_http_app(host=NAME)), port) as url:
            client = client_of(pool, url)
            outcome = await client.call_tool("echo", {"message": "hi"})
        assert outcome.failure is not None
        assert "address not public" in outcome.failure.message
        assert len(resolver.asked) >= 2
    assert not connections


class _Once:
    """Closes each connection after an answer, so that the next request connects anew."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def closing(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, closing)


@pytest.mark.parametrize("host", [PRIVATE, "2130706434", "0x7f.2", "[::1]", "[::ffff:127.0.0.2]", "localhost"])
async def test_addresses_in_a_url_are_checked_however_they_are_written(host: str) -> None:
    port, pool = free_port(), McpClientPool(CLUSTER_POLICY)
    async with counting(port) as connections:
        message = await refused(client_of(pool, f"http://{NAME}:{port}", host))
    await pool.close()
    assert "address not public" in message
    assert not connections


async def test_the_other_addresses_of_a_name_are_tried_when_one_refuses() -> None:
    nobody = [f"127.0.0.{number}" for number in range(3, 6)]
    pool = McpClientPool(NetworkPolicy(PlayedInternet(public=(*nobody, PUBLIC))), resolve=Resolver([*nobody, PUBLIC]))
    async with serving(sdk_server().streamable_http_app(host=NAME)) as url:
        assert (await client_of(pool, url).call_tool("echo", {"message": "hi"})).output == "Echo: hi"
        await pool.close()


@pytest.mark.parametrize(
    ("answer", "told"), [(socket.gaierror(-2, "unknown"), "does not resolve"), ([], "no connection")], ids=["unknown", "none"]
)
async def test_a_name_without_addresses_is_told_as_such(answer: Any, told: str) -> None:
    async with pooling(Resolver(answer)) as pool:
        assert told in await refused(client_of(pool, f"http://{NAME}"))


async def test_a_resolver_that_hangs_costs_no_more_than_the_time_to_connect() -> None:
    class Hanging(Resolver):
        async def __call__(self, host: str, port: int) -> Sequence[str]:
            return await asyncio.Future()

    async with pooling(Hanging([])) as pool:
        assert "within 0.2 s" in await refused(client_of(pool, f"http://{NAME}", limits={"connectTimeoutSeconds": 0.2}))


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{PRIVATE}:{port}")
    async with (
        counting(port) as connections,
        serving(sdk_server().streamable_http_app(host=NAME)) as url,
        pooling(Resolver([PUBLIC])) as pool,
    ):
        assert (await client_of(pool, url).call_tool("echo", {"message": "hi"})).output == "Echo: hi"
    assert not connections


@pytest.mark.parametrize("status", [302, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    port = free_port()

    async def redirecting(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await Response(status_code=status, headers={"Location": f"http://{PRIVATE}:{port}/mcp"})(scope, receive, send)

    async with counting(port) as connections, serving(redirecting) as url, pooling(Resolver([PUBLIC])) as pool:
        assert "redirects" in await refused(client_of(pool, url))
    assert not connections


async def test_servers_that_may_be_private_share_no_connection_with_those_that_may_not() -> None:
    resolver = Resolver(["127.0.0.1"])
    async with serving(sdk_server().streamable_http_app()) as url, pooling(resolver, public=()) as pool:
        anywhere = pool.from_config(connector(content("a", url=f"{url}/mcp")), {})
        assert (await anywhere.call_tool("echo", {"message": "hi"})).output == "Echo: hi"
        assert "address not public" in await refused(client_of(pool, url, "127.0.0.1"))
