"""tool_choice: which tools the model is offered in the first round and later, and whether it must call one."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from junctor.gateway.models.ports import FunctionTool
from junctor.gateway.responses.declarations import Declaration, FunctionDeclaration, McpDeclaration
from junctor.gateway.responses.refusals import Strict, checked, refuse
from junctor.gateway.tools.registry import ToolRegistry
from junctor.net.formats import OpenAIObject

_MODES: Final = ("none", "auto", "required")
#: As many as there may be tools in a request.
_MOST_TARGETS: Final = 128


class _Function(Strict):
    type: Literal["function"]
    name: str


class _Server(Strict):
    type: Literal["mcp"]
    server_label: str
    name: str | None = None


class _Allowed(Strict):
    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[list[Any], Field(min_length=1)]


Target = _Function | _Server


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """A choice that was read.

    echo: as the response repeats it. forced: the only tools of the first round, None for all. allowed: the only tools of the whole
    response, None for all.
    """

    echo: str | OpenAIObject
    mode: Literal["none", "auto", "required"]
    forced: Target | None = None
    allowed: Sequence[Target] | None = None


@dataclass(frozen=True, slots=True)
class OfferedTools:
    """The tools of one round. tool_choice: as in `ModelRequest`."""

    tools: Sequence[FunctionTool] = ()
    tool_choice: str = "auto"

    @property
    def names(self) -> frozenset[str]:
        """What the model may call in this round."""
        return frozenset(tool.name for tool in self.tools)


def tool_choice(value: Any, tools: Sequence[Declaration]) -> ToolChoice:
    """Read tool_choice. Raises BadRequest, also for labels and functions that the request does not declare."""
    match value:
        case None:
            return ToolChoice("auto", "auto")
        case "none" | "auto" | "required" as mode:
            if mode == "required" and not tools:
                refuse("tool_choice 'required' needs tools", "tool_choice")
            return ToolChoice(mode, mode)
        case {"type": "allowed_tools"}:
            allowed = checked(_Allowed, value, "tool_choice")
            if len(allowed.tools) > _MOST_TARGETS:
                refuse(f"tool_choice.tools names {len(allowed.tools)} tools; at most {_MOST_TARGETS} are possible", "tool_choice.tools")
            targets = [_target(target, tools, f"tool_choice.tools[{position}]") for position, target in enumerate(allowed.tools)]
            return ToolChoice(dict(value), allowed.mode, allowed=targets)
        case {"type": "function"} | {"type": "mcp"}:
            return ToolChoice(dict(value), "required", forced=_target(value, tools, "tool_choice"))
        case {"type": kind}:
            return refuse(f"tool_choice of type {str(kind)[:100]!r} is not supported", "tool_choice", "unsupported_parameter")
        case _:
            return refuse(f"tool_choice must be one of {', '.join(_MODES)}, or an object with a type", "tool_choice")


def _target(value: Any, tools: Sequence[Declaration], place: str) -> Target:
    match value:
        case {"type": "function"}:
            function = checked(_Function, value, place)
            if function.name not in {tool.name for tool in tools if isinstance(tool, FunctionDeclaration)}:
                refuse(f"tool_choice names the function {function.name[:100]!r}, which tools do not hold", "tool_choice")
            return function
        case {"type": "mcp"}:
            server = checked(_Server, value, place)
            if server.server_label not in {tool.server_label for tool in tools if isinstance(tool, McpDeclaration)}:
                refuse(f"tool_choice names the server {server.server_label[:100]!r}, which tools do not hold", "tool_choice")
            return server
        case _:
            return refuse("tool_choice may name tools of type 'function' and 'mcp'", "tool_choice")


def check_names(choice: ToolChoice, registry: ToolRegistry) -> None:
    """Refuse a choice of a tool that its server lacks or the request may not use, and a forced choice among no tools."""
    if choice.mode == "required" and not registry.tools and not registry.functions:
        refuse("tool_choice 'required' needs a tool, and its servers have none for this request", "tool_choice")
    for target in (choice.forced, *(choice.allowed or ())):
        if isinstance(target, _Server) and not _names_of([target], registry):
            missing = f"no tool {target.name[:200]!r}" if target.name is not None else "no tools"
            refuse(f"tool_choice: server {target.server_label!r} has {missing} for this request", "tool_choice")


def offered_tools(choice: ToolChoice, registry: ToolRegistry, *, is_first: bool, with_servers: bool = True) -> OfferedTools:
    """Return what one round offers.

    Args:
        choice: the request's tool_choice.
        registry: all tools of the request.
        is_first: whether this is the first round. Only there a choice is forced, or it would be made in every round.
        with_servers: whether max_tool_calls permits more calls of servers' tools.
    """
    if choice.mode == "none":
        return OfferedTools((), "none")
    names = {tool.visible for tool in registry.tools} | {tool.name for tool in registry.functions}
    if choice.allowed is not None:
        names = _names_of(choice.allowed, registry)
    if is_first and choice.forced is not None:
        names &= _names_of([choice.forced], registry)
    tools = [tool.function for tool in registry.tools if with_servers and tool.visible in names]
    tools += [tool for tool in registry.functions if tool.name in names]
    if not tools:
        return OfferedTools()
    if not is_first or choice.mode == "auto":
        return OfferedTools(tools)
    is_single = choice.forced is not None and (isinstance(choice.forced, _Function) or choice.forced.name is not None)
    # `ModelRequest` cannot tell a function named "auto" from the mode; "required" forces the only function on offer as well.
    return OfferedTools(tools, tools[0].name if is_single and tools[0].name not in _MODES else "required")


def _names_of(targets: Collection[Target], registry: ToolRegistry) -> set[str]:
    """Return the model-visible names of the tools that `targets` name."""
    names: set[str] = set()
    for target in targets:
        if isinstance(target, _Function):
            names.add(target.name)
        elif target.name is None:
            names.update(tool.visible for tool in registry.tools_of(target.server_label))
        elif tool := registry.tool_of(target.server_label, target.name):
            names.add(tool.visible)
    return names
