"""Pools of clients for tests, and what to call through them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from junctor.gateway.mcp import McpClient, McpClientPool
from junctor.gateway.serving.connector import Connector
from junctor.net.network_policy import OWN_MACHINE_POLICY
from tests.support.mcp_servers import LegacyOnly, sdk_server
from tests.unit.gateway.maps import connector, content


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def pooling(**options: Any) -> AsyncIterator[McpClientPool]:
    pool = McpClientPool(OWN_MACHINE_POLICY, **options)
    try:
        yield pool
    finally:
        await pool.close()


def sdk_app(era: str) -> ASGIApp:
    app = sdk_server().streamable_http_app()
    return LegacyOnly(app) if era == "legacy" else app


def entry(url: str, connector_id: str = "a", **fields: Any) -> Connector:
    return connector(content(connector_id, url=f"{url}/mcp", **fields))


async def said(client: McpClient, message: str = "hi") -> str | None:
    return (await client.call_tool("echo", {"message": message})).output


class Counting:
    """Counts what passes, by JSON-RPC method as the headers tell it, else by HTTP method; answers `status` for the first `refused`."""

    def __init__(self, app: ASGIApp, *, refused: int = 0, status: int = 503) -> None:
        self._app, self._refused, self._status = app, refused, status
        self.passed: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            self.passed.append(headers.get(b"mcp-method", scope["method"].encode()).decode())
            if self._refused:
                self._refused -= 1
                await Response(status_code=self._status)(scope, receive, send)
                return
        await self._app(scope, receive, send)
