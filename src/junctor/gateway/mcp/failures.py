"""Explains why a request to a server failed, as an mcp_call item reports it.

SessionFailed           a request failed; `failure` as an mcp_call item reports it
+-- SessionLost         it was certainly not executed, because the server does not know the session; a new session may work
"""

from typing import Final

import mcp_types as types
from mcp import MCPError

from junctor.gateway.mcp.exchange import Exchange
from junctor.gateway.mcp.outcome import shorten
from junctor.gateway.tools.ports import ToolFailure

CLOSED: Final = ToolFailure("http", "the connection to the server was closed", 502)


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
