"""Reads and checks the `tools` of a request: functions of the caller and MCP servers. Nothing is looked up here."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from junctor.gateway.models.ports import FunctionTool
from junctor.gateway.responses.refusals import Strict, checked, refuse
from junctor.gateway.tools.policy import RequestedApproval, ToolFilter
from junctor.net.formats import JSONSchema, OpenAIObject
from junctor.net.headers import is_ascii_header_value, is_header_name
from junctor.net.urls import redacted_url

_MOST_TOOLS: Final = 128
#: The only values of connector_id that the types of OpenAI's clients accept in a response.
_OPENAI_CONNECTORS: Final = frozenset(
    f"connector_{name}"
    for name in ("dropbox", "gmail", "googlecalendar", "googledrive", "microsoftteams", "outlookcalendar", "outlookemail", "sharepoint")
)
_MAX_HEADER_NAME: Final = 256
#: A client keeps what it sends for minutes after the request.
_MAX_AUTHORIZATION: Final = 16 * 1024
_MAX_HEADERS: Final = 64
_MAX_HEADERS_SIZE: Final = 32 * 1024

Callers = list[Literal["direct", "programmatic"]]


class FilterField(Strict):
    """A filter of tools as callers write it."""

    tool_names: list[str] | None = None
    read_only: bool | None = None

    def read(self) -> ToolFilter:
        """Return the filter."""
        return ToolFilter(None if self.tool_names is None else frozenset(self.tool_names), self.read_only)


class ApprovalField(Strict):
    """The object form of require_approval."""

    always: FilterField | None = None
    never: FilterField | None = None


class FunctionDeclaration(Strict):
    """A function that the caller executes."""

    type: Literal["function"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: JSONSchema | None = None
    strict: bool | None = None
    defer_loading: bool | None = None
    allowed_callers: Callers | None = None

    def read(self) -> FunctionTool:
        """Return the function as model servers take it."""
        parameters = self.parameters or {"type": "object", "properties": {}}
        return FunctionTool(self.name, self.description or "", parameters, self.strict)

    def echo(self) -> OpenAIObject:
        """Return the declaration as the response repeats it, with null for absent fields."""
        return self.model_dump(include={"type", "name", "description", "parameters", "strict"})


class McpDeclaration(Strict):
    """An MCP server that the model may use. Its repr never contains credentials."""

    type: Literal["mcp"]
    server_label: Annotated[str, Field(min_length=1, max_length=256)]
    connector_id: str | None = None
    server_url: Annotated[str | None, Field(repr=False)] = None
    authorization: Annotated[str | None, Field(repr=False)] = None
    headers: Annotated[dict[str, str] | None, Field(repr=False)] = None
    server_description: str | None = None
    # Read by `_filter` and `_approval`: the messages of a union of types would name its members.
    allowed_tools: Any = None
    require_approval: Any = None
    defer_loading: bool | None = None
    allowed_callers: Callers | None = None

    @property
    def allowed(self) -> ToolFilter:
        """The filter of tools."""
        return _filter(self.allowed_tools, "allowed_tools")

    @property
    def approval(self) -> RequestedApproval:
        """The calls that the caller wants to approve: all of them unless it says otherwise."""
        return _approval(self.require_approval, "require_approval")

    def echo(self) -> OpenAIObject:
        """Return the declaration as the response repeats it, without authorization, headers and secrets in the URL.

        An id that OpenAI's types do not know is in a field of its own, `connector`: strict clients refuse it as connector_id, and others
        warn.
        """
        if self.connector_id is None:
            target = {"server_url": redacted_url(self.server_url or "")}
        elif self.connector_id in _OPENAI_CONNECTORS:
            target = {"connector_id": self.connector_id}
        else:
            target = {"connector": self.connector_id}
        return {
            "type": "mcp",
            "server_label": self.server_label,
            "server_description": self.server_description,
            **target,
            "headers": None,
            "allowed_tools": self.allowed_tools,
            "require_approval": "always" if self.require_approval is None else self.require_approval,
        }


Declaration = FunctionDeclaration | McpDeclaration


def declarations(tools: Sequence[object] | None) -> list[Declaration]:
    """Read the tools of a request, in its order. Raises BadRequest that names the field."""
    if tools and len(tools) > _MOST_TOOLS:
        refuse(f"there are {len(tools)} tools; at most {_MOST_TOOLS} are possible", "tools")
    read: list[Declaration] = []
    labels: set[str] = set()
    names: set[str] = set()
    for position, tool in enumerate(tools or ()):
        place = f"tools[{position}]"
        declaration = _declaration(tool, place)
        if isinstance(declaration, FunctionDeclaration):
            _check_unique(declaration.name, names, f"two functions have the name {declaration.name!r}", f"{place}.name")
        else:
            label = declaration.server_label
            _check_unique(label.casefold(), labels, f"two MCP servers have the label {label!r}", f"{place}.server_label")
        _check_callers(declaration, place)
        read.append(declaration)
    return read


def _declaration(tool: object, place: str) -> Declaration:
    if not isinstance(tool, dict):
        return refuse(f"{place} must be an object", place, "invalid_type")
    match tool.get("type"):
        case "function":
            return checked(FunctionDeclaration, tool, place)
        case "mcp":
            return _server(tool, place)
        case None:
            return refuse(f"Missing required parameter: '{place}.type'.", f"{place}.type", "missing_required_parameter")
        case kind:
            message = f"tools of type {str(kind)[:100]!r} are not supported; use 'function' or 'mcp'"
            return refuse(message, f"{place}.type", "unsupported_parameter")


def _check_unique(name: str, names: set[str], message: str, param: str) -> None:
    if name in names:
        refuse(message, param)
    names.add(name)


def _server(tool: Mapping[str, object], place: str) -> McpDeclaration:
    if tool.get("tunnel_id") is not None:
        refuse("tunnel_id is not supported; use connector_id or server_url", f"{place}.tunnel_id", "unsupported_parameter")
    server = checked(McpDeclaration, {key: value for key, value in tool.items() if key != "tunnel_id"}, place)
    if not server.server_label.isprintable():
        refuse("server_label must hold printable characters only", f"{place}.server_label")
    if server.connector_id is None and server.server_url is None:
        refuse("one of connector_id and server_url must be given", f"{place}.connector_id", "missing_required_parameter")
    if server.connector_id is not None and server.server_url is not None:
        refuse("connector_id and server_url exclude each other; give one of them", f"{place}.server_url")
    _filter(server.allowed_tools, f"{place}.allowed_tools")
    _approval(server.require_approval, f"{place}.require_approval")
    _check_headers(server, place)
    return server


def _check_headers(server: McpDeclaration, place: str) -> None:
    if server.authorization is not None and not (server.authorization.strip() and is_ascii_header_value(server.authorization)):
        refuse("authorization must be a token: visible ASCII characters, without 'Bearer'", f"{place}.authorization")
    if (server.authorization or "").strip().lower().startswith("bearer "):
        refuse("authorization must be the token alone; 'Bearer' is put before it here", f"{place}.authorization")
    if len(server.authorization or "") > _MAX_AUTHORIZATION:
        refuse(f"authorization must have at most {_MAX_AUTHORIZATION} characters", f"{place}.authorization")
    names: set[str] = set()
    size = sum(len(name) + len(value) for name, value in (server.headers or {}).items())
    if size > _MAX_HEADERS_SIZE or len(server.headers or {}) > _MAX_HEADERS:
        refuse(f"headers must be at most {_MAX_HEADERS}, with {_MAX_HEADERS_SIZE} characters in all", f"{place}.headers")
    for name, value in (server.headers or {}).items():
        if not is_header_name(name, longest=_MAX_HEADER_NAME) or not is_ascii_header_value(value) or name.lower() in names:
            refuse("headers must have distinct valid names, and values of visible ASCII characters", f"{place}.headers")
        names.add(name.lower())
    if server.authorization is not None and "authorization" in names:
        refuse("authorization is given twice, by itself and in headers; give one of them", f"{place}.headers")


def _check_callers(tool: Declaration, place: str) -> None:
    if tool.defer_loading:
        refuse("defer_loading is not supported; tools are always loaded", f"{place}.defer_loading", "unsupported_parameter")
    if tool.allowed_callers is not None and "direct" not in tool.allowed_callers:
        refuse("only direct calls are supported; allowed_callers must hold 'direct'", f"{place}.allowed_callers", "unsupported_parameter")


def _filter(value: object, place: str) -> ToolFilter:
    if value is None:
        return ToolFilter()
    if isinstance(value, list):
        if not all(isinstance(name, str) for name in value):
            refuse(f"{place} must hold names of tools", place)
        return ToolFilter(frozenset(value))
    return checked(FilterField, value, place).read()


def _approval(value: object, place: str) -> RequestedApproval:
    match value:
        case None | "always":
            return RequestedApproval("always")
        case "never":
            return RequestedApproval("never")
        case dict():
            filters = checked(ApprovalField, value, place)
            always, never = (chosen.read() if chosen else None for chosen in (filters.always, filters.never))
            return RequestedApproval(None, always, never)
        case _:
            return refuse(f"{place} must be 'always', 'never' or an object with 'always' and 'never'", place)
