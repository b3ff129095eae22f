"""Writes a round as the body of POST /v1/chat/completions.

Tool parameters are rewritten into a form that model servers accept: an object with properties, and definitions without name clashes. For
`required` and named choices, vLLM builds one JSON schema from all tools. It merges their `$defs`, answers 400 when two of the same name
differ, and ignores definitions in other places.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from junctor.gateway.models.bounded_json import parse_bounded
from junctor.gateway.models.ports import ChatMessage, FunctionTool, ModelCall, ModelRequest
from junctor.net.formats import JSONSchema, JSONSchemaView, OpenAIObject, OpenAIObjectView

#: Fields that options cannot set: they follow from the request's tools.
_DERIVED: Final = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
#: Keywords whose value maps names to schemas; a name may well be `$ref` or `enum`.
_SCHEMA_MAPS: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
#: Keywords whose value is data.
_DATA_KEYWORDS: Final = frozenset({"const", "enum", "default", "example", "examples", "required", "dependentRequired"})


def chat_body(request: ModelRequest) -> OpenAIObject:
    """Return the body, ready for JSON. The request's own fields replace options of the same name."""
    body: OpenAIObject = {
        **{name: value for name, value in request.options.items() if name not in _DERIVED},
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.max_output_tokens is not None:
        body["max_completion_tokens"] = request.max_output_tokens
    # Model servers answer 400 to an empty list, and to a choice without tools. Tools that must not be called would still reach the model.
    if request.tools and request.tool_choice != "none":
        body["tools"] = _tools(request.tools)
        body["tool_choice"] = _choice(request.tool_choice)
        if not request.parallel_tool_calls:
            body["parallel_tool_calls"] = False
    return body


def _tools(tools: Sequence[FunctionTool]) -> list[OpenAIObject]:
    schemas = normalised_schemas((tool.name, tool.parameters) for tool in tools)
    return [{"type": "function", "function": _function(tool, schema)} for tool, schema in zip(tools, schemas, strict=True)]


def _function(tool: FunctionTool, schema: JSONSchema) -> OpenAIObject:
    function = {"name": tool.name, "description": tool.description, "parameters": schema}
    return {**function, "strict": True} if tool.strict else function


def _choice(choice: str) -> str | OpenAIObject:
    return choice if choice in ("auto", "required") else {"type": "function", "function": {"name": choice}}


def _message(message: ChatMessage) -> OpenAIObject:
    role = "system" if message.role == "developer" else message.role
    if role == "user":
        return {"role": role, "content": _parts(message.content)}
    sent: OpenAIObject = {"role": role, "content": _flat(message.content)}
    if role == "tool":
        sent["tool_call_id"] = message.call_id
    if role == "assistant":
        if message.calls:
            sent["tool_calls"] = [_call(call) for call in message.calls]
            sent["content"] = sent["content"] or None
        if message.reasoning:
            sent["reasoning"] = message.reasoning
    return sent


def _parts(content: str | Sequence[OpenAIObjectView] | None) -> str | list[OpenAIObject]:
    return content or "" if content is None or isinstance(content, str) else [dict(part) for part in content]


def _flat(content: str | Sequence[OpenAIObjectView] | None) -> str:
    """Return the text alone: the templates of many models accept other parts from the user only."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(_text(part) for part in content)


def _text(part: OpenAIObjectView) -> str:
    text = part.get("text", part.get("refusal"))
    return text if isinstance(text, str) else f"[{part.get('type', 'content')}: not shown]"


def _call(call: ModelCall) -> OpenAIObject:
    return {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": _object(call.arguments)}}


def _object(arguments: str) -> str:
    """Return the arguments, or {} when they are not an object: templates parse them, and older servers fail on what they cannot parse."""
    try:
        return arguments if isinstance(parse_bounded(arguments), dict) else "{}"
    except ValueError:
        return "{}"


def normalised_schemas(schemas: Iterable[tuple[str, JSONSchemaView]]) -> list[JSONSchema]:
    """Return the parameters of the tools of one request, passed as (tool name, schema). The arguments are not changed."""
    used: JSONSchema = {}
    return [_normalise(name, schema, used) for name, schema in schemas]


def _normalise(tool: str, schema: JSONSchemaView, used: JSONSchema) -> JSONSchema:
    plain = {key: value for key, value in schema.items() if key not in ("$schema", "$id")}
    if "$defs" in plain or "definitions" in plain:
        plain = _with_own_definitions(tool, plain, used)
    properties = plain.get("properties")
    return {**plain, "type": "object", "properties": properties if isinstance(properties, Mapping) else {}}


def _with_own_definitions(tool: str, schema: JSONSchema, used: JSONSchema) -> JSONSchema:
    """Move all definitions to $defs. When one differs from another tool's of the same name, rename all of them after this tool."""
    definitions: JSONSchema = {}
    for part in [schema.pop(key, None) for key in ("definitions", "$defs")]:
        definitions |= part if isinstance(part, Mapping) else {}
    moved = {name: _rewrite(value, lambda old: old) for name, value in definitions.items()}
    names = {name: name for name in moved}
    if any(name in used and used[name] != value for name, value in moved.items()):
        names = {name: _free_name(f"{name}__{tool}", used) for name in moved}
    written = {names[name]: _rewrite(value, lambda old: names.get(old, old)) for name, value in moved.items()}
    used.update(written)
    rewritten: JSONSchema = _rewrite(schema, lambda old: names.get(old, old))
    return {**rewritten, "$defs": written} if written else rewritten


def _free_name(name: str, used: JSONSchemaView) -> str:
    number = 2
    free = name
    while free in used:
        free, number = f"{name}_{number}", number + 1
    return free


def _rewrite(schema: Any, rename: Callable[[str], str]) -> Any:
    """Return a copy whose references to definitions are `#/$defs/<new name>`."""
    if isinstance(schema, list):
        return [_rewrite(item, rename) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    copy: JSONSchema = {}
    for key, value in schema.items():
        if key in _DATA_KEYWORDS:
            copy[key] = value
        elif key == "$ref" and isinstance(value, str):
            copy[key] = _reference(value, rename)
        elif key in _SCHEMA_MAPS and isinstance(value, Mapping):
            copy[key] = {name: _rewrite(item, rename) for name, item in value.items()}
        else:
            copy[key] = _rewrite(value, rename)
    return copy


def _reference(reference: str, rename: Callable[[str], str]) -> str:
    for prefix in ("#/$defs/", "#/definitions/"):
        if reference.startswith(prefix):
            name, slash, rest = reference.removeprefix(prefix).partition("/")
            # Escapes of JSON Pointer (RFC 6901).
            new = rename(name.replace("~1", "/").replace("~0", "~")).replace("~", "~0").replace("/", "~1")
            return f"#/$defs/{new}{slash}{rest}"
    return reference
