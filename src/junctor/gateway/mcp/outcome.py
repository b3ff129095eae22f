"""Converts the result of a call, or the reason why it failed, into what an mcp_call item shows and what the model reads.

SessionFailed           a request failed; `failure` as an mcp_call item reports it
+-- SessionLost         it was certainly not executed, because the server does not know the session; a new session may work
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final

import mcp_types as types
from mcp import MCPError
from pydantic import BeforeValidator, TypeAdapter

from junctor.gateway.mcp.exchange import Exchange
from junctor.gateway.tools.ports import ToolFailure, ToolOutcome
from junctor.net.formats import MCPObject
from junctor.net.printable import printable

_MAX_MESSAGE: Final = 2000
#: Each part of a result costs much more than its bytes.
_MAX_PARTS: Final = 1000
CLOSED: Final = ToolFailure("http", "the connection to the server was closed", 502)


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
    """Return a server's text on one printable line, cut to the length of a message."""
    return printable(" ".join(_cut(str(text), _MAX_MESSAGE).split()))


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


class SessionFailed(Exception):
    """A request to a server failed."""

    def __init__(self, failure: ToolFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class SessionLost(SessionFailed):
    """The server refused the request because it does not know the session."""


def failure_of(exchange: Exchange, error: MCPError | None) -> ToolFailure:
    """Return the failure of a request. error: what the SDK raised, None when the request was aborted."""
    if exchange.problem is not None:
        code, message = exchange.problem
        return ToolFailure("http", message, code)
    status = exchange.status
    reason = f": {shorten(error.message)}" if error is not None and exchange.json_rpc else ""
    if 300 <= status < 400:
        return ToolFailure("http", "the server redirects to another place, where requests are not sent", 502)
    if status >= 400 and (not exchange.json_rpc or status in (401, 403, 429) or status >= 500):
        return ToolFailure("http", f"the server answered HTTP {status}{reason}", status)
    if error is None:
        return CLOSED
    if error.code == types.REQUEST_TIMEOUT and error.message.startswith("Request ") and error.message.endswith("timed out"):
        return ToolFailure("http", "the server did not answer in time", 504)
    if error.code == types.CONNECTION_CLOSED and error.message.startswith(("Connection closed", "SSE stream")):
        return ToolFailure("http", "the server broke the connection before its answer was complete", 502)
    if error.code == types.PARSE_ERROR and error.message.startswith("Failed to parse"):
        return ToolFailure("protocol", "the server's answer is not valid JSON-RPC", types.PARSE_ERROR)
    return ToolFailure("protocol", shorten(error.message), error.code)


def connect_failure(exchange: Exchange, error: BaseException | None, *, timed_out: bool, seconds: float) -> ToolFailure:
    """Return the failure to open a session.

    Args:
        exchange: what the HTTP layer recorded.
        error: what the SDK raised, perhaps a group.
        timed_out: whether the deadline ended the attempt.
        seconds: the deadline.
    """
    unexplained = exchange.problem is None and exchange.status < 300
    if unexplained and timed_out:
        return ToolFailure("http", f"the server did not open a session within {seconds:g} s", 504)
    leaves = _leaves(error)
    mcp_error = next((leaf for leaf in leaves if isinstance(leaf, MCPError)), None)
    if mcp_error is None and unexplained:
        if any(isinstance(leaf, TimeoutError) for leaf in leaves):
            return ToolFailure("http", "the server did not open a session in time", 504)
        return ToolFailure("http", "the server does not speak MCP as this gateway does", 502)
    return failure_of(exchange, mcp_error)


def _leaves(error: BaseException | None) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [] if error is None else [error]


def _check_parts(result: object) -> object:
    content = result.get("content") if isinstance(result, dict) else None
    if isinstance(content, list) and len(content) > _MAX_PARTS:
        raise SessionFailed(ToolFailure("http", f"the result has more than {_MAX_PARTS} parts", 502))
    return result


#: Reads the result of a call. Raises SessionFailed for one with too many parts, and ValidationError.
CALL_RESULT: Final[TypeAdapter[types.CallToolResult | types.InputRequiredResult]] = TypeAdapter(
    Annotated[types.CallToolResult | types.InputRequiredResult, BeforeValidator(_check_parts)]
)
