"""Connections to MCP servers: TLS, time-outs of streams, and endpoints of another origin."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from junctor.gateway.mcp.connections import KEEPALIVE_SECONDS
from junctor.gateway.mcp.http_pools import HttpPools
from junctor.gateway.mcp.target import target_of_params
from junctor.gateway.tools.server_errors import EntryUnusable, ListingFailed
from junctor.net.network_policy import OWN_MACHINE_POLICY
from tests.contract.mcp_pools import Counting, entry, pooling, said, sdk_app
from tests.support.mcp_servers import everything, self_signed, serving
from tests.support.waiting import until
from tests.unit.gateway.maps import connector, content


async def test_tls_trusts_the_bundle_of_the_entry_and_nothing_else(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    async with serving(sdk_app("modern"), tls=(certificate, key)) as url, pooling() as pool:
        trusted = pool.from_config(entry(url, tls={"caBundle": certificate.read_text()}), {})
        assert await said(trusted) == "Echo: hi"
        with pytest.raises(ListingFailed, match="certificate is not valid"):
            await pool.from_config(entry(url, "b"), {}).list_tools()


async def test_an_idle_stream_outlives_the_time_out_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("junctor.gateway.mcp.wire.READ_GRACE", 0.0)
    monkeypatch.setattr("junctor.gateway.mcp.transport.READ_GRACE", 0.0)
    app = Counting(sdk_app("legacy"))
    async with serving(app) as url, pooling() as pool:
        client = pool.from_config(entry(url, limits={"callTimeoutSeconds": 1}), {})
        assert len(await client.list_tools()) == 5
        await until(lambda: "GET" in app.passed)
        for _ in range(3):
            assert (await client.call_tool("slow", {"seconds": 60})).failure is not None
        await client.call_tool("grow", {})
        async with asyncio.timeout(60):
            while len(await client.list_tools()) == 5:  # noqa: ASYNC110  # the server's doing
                await asyncio.sleep(0.01)
    assert app.passed.count("GET") == 1


async def test_connections_are_kept_longer_than_the_five_seconds_of_the_library() -> None:
    pools = HttpPools(OWN_MACHINE_POLICY)
    target = target_of_params("http://127.0.0.1:1", None, {})
    first = pools.acquire(target)
    await pools.release(target)
    assert pools.acquire(target) is first
    assert KEEPALIVE_SECONDS > 5
    await pools.release(target)
    await pools.close()


async def test_sse_that_names_an_endpoint_of_another_origin_gets_nothing() -> None:
    seen: list[str] = []

    async def elsewhere(request: Request) -> Response:
        seen.append(request.method)
        return Response()

    async with serving(Starlette(routes=[Route("/x", elsewhere, methods=["POST"])])) as other:

        async def stream(_: Request) -> Response:
            async def events() -> AsyncIterator[str]:
                yield f"event: endpoint\ndata: {other}/x\n\n"
                await asyncio.Event().wait()

            return StreamingResponse(events(), media_type="text/event-stream")

        async with serving(Starlette(routes=[Route("/mcp", stream)])) as url, pooling() as pool:
            client = pool.from_config(entry(url, transport="SSE", limits={"connectTimeoutSeconds": 1}), {})
            with pytest.raises(ListingFailed):
                await client.list_tools()
    assert not seen


async def test_a_ca_bundle_that_cannot_be_read_is_refused_before_anything_is_sent() -> None:
    async with pooling() as pool:
        with pytest.raises(EntryUnusable, match="CA bundle"):
            pool.from_config(connector(content("a", tls={"caBundle": "nonsense"})), {})


async def test_streamable_http_alone_does_not_fall_back_to_sse() -> None:
    async with everything("sse") as url, pooling() as pool:
        client = pool.from_config(connector(content("a", url=url, transport="StreamableHTTP")), {})
        with pytest.raises(ListingFailed) as caught:
            await client.list_tools()
        assert caught.value.status == 404
        assert urlsplit(url).path == "/sse"
