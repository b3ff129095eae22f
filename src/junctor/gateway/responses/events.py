"""Makes the items of a response and the events of its stream as OpenAI's clients read them. The accumulator numbers them."""

import json
from collections.abc import Sequence
from typing import Any, Final

from junctor.gateway.tools.ports import ToolOutcome, ToolSpec
from junctor.gateway.web.errors import ApiError
from junctor.net.formats import OpenAIObject, OpenAIObjectView

Event = OpenAIObject
Item = OpenAIObject
Logprobs = Sequence[OpenAIObjectView]

DONE: Final = b"data: [DONE]\n\n"
#: A comment: every client skips it, while strict clients fail on unknown events.
KEEP_ALIVE: Final = b": keep-alive\n\n"


#: Characters at which Python's `str.splitlines`, and so some clients, end a line; JSON needs none of them unescaped.
_LINE_ENDS: Final = str.maketrans({code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)})


def encode(event: OpenAIObjectView) -> bytes:
    """Encode one frame of server-sent events, in which no text of others can begin a line."""
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    if not data.isascii():
        data = data.translate(_LINE_ENDS)
    return f"event: {event['type']}\ndata: {data}\n\n".encode(errors="replace")


def item_event(kind: str, item: Item, index: int, **fields: Any) -> Event:
    """Return an event of an item that was added before."""
    return {"type": f"response.{kind}", "item_id": item["id"], "output_index": index, **fields}


def added(item: Item, index: int) -> Event:
    """response.output_item.added."""
    return {"type": "response.output_item.added", "output_index": index, "item": dict(item)}


def done(item: Item, index: int) -> Event:
    """response.output_item.done."""
    return {"type": "response.output_item.done", "output_index": index, "item": dict(item)}


def error_event(error: ApiError) -> Event:
    """Return an error in both shapes at once: flat as in OpenAI's types, and nested as its servers send it and its client expects it."""
    fields = {"message": error.message, "param": error.param, "code": error.code}
    return {"type": "error", **fields, "error": {"type": error.type, **fields}}


def response_error(error: ApiError) -> dict[str, str]:
    """Return the `error` of a failed response, whose codes are a closed list."""
    code = {429: "rate_limit_exceeded", 400: "invalid_prompt", 413: "invalid_prompt", 422: "invalid_prompt"}.get(
        error.status, "server_error"
    )
    return {"code": code, "message": error.message}


def text_part(text: str, logprobs: Logprobs = ()) -> OpenAIObject:
    """Return the content of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(logprobs)}


def reasoning_part(text: str) -> OpenAIObject:
    """Return the content of a reasoning item."""
    return {"type": "reasoning_text", "text": text}


def message_item(item_id: str, status: str, text: str | None = None, phase: str | None = None, logprobs: Logprobs = ()) -> Item:
    """Return an assistant's message. phase: commentary, final_answer, or None when it is not known."""
    item = {
        "id": item_id,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [] if text is None else [text_part(text, logprobs)],
    }
    return item | ({"phase": phase} if phase else {})


def reasoning_item(item_id: str, status: str, text: str | None = None) -> Item:
    """Return the full reasoning; there are no summaries."""
    content = [] if text is None else [reasoning_part(text)]
    return {"id": item_id, "type": "reasoning", "status": status, "summary": [], "content": content, "encrypted_content": None}


def function_call_item(item_id: str, call_id: str, name: str, arguments: str, status: str) -> Item:
    """Return a call that the caller executes."""
    return {"id": item_id, "type": "function_call", "status": status, "call_id": call_id, "name": name, "arguments": arguments}


def list_tools_item(item_id: str, label: str, tools: Sequence[OpenAIObjectView]) -> Item:
    """Return the list of a server's tools that the model sees."""
    return {"id": item_id, "type": "mcp_list_tools", "server_label": label, "tools": list(tools), "error": None}


def listed_tool(tool: ToolSpec) -> OpenAIObject:
    """Return a tool of such a list, with the server's own name and schema."""
    return {
        "name": tool.name,
        "description": tool.description or None,
        "input_schema": dict(tool.input_schema),
        "annotations": {"read_only": tool.read_only is True},
    }


def mcp_call_item(item_id: str, label: str, name: str, arguments: str) -> Item:
    """Return a call that has begun."""
    return {
        "id": item_id,
        "type": "mcp_call",
        "server_label": label,
        "name": name,
        "arguments": arguments,
        "status": "in_progress",
        "output": None,
        "error": None,
        "approval_request_id": None,
    }


def with_outcome(item: Item, outcome: ToolOutcome) -> Item:
    """Return the call with its outcome."""
    if outcome.failure is not None:
        return item | {"status": "failed", "output": None, "error": outcome.failure.to_json()}
    return item | {"status": "completed", "output": outcome.output or "", "error": None}


def approval_request_item(item_id: str, label: str, name: str, arguments: str) -> Item:
    """Return a request to approve a call."""
    return {"id": item_id, "type": "mcp_approval_request", "server_label": label, "name": name, "arguments": arguments}
