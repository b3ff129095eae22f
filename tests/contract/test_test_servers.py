"""The servers of the tests close every connection that they accepted: what stays open would fail another test."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.fake_registry import FakeRegistry
from tests.support.mcp_servers import ScriptedServer, self_signed, serving

Running = Callable[[tuple[Path, Path] | None], AbstractAsyncContextManager[str]]


@asynccontextmanager
async def registry(tls: tuple[Path, Path] | None) -> AsyncIterator[str]:
    running = FakeRegistry(tls=tls)
    await asyncio.to_thread(running.__enter__)
    try:
        yield running.url
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


def mcp_server(tls: tuple[Path, Path] | None) -> AbstractAsyncContextManager[str]:
    return serving(ScriptedServer().app(), tls=tls)


async def silent_client(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that connects and says nothing, not even the first bytes of a handshake."""
    return await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))


async def half_a_request(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await silent_client(url)
    writer.write(b"POST /mcp HTTP/1.1\r\n")
    await writer.drain()
    return reader, writer


@pytest.mark.parametrize("running", [mcp_server, registry])
@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("connect", [silent_client, half_a_request])
async def test_a_server_closes_connections_that_never_got_to_a_request(
    tmp_path: Path,
    running: Running,
    with_tls: bool,
    connect: Callable[[str], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]],
) -> None:
    async with running(self_signed(tmp_path) if with_tls else None) as url:
        clients = [await connect(url) for _ in range(3)]
        # Connections are accepted in their order, so an answer on a later one shows that these are.
        async with httpx.AsyncClient(verify=False, trust_env=False, timeout=60) as later:
            assert (await later.get(url)).status_code == 404
    for reader, writer in clients:
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 20)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    gc.collect()  # pytest fails the test for what is found unclosed
