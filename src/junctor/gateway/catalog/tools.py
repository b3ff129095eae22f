"""The tools of a connector as callers may use them."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from junctor.gateway.catalog.items import ToolItem, ToolList
from junctor.gateway.serving.directory import Available, Unavailable
from junctor.gateway.tools.policy import ConnectorPolicy
from junctor.gateway.tools.ports import ToolServer, ToolSpec
from junctor.gateway.tools.server_errors import ListingFailed, ListingRefused, RequestRefused

#: Binds a connector to its own credentials. Raises RequestRefused for one that needs the caller's authorization, and ListingFailed.
BindServer = Callable[[Available], Awaitable[ToolServer]]


async def tool_list(found: Available | Unavailable, bind: BindServer) -> ToolList:
    """List the tools of a connector that its policy permits. Raises ListingRefused."""
    connector_id = found.connector.id
    try:
        if isinstance(found, Unavailable):
            raise ListingFailed(found.message, HTTPStatus.FAILED_DEPENDENCY)
        policy = ConnectorPolicy.of(found.connector.view)
        server = await bind(found)
        listing = await server.list_tools()
    except RequestRefused as refused:
        raise ListingRefused(connector_id, ListingFailed(str(refused), HTTPStatus.FAILED_DEPENDENCY)) from refused
    except ListingFailed as failed:
        raise ListingRefused(connector_id, failed) from failed
    tools: ToolList = {"object": "list", "data": [_tool(tool) for tool in listing if policy.permits(tool)], "has_more": False}
    if omitted := [tool for tool in listing.omitted if policy.permits(tool)]:
        tools["omitted"] = [{"name": tool.name, "reason": tool.reason} for tool in omitted]
    return tools


def _tool(tool: ToolSpec) -> ToolItem:
    return {
        "object": "tool",
        "name": tool.name,
        "description": tool.description,
        "input_schema": tool.input_schema,
        "annotations": {"read_only": tool.read_only is True},
    }
