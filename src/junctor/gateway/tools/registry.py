"""The tools of one request: what the model may be offered, and the only way to execute a call."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from junctor.gateway.models.ports import FunctionTool
from junctor.gateway.tools.handler import McpHandler, McpHandlerKind
from junctor.gateway.tools.names import assign_names, visible_name
from junctor.gateway.tools.policy import ToolPolicy
from junctor.gateway.tools.ports import ToolFailure, ToolOutcome, ToolServer, ToolSpec

_DESCRIPTION_LENGTH: Final = 500


@dataclass(frozen=True, slots=True)
class ListedServer:
    """A server with the tools that it listed. description: what the caller says of it; it reaches the model."""

    label: str
    server: ToolServer = field(repr=False)
    tools: Sequence[ToolSpec] = field(repr=False)
    policy: ToolPolicy = field(default_factory=ToolPolicy)
    description: str = ""


@dataclass(frozen=True, slots=True)
class ServerTool:
    """A tool of an MCP server under the name that the model sees. Executed by `ToolRegistry.call`."""

    visible: str
    label: str
    spec: ToolSpec
    needs_approval: bool
    handler: McpHandler
    function: FunctionTool = field(repr=False)


class ToolRegistry:
    """What a request declared, by the names that the model sees; nothing is added to it later."""

    def __init__(self, tools: Mapping[str, ServerTool], functions: Mapping[str, FunctionTool]) -> None:
        self._tools = tools
        self._functions = functions
        self._visible = {(tool.label, tool.spec.name): name for name, tool in tools.items()}

    @classmethod
    def of(cls, servers: Iterable[ListedServer], functions: Iterable[FunctionTool] = ()) -> Self:
        """Name and describe what may be used. Functions of the caller keep their names. Labels must differ."""
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
        """The servers' tools that the request may use."""
        return tuple(self._tools.values())

    @property
    def functions(self) -> Sequence[FunctionTool]:
        """The caller's own functions."""
        return tuple(self._functions.values())

    def tools_of(self, label: str) -> Sequence[ServerTool]:
        """The tools of one server that the request may use."""
        return tuple(tool for tool in self._tools.values() if tool.label == label)

    def find(self, name: str) -> ServerTool | FunctionTool | None:
        """Whose a name is that the model called; None when it made the name up."""
        return self._tools.get(name) or self._functions.get(name)

    def visible(self, label: str, tool: str) -> str:
        """The name under which the model sees, or would see, a tool; for calls of the past."""
        return self._visible.get((label, tool)) or visible_name(label, tool)

    async def call(self, tool: ServerTool, arguments: str) -> ToolOutcome:
        """Execute a call. Arguments that are no JSON object and tools that the policy forbids fail without reaching the server."""
        # Of what the policy forbids the registry holds nothing.
        bound = tool.handler.bound() if self._tools.get(tool.visible) is tool else None
        if bound is None:
            return failed(f"tool {tool.spec.name!r} of {tool.label!r} may not be used here")
        parsed = parse_arguments(arguments)
        if isinstance(parsed, ToolOutcome):
            return parsed
        return await bound.execute(parsed)


def parse_arguments(arguments: str) -> dict[str, Any] | ToolOutcome:
    """The arguments of a call, or its failure. Nothing is guessed: a tool must not run with arguments that the model did not mean."""
    try:
        parsed = json.loads(arguments, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return failed(f"the arguments are not valid JSON ({error}); call the tool again with a JSON object")
    if not isinstance(parsed, dict):
        return failed("the arguments are not a JSON object; call the tool again with one")
    return parsed


def failed(message: str) -> ToolOutcome:
    """A call that failed before it reached a server; the model reads why."""
    return ToolOutcome(None, ToolFailure("execution", message, content=({"type": "text", "text": message},)), f"Error: {message}")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _description(tool: ToolSpec, server: ListedServer) -> str:
    about = server.description.strip()[:_DESCRIPTION_LENGTH]
    return "\n\n".join(text for text in (tool.description.strip(), f"Server {server.label}: {about}" if about else "") if text)
