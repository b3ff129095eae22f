from dataclasses import replace

import pytest

from junctor.gateway.tools.handler import McpHandler, McpHandlerKind
from junctor.gateway.tools.registry import ListedServer, ToolRegistry
from tests.unit.gateway.tools.servers import FakeServer, tool


async def test_a_handler_with_a_client_calls_the_tool_by_the_servers_name() -> None:
    bound = McpHandler(McpHandlerKind.TOOL_CALL, "echo", FakeServer()).bound()
    assert bound is not None
    assert (await bound.execute({"a": 1})).output == "echo{'a': 1}"


@pytest.mark.parametrize(
    "handler", [McpHandler(McpHandlerKind.TOOL_CALL, "echo"), McpHandler(McpHandlerKind.READ_RESOURCE, "echo", FakeServer())]
)
async def test_without_a_client_or_for_a_resource_nothing_is_executed(handler: McpHandler) -> None:
    assert handler.bound() is None
    [echo] = ToolRegistry.of([ListedServer("git", FakeServer(), [tool("echo")])]).tools
    described = replace(echo, handler=handler)
    outcome = await ToolRegistry({described.visible: described}, {}).call(described, "{}")
    assert outcome.failure is not None
