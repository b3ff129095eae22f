"""The grammar of HTTP headers, and the names that nobody but the transport may set."""

import re
from typing import Final

#: One character of a field name (RFC 9110, section 5.6.2, `tchar`), as a character class for RE2 and Python.
HEADER_NAME_CHARACTER: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]"
#: A field value without line breaks: US-ASCII, which RFC 9110, section 5.5, recommends for new fields.
HEADER_VALUE_CHARACTER: Final = r"[\x20-\x7e\t]"

#: Headers of the connection and the message (RFC 9110, section 7.6.1): the HTTP client sets them.
CONNECTION_HEADERS: Final = frozenset(
    {"connection", "content-length", "content-type", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
#: Further headers that an MCP client sets itself (MCP transports, 2025-11-25).
MCP_HEADERS: Final = frozenset({"accept", "expect", "last-event-id", "mcp-protocol-version", "mcp-session-id"})
#: Headers that identify the sender or change how its requests are transported: no caller may choose them for a gateway.
SENDER_HEADERS: Final = frozenset({"accept-encoding", "cookie", "proxy-authorization", "proxy-connection"})

_NAME: Final = re.compile(f"{HEADER_NAME_CHARACTER}+")
_ASCII_VALUE: Final = re.compile(f"{HEADER_VALUE_CHARACTER}*")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def is_header_name(text: str, *, longest: int = 128) -> bool:
    """Whether `text` is a field name of at most `longest` characters."""
    return len(text) <= longest and _NAME.fullmatch(text) is not None


def is_header_value(text: str) -> bool:
    """Whether `text` can be sent as a field value: one line of Latin-1, as HTTP/1.1 transports it."""
    return _VALUE.fullmatch(text) is not None


def is_ascii_header_value(text: str) -> bool:
    """Whether `text` is a field value in printable US-ASCII."""
    return _ASCII_VALUE.fullmatch(text) is not None
