"""Writes a round as the body of POST /v1/chat/completions."""

import json
from collections.abc import Sequence
from typing import Final

from junctor.gateway.models.ports import ChatMessage, FunctionTool, ModelCall, ModelRequest
from junctor.gateway.models.schemas import normalised
from junctor.net.formats import JSONSchema, OpenAIObject, OpenAIObjectView

#: Fields that options cannot set: they follow from the request's tools.
_DERIVED: Final = frozenset({"tools", "tool_choice", "parallel_tool_calls"})


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
    schemas = normalised((tool.name, tool.parameters) for tool in tools)
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
        return arguments if isinstance(json.loads(arguments), dict) else "{}"
    except (ValueError, RecursionError):
        return "{}"
