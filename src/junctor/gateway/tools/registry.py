"""The tools of one request: their names, which ones the model may be offered, and the only way to execute a call.

Models see the tools of MCP servers as `mcp__<label>__<tool>`, which is valid for model servers and unique within a request.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from typing import Final, Self

from junctor.gateway.models.ports import FunctionTool
from junctor.gateway.tools.policy import ToolPolicy
from junctor.gateway.tools.ports import ToolOutcome, ToolServer, ToolSpec
from junctor.net.formats import MCPObjectView

_DESCRIPTION_LENGTH: Final = 500
LONGEST_NAME: Final = 64

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]", re.ASCII)
_HASH_DIGITS: Final = 10


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


@dataclass(frozen=True, slots=True)
class ListedServer:
    """A server with its listed tools. description: the caller's, or the connector's; it reaches the model. size: as in `ToolListing`."""

    label: str
    server: ToolServer = field(repr=False)
    tools: Sequence[ToolSpec] = field(repr=False)
    policy: ToolPolicy = field(default_factory=ToolPolicy)
    description: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class ServerTool:
    """A tool of an MCP server under the name that the model sees. `ToolRegistry.call` executes it."""

    visible: str
    label: str
    spec: ToolSpec
    needs_approval: bool
    handler: McpHandler
    function: FunctionTool = field(repr=False)


class ToolRegistry:
    """The tools that a request declares, by the names that the model sees. Read-only."""

    def __init__(self, tools: Mapping[str, ServerTool], functions: Mapping[str, FunctionTool]) -> None:
        self._tools = tools
        self._functions = functions
        self._by_label: dict[str, dict[str, ServerTool]] = {}
        for tool in tools.values():
            self._by_label.setdefault(tool.label, {})[tool.spec.name] = tool

    @classmethod
    def of(cls, servers: Iterable[ListedServer], functions: Iterable[FunctionTool] = ()) -> Self:
        """Name and describe the tools that the policies permit. Functions of the caller keep their names. Labels must differ."""
        by_label = {server.label: server for server in servers}
        by_name = {function.name: function for function in functions}
        permitted = {
            (server.label, tool.name): tool for server in by_label.values() for tool in server.tools if server.policy.permits(tool)
        }
        names = assign_names(permitted, by_name)
        tools = {}
        for (label, _), spec in permitted.items():
            server = by_label[label]
            visible = names[label, spec.name]
            function = FunctionTool(visible, _description(spec, server), spec.input_schema)
            handler = McpHandler(McpHandlerKind.TOOL_CALL, spec.name, server.server)
            tools[visible] = ServerTool(visible, label, spec, server.policy.needs_approval(spec), handler, function)
        return cls(tools, by_name)

    @property
    def tools(self) -> Sequence[ServerTool]:
        """All tools of servers that the request may use."""
        return tuple(self._tools.values())

    @property
    def functions(self) -> Sequence[FunctionTool]:
        """The caller's own functions."""
        return tuple(self._functions.values())

    def tools_of(self, label: str) -> Sequence[ServerTool]:
        """The tools of one server that the request may use."""
        return tuple(self._by_label.get(label, {}).values())

    def tool_of(self, label: str, tool: str) -> ServerTool | None:
        """Return a tool by its server's own name for it; None when the server lacks it or the request may not use it."""
        return self._by_label.get(label, {}).get(tool)

    def find(self, name: str) -> ServerTool | FunctionTool | None:
        """Return the tool or function of a name that the model called; None when the model invented the name."""
        return self._tools.get(name) or self._functions.get(name)

    def visible(self, label: str, tool: str) -> str:
        """Return the name under which the model sees a tool, or would see it: earlier calls may name tools that no longer exist."""
        known = self.tool_of(label, tool)
        return known.visible if known else visible_name(label, tool)

    async def call(self, tool: ServerTool, arguments: MCPObjectView) -> ToolOutcome:
        """Execute a call. A tool that this registry does not hold, because a policy forbids it, fails without reaching the server."""
        if self._tools.get(tool.visible) is not tool:
            return ToolOutcome.not_executed(f"tool {tool.spec.name!r} of {tool.label!r} may not be used here")
        return await tool.handler.execute(arguments)


def _description(tool: ToolSpec, server: ListedServer) -> str:
    about = server.description.strip()[:_DESCRIPTION_LENGTH]
    return "\n\n".join(text for text in (tool.description.strip(), f"Server {server.label}: {about}" if about else "") if text)


def plain_name(label: str, tool: str) -> str:
    """Return the readable name, which may be too long or clash with another."""
    return _NOT_IN_NAMES.sub("_", f"mcp__{label}__{tool}")


def visible_name(label: str, tool: str) -> str:
    """Return the name that a tool gets when nothing clashes: hashed when the plain one is too long."""
    plain = plain_name(label, tool)
    return plain if len(plain) <= LONGEST_NAME else hashed_name(label, tool)


def hashed_name(label: str, tool: str, reserved: Collection[str] = ()) -> str:
    """Return a name that ends in a hash of label and tool; names in `reserved` are avoided by further attempts."""
    plain = plain_name(label, tool)
    attempt = 0
    while True:
        hashed = "\0".join((label, tool, str(attempt)) if attempt else (label, tool))
        digest = sha256(hashed.encode(errors="replace")).hexdigest()[:_HASH_DIGITS]
        name = f"{plain[: LONGEST_NAME - _HASH_DIGITS - 2]}__{digest}"
        if name not in reserved:
            return name
        attempt += 1


def assign_names(tools: Collection[tuple[str, str]], reserved: Collection[str] = ()) -> dict[tuple[str, str], str]:
    """Return a name for each (label, tool), none of them in `reserved`.

    The names do not depend on the order of the tools: of tools with the same plain name, each gets a hashed one.
    """
    owners_of: dict[str, list[tuple[str, str]]] = {}
    for label, tool in sorted(set(tools)):
        owners_of.setdefault(visible_name(label, tool), []).append((label, tool))
    used = set(reserved) | set(owners_of)
    names: dict[tuple[str, str], str] = {}
    for name, owners in owners_of.items():
        if len(owners) == 1 and name not in reserved:
            names[owners[0]] = name
            continue
        for label, tool in owners:
            names[label, tool] = hashed_name(label, tool, used)
            used.add(names[label, tool])
    return names
