"""What the tool loop needs of an MCP server. `gateway.mcp` implements it; plain data on both sides, none of the SDK's types.

ToolServerError         the server could not be used
+-- ListingFailed       no usable list of tools; `status` as HTTP would say it
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool as its server describes it. read_only: the server's readOnlyHint, None when it says nothing."""

    name: str
    description: str
    input_schema: Mapping[str, Any] = field(repr=False)
    read_only: bool | None = None


@dataclass(frozen=True, slots=True)
class ToolFailure:
    """Why a call failed, as an mcp_call item reports it.

    kind protocol: a JSON-RPC error (code, message). kind http: connectivity or HTTP (code: the status, 504 for a time-out, 502 for a
    connection that broke). kind execution: the tool itself says so (content: its content array).
    """

    kind: Literal["protocol", "http", "execution"]
    message: str = ""
    code: int = 0
    content: Sequence[Mapping[str, Any]] = ()

    def to_json(self) -> dict[str, Any]:
        """The `error` of an mcp_call item (openai types mcp_tool_call_error)."""
        match self.kind:
            case "protocol":
                return {"type": "mcp_protocol_error", "code": self.code, "message": self.message}
            case "http":
                return {"type": "http_error", "code": self.code, "message": self.message}
            case "execution":
                return {"type": "mcp_tool_execution_error", "content": list(self.content)}


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What a call gave: text (bounded) when it succeeded, else the failure. for_model: what the model reads, in both cases."""

    output: str | None
    failure: ToolFailure | None
    for_model: str


class ToolServerError(Exception):
    """An MCP server that cannot be used now; the message never holds credentials."""


class ListingFailed(ToolServerError):
    """The tools of a server could not be listed. status: the HTTP status that the server gave, 504 for a time-out, 502 otherwise."""

    def __init__(self, message: str, status: int = 502) -> None:
        super().__init__(message)
        self.status = status


class ToolServer(Protocol):
    """One MCP server as one request may use it: target, credentials and limits are bound."""

    async def list_tools(self) -> Sequence[ToolSpec]:
        """All its tools, from a cache when that is fresh. Raises ListingFailed."""
        ...

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> ToolOutcome:
        """Call a tool by the server's own name. Never raises for what the server does; cancelling it cancels the call."""
        ...
