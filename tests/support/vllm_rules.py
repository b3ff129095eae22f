"""What vLLM 0.33 refuses of a chat completions request, in its words as far as they are known."""

import json
from collections.abc import Mapping
from typing import Any


class Refused(Exception):
    """A 400."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


def check(body: Mapping[str, Any]) -> None:
    """Raise Refused for a request that vLLM would answer with 400."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused("messages: Field required", "messages")
    for message in messages:
        _check_message(message)
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Refused("Stream options can only be defined when `stream=True`.", "stream_options")
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        raise Refused("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs")
    _check_tools(body.get("tools"), required=body.get("tool_choice") not in (None, "auto", "none"))
    _check_choice(body)


def _check_message(message: Any) -> None:
    if not isinstance(message, Mapping) or message.get("role") not in ("system", "developer", "user", "assistant", "tool"):
        raise Refused("messages: a message has no known role", "messages")
    if message["role"] == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise Refused("messages: tool_call_id: Field required", "messages")
    content = message.get("content")
    if content is None and not (message["role"] == "assistant" and message.get("tool_calls")):
        raise Refused("messages: content: Field required", "messages")
    for call in message.get("tool_calls") or ():
        try:
            json.loads(call["function"]["arguments"])
        except (ValueError, KeyError, TypeError) as error:
            raise Refused(f"messages: tool_calls: {error}", "messages") from error


def _check_tools(tools: Any, *, required: bool) -> None:
    if tools is None:
        return
    if not isinstance(tools, list) or not tools:
        raise Refused("tools: List should have at least 1 item after validation, not 0", "tools")
    definitions: dict[str, Any] = {}
    for tool in tools:
        function = tool.get("function") if isinstance(tool, Mapping) and tool.get("type") == "function" else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise Refused("tools: function: Field required", "tools")
        for name, value in (function.get("parameters") or {}).get("$defs", {}).items() if required else ():
            if definitions.setdefault(name, value) != value:
                raise Refused(f"Tool definition '{name}' has multiple schemas, which is not supported.", "tools")


def _check_choice(body: Mapping[str, Any]) -> None:
    choice = body.get("tool_choice")
    if choice in (None, "none"):
        return
    tools = body.get("tools")
    if not tools:
        raise Refused("When using `tool_choice`, `tools` must be set.", "tool_choice")
    if choice in ("auto", "required"):
        return
    correct = 'Correct usage: `{"type": "function", "function": {"name": "my_function"}}`'
    function = choice.get("function") if isinstance(choice, Mapping) and choice.get("type") == "function" else None
    if not isinstance(function, Mapping) or not function.get("name"):
        raise Refused(f"Invalid value for `tool_choice`: {choice}! {correct}", "tool_choice")
    if function["name"] not in {tool["function"]["name"] for tool in tools}:
        raise Refused("The tool specified in `tool_choice` does not match any of the specified `tools`", "tool_choice")


def text_of(content: Any) -> str:
    """Content as the model reads it: arrays flattened."""
    if isinstance(content, list):
        return "\n".join(part.get("text", "") for part in content if isinstance(part, Mapping))
    return content or ""
