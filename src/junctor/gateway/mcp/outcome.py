"""Converts the result of a tool into what an mcp_call item shows and what the model reads."""

import json
from collections.abc import Sequence
from typing import Any, Final

import mcp_types as types

from junctor.gateway.tools.ports import ToolFailure, ToolOutcome
from junctor.net.formats import MCPObject

_MAX_MESSAGE: Final = 2000


def outcome_of(result: types.CallToolResult, limit: int) -> ToolOutcome:
    """Return the outcome of a call that the server answered. limit: bytes that the output may have."""
    content = [part.model_dump(by_alias=True, mode="json", exclude_none=True) for part in result.content]
    for_model = "\n".join(filter(None, map(_describe, content)))
    if result.is_error:
        if _size(_json(content)) > limit:
            content = [{"type": "text", "text": _cut(for_model, limit // 2)}]
        return failed_outcome(ToolFailure("execution", content=content), _cut(for_model, limit) or "The tool failed without saying why.")
    if content and all(part.get("type") == "text" for part in content):
        output = for_model = "\n".join(part["text"] for part in content)
    elif content:
        output = _json(content)
    elif result.structured_content is not None:
        output = for_model = _json(result.structured_content)
    else:
        output = for_model = "[]"
    if (size := max(_size(output), _size(for_model))) > limit:
        text = f"The result has {size} bytes, more than the {limit} that are allowed for this server; ask for less."
        return failed_outcome(ToolFailure("execution", content=[{"type": "text", "text": text}]), text)
    return ToolOutcome(output, None, for_model)


def failed_outcome(failure: ToolFailure, for_model: str = "") -> ToolOutcome:
    """Return the outcome of a failed call. for_model: what the model reads, by default the failure's message."""
    return ToolOutcome(None, failure, for_model or f"The tool call failed: {failure.message}")


def shorten(text: object) -> str:
    """Return a server's text on one line, cut to the length of a message."""
    return " ".join(_cut(str(text), _MAX_MESSAGE).split())


def _describe(part: MCPObject) -> str:
    match part.get("type"):
        case "text":
            return str(part.get("text", ""))
        case "image" | "audio" as kind:
            return f"[{kind} {part.get('mimeType', '')}, {len(part.get('data', '')) * 3 // 4} bytes]"
        case "resource_link":
            return f"[resource {part.get('uri', '')}: {part.get('title') or part.get('name') or part.get('description') or ''}]"
        case "resource":
            resource = part.get("resource", {})
            head = f"[resource {resource.get('uri', '')} {resource.get('mimeType', '')}]"
            return f"{head}\n{resource['text']}" if "text" in resource else head
        case other:
            return f"[{other}]"


def _json(value: MCPObject | Sequence[Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _size(text: str) -> int:
    return len(text.encode(errors="replace"))


def _cut(text: str, limit: int) -> str:
    return text if _size(text) <= limit else text.encode(errors="replace")[:limit].decode(errors="ignore") + " [cut]"
