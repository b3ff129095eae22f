from collections.abc import Mapping, Sequence
from typing import Any

import junctor.gateway.mcp as package
from junctor.gateway.mcp import McpHandler, McpHandlerKind
from junctor.gateway.tools.ports import ToolOutcome, ToolSpec


class _Server:
    async def list_tools(self) -> Sequence[ToolSpec]:
        return []

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> ToolOutcome:
        return ToolOutcome(f"{name} {arguments}", None, "")


async def test_a_handler_with_a_client_calls_the_tool_by_the_servers_name() -> None:
    bound = McpHandler(McpHandlerKind.TOOL_CALL, "echo", _Server()).bound()
    assert bound is not None
    assert (await bound.execute({"a": 1})).output == "echo {'a': 1}"


def test_without_a_client_or_for_a_resource_there_is_nothing_to_execute() -> None:
    assert McpHandler(McpHandlerKind.TOOL_CALL, "echo").bound() is None
    assert McpHandler(McpHandlerKind.READ_RESOURCE, "echo", _Server()).bound() is None


def test_the_public_surface_is_what_the_package_names() -> None:
    assert all(hasattr(package, name) for name in package.__all__)
