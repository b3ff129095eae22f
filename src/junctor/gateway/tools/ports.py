"""What the tool loop needs of an MCP server. `gateway.mcp` implements it with plain data, without the types of the MCP SDK."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, Self, overload

from junctor.net.formats import JSONSchemaView, MCPObjectView, OpenAIObject


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool as its server describes it. read_only: the server's readOnlyHint, None when it sends none."""

    name: str
    description: str
    input_schema: JSONSchemaView = field(repr=False)
    read_only: bool | None = None


@dataclass(frozen=True, slots=True)
class OmittedTool:
    """A tool that is left out because it exceeds a bound. name: perhaps cut. reason: which bound. read_only: as in ToolSpec."""

    name: str
    reason: str
    read_only: bool | None = None


class ToolListing(Sequence[ToolSpec]):
    """The tools of a server. omitted: those that are left out. size: bytes that the list takes each time it is written, about."""

    __slots__ = ("_tools", "omitted", "size")

    def __init__(self, tools: Sequence[ToolSpec] = (), omitted: Sequence[OmittedTool] = (), size: int = 0) -> None:
        self._tools = tools
        self.omitted = omitted
        self.size = size

    @overload
    def __getitem__(self, index: int) -> ToolSpec: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[ToolSpec]: ...

    def __getitem__(self, index: int | slice) -> ToolSpec | Sequence[ToolSpec]:
        return self._tools[index]

    def __len__(self) -> int:
        return len(self._tools)

    def __iter__(self) -> Iterator[ToolSpec]:
        return iter(self._tools)


@dataclass(frozen=True, slots=True)
class ToolFailure:
    """Why a call failed, as an mcp_call item reports it.

    kind: `protocol` is a JSON-RPC error (code, message); `http` a failed connection or an HTTP error (code: the status, 504 for a time-out,
    502 for a broken connection); `execution` a failure that the tool itself reports (content: its content array).
    """

    kind: Literal["protocol", "http", "execution"]
    message: str = ""
    code: int = 0
    content: Sequence[MCPObjectView] = ()

    def to_json(self) -> OpenAIObject:
        """Return the `error` of an mcp_call item (mcp_tool_call_error in OpenAI's types)."""
        match self.kind:
            case "protocol":
                return {"type": "mcp_protocol_error", "code": self.code, "message": self.message}
            case "http":
                return {"type": "http_error", "code": self.code, "message": self.message}
            case "execution":
                return {"type": "mcp_tool_execution_error", "content": list(self.content)}


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """The result of a call. output: bounded text when the call succeeded; else `failure` is set. for_model: what the model reads."""

    output: str | None
    failure: ToolFailure | None
    for_model: str

    @classmethod
    def not_executed(cls, reason: str) -> Self:
        """Return the outcome of a call that is refused before it reaches a server; the model reads why."""
        return cls.without_result(f"Error: {reason}", reason)

    @classmethod
    def without_result(cls, for_model: str, reason: str = "") -> Self:
        """Return the outcome of a call whose result is not there. reason: as the caller reads it, by default what the model reads."""
        reason = reason or for_model
        return cls(None, ToolFailure("execution", reason, content=({"type": "text", "text": reason},)), for_model)

    @property
    def size(self) -> int:
        """About the bytes that the outcome takes, in the answer and in what the model gets, and twice that while these are written."""
        return 2 * (sys.getsizeof(self.for_model) + sys.getsizeof(self.for_model if self.output is None else self.output))


class ToolServer(Protocol):
    """One MCP server as one request may use it, bound to its target, credentials and limits."""

    async def list_tools(self) -> ToolListing:
        """Return all tools, from a cache while it is fresh. Raises ListingFailed (`tools.server_errors`)."""
        ...

    async def call_tool(self, name: str, arguments: MCPObjectView) -> ToolOutcome:
        """Call a tool by the server's own name. Every failure of the server is an outcome; cancelling this cancels the call."""
        ...
