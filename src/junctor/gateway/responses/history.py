"""Converts the `input` of a request into the conversation that the model reads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from junctor.gateway.models.ports import ChatMessage, ModelCall
from junctor.gateway.responses.content import output_text, reasoning_text, tool_error_text, user_content
from junctor.gateway.responses.refusals import Tolerant, checked, refuse

#: Items of one request; OpenAI's own limit is not published. A conversation of 1,000 turns with a tool call each stays below it.
_MOST_ITEMS: Final = 4096
_APPROVALS_LATER: Final = "is not supported yet: executing approved calls comes with the store of responses"

VisibleName = Callable[[str, str], str]


class _Message(Tolerant):
    role: Literal["user", "system", "developer", "assistant"]
    content: Any


class _FunctionCall(Tolerant):
    call_id: str
    name: str
    arguments: str


class _FunctionCallOutput(Tolerant):
    call_id: str
    output: Any


class _Reasoning(Tolerant):
    content: Any = None
    summary: Any = None


class _ListTools(Tolerant):
    server_label: str
    tools: list[Any]


class _McpCall(Tolerant):
    id: str
    server_label: str
    name: str
    arguments: str
    output: str | None = None
    error: Any = None


Item = ChatMessage | _FunctionCall | _FunctionCallOutput | _McpCall | str


@dataclass(frozen=True, slots=True)
class History:
    """The items of an input. listed: the tools of earlier mcp_list_tools items by label, as callers send them, hence never trusted."""

    items: Sequence[Item] = field(repr=False)
    listed: Mapping[str, Sequence[Any]] = field(repr=False)

    def messages(self, instructions: str | None, visible: VisibleName) -> list[ChatMessage]:
        """Return the conversation. visible: returns the model's name of a server's tool, by label and tool."""
        turns = _Turns([ChatMessage("system", instructions)] if instructions else [])
        for item in self.items:
            turns.add(item, visible)
        turns.close()
        return turns.messages


def history(value: object) -> History:
    """Read `input`. Raises BadRequest that names the item."""
    if isinstance(value, str):
        return History([ChatMessage("user", value)], {})
    if not isinstance(value, list):
        return refuse("input must be a string or a list of items", "input", "invalid_type")
    if len(value) > _MOST_ITEMS:
        refuse(f"input has {len(value)} items; at most {_MOST_ITEMS} are possible", "input")
    items: list[Item] = []
    listed: dict[str, Sequence[Any]] = {}
    for position, item in enumerate(value):
        read = _item(item, f"input[{position}]")
        if isinstance(read, _ListTools):
            listed[read.server_label] = read.tools
        else:
            items.append(read)
    if not items:
        refuse("input holds nothing that the model could answer", "input")
    _check_pairs(items)
    return History(items, listed)


def _item(item: Any, place: str) -> Item | _ListTools:
    if not isinstance(item, dict):
        return refuse(f"{place} must be an object", place, "invalid_type")
    match item.get("type", "message"):
        case "message":
            message = checked(_Message, item, place)
            if message.role == "assistant":
                return ChatMessage("assistant", output_text(message.content, f"{place}.content"))
            return ChatMessage(message.role, user_content(message.content, f"{place}.content"))
        case "function_call":
            return checked(_FunctionCall, item, place)
        case "function_call_output":
            output = checked(_FunctionCallOutput, item, place)
            return output.model_copy(update={"output": output_text(output.output, f"{place}.output")})
        case "reasoning":
            reasoning = checked(_Reasoning, item, place)
            return reasoning_text(reasoning.content or reasoning.summary, place)
        case "mcp_list_tools":
            return checked(_ListTools, item, place)
        case "mcp_call":
            return checked(_McpCall, item, place)
        case "mcp_approval_request" | "mcp_approval_response" as kind:
            return refuse(f"{kind} {_APPROVALS_LATER}", place, "unsupported_parameter")
        case "item_reference":
            return refuse("item_reference is not supported yet: nothing is stored; send the item itself", place, "unsupported_parameter")
        case kind:
            return refuse(f"items of type {str(kind)[:100]!r} are not supported", f"{place}.type", "unsupported_parameter")


def _check_pairs(items: Sequence[Item]) -> None:
    """Check that each function call has one later output: model servers answer anything else with an error, or with nonsense."""
    called: set[str] = set()
    answered: set[str] = set()
    for item in items:
        if isinstance(item, _FunctionCall):
            if item.call_id in called:
                refuse(f"two function calls have the call_id {item.call_id[:100]!r}", "input")
            called.add(item.call_id)
        elif isinstance(item, _FunctionCallOutput):
            if item.call_id not in called:
                refuse(f"No tool call found for function call output with call_id {item.call_id[:100]}.", "input")
            if item.call_id in answered:
                refuse(f"two outputs have the call_id {item.call_id[:100]!r}", "input")
            answered.add(item.call_id)
    for call_id in sorted(called - answered):
        refuse(f"No tool output found for function call {call_id[:100]}.", "input")


class _Turns:
    """Joins the items of each turn of the assistant: reasoning, text and calls become one message, which results follow."""

    def __init__(self, messages: list[ChatMessage]) -> None:
        self.messages = messages
        self._reasoning: list[str] = []
        self._text: str | None = None
        self._calls: list[ModelCall] = []
        self._results: list[ChatMessage] = []

    def add(self, item: Item, visible: VisibleName) -> None:
        match item:
            case str():
                if self._calls or self._text is not None:
                    self.close()
                if item:
                    self._reasoning.append(item)
            case ChatMessage(role="assistant", content=str(text)):
                if self._calls or self._text is not None:
                    self.close()
                self._text = text
            case ChatMessage():
                self.close()
                self.messages.append(item)
            case _FunctionCall():
                self._calls.append(ModelCall(item.call_id, item.name, item.arguments))
            case _McpCall():
                self._calls.append(ModelCall(item.id, visible(item.server_label, item.name), item.arguments))
                self._results.append(ChatMessage("tool", _result(item), call_id=item.id))
            case _FunctionCallOutput():
                self.close()
                self.messages.append(ChatMessage("tool", item.output, call_id=item.call_id))

    def close(self) -> None:
        if self._calls or self._text is not None:
            reasoning = "\n".join(self._reasoning) or None
            self.messages.append(ChatMessage("assistant", self._text, tuple(self._calls), reasoning=reasoning))
        self.messages += self._results
        self._reasoning, self._text, self._calls, self._results = [], None, [], []


def _result(call: _McpCall) -> str:
    if call.error is not None:
        return tool_error_text(call.error)
    if call.output is None:
        return "Error: the outcome of this call is unknown"
    return call.output
