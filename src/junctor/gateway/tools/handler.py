"""What stands behind one model-visible name: a tool of an MCP server, or the reading of a server's resources."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from junctor.gateway.tools.ports import ToolOutcome, ToolServer


class McpHandlerKind(Enum):
    """What a handler does."""

    TOOL_CALL = "tool_call"
    READ_RESOURCE = "read_resource"


@dataclass(frozen=True, slots=True)
class BoundMcpHandler:
    """A tool with the server that executes it. tool: the server's own name for it."""

    tool: str
    client: ToolServer = field(repr=False)

    async def execute(self, arguments: Mapping[str, Any]) -> ToolOutcome:
        """Call the tool."""
        return await self.client.call_tool(self.tool, arguments)


@dataclass(frozen=True, slots=True)
class McpHandler:
    """A tool as a request declares it. Without a client it describes; only what `bound` gives can be executed."""

    kind: McpHandlerKind
    tool: str
    client: ToolServer | None = field(default=None, repr=False)

    def bound(self) -> BoundMcpHandler | None:
        """The handler to execute, None when no server is known or the kind is not offered."""
        if self.client is None or self.kind is not McpHandlerKind.TOOL_CALL:
            return None
        return BoundMcpHandler(self.tool, self.client)
