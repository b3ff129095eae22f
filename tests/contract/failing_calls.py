"""Calls that fail as expected, and connections that work afterwards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from junctor.connectormap.policy import Limits
from junctor.gateway.mcp import McpClient, McpClientPool
from junctor.gateway.tools.ports import ToolFailure
from junctor.net.network_policy import OWN_MACHINE_POLICY
from tests.support.mcp_servers import ScriptedServer, serving

SECRET = "s3cr3t-value"
QUICK = Limits(connect_timeout=1, call_timeout=1)


@asynccontextmanager
async def talking(server: ScriptedServer, limits: Limits | None = None) -> AsyncIterator[McpClient]:
    async with serving(server.app()) as url, closing(McpClientPool(OWN_MACHINE_POLICY)) as pool:
        yield pool.from_params(f"{url}/mcp", SECRET, limits=limits)


@asynccontextmanager
async def closing(pool: McpClientPool) -> AsyncIterator[McpClientPool]:
    try:
        yield pool
    finally:
        await pool.close()


async def fails(client: McpClient, arguments: dict[str, Any] | None = None) -> ToolFailure:
    outcome = await client.call_tool("echo", arguments or {})
    assert outcome.output is None
    assert outcome.failure is not None
    assert outcome.for_model
    assert SECRET not in repr(outcome)
    return outcome.failure


async def works(client: McpClient) -> bool:
    return (await client.call_tool("echo", {})).output == "well"
