"""What executes the calls of one model-visible name."""

from dataclasses import dataclass, field
from enum import Enum

from junctor.gateway.tools.ports import ToolOutcome, ToolServer
from junctor.net.formats import MCPObjectView


class McpHandlerKind(Enum):
    """What a handler does with a call."""

    TOOL_CALL = "tool_call"
    READ_RESOURCE = "read_resource"


@dataclass(frozen=True, slots=True)
class McpHandler:
    """A tool of an MCP server. tool: the server's own name for it."""

    kind: McpHandlerKind
    tool: str
    client: ToolServer = field(repr=False)

    async def execute(self, arguments: MCPObjectView) -> ToolOutcome:
        """Execute a call. Resources are not offered to models yet, so reading one fails."""
        if self.kind is not McpHandlerKind.TOOL_CALL:
            return ToolOutcome.not_executed(f"{self.tool!r} cannot be called")
        return await self.client.call_tool(self.tool, arguments)
