"""The grammar of HTTP headers, and the names that nobody but the transport may set."""

import re
from typing import Final

#: A field name (RFC 9110, section 5.6.2), for RE2 and Python.
HEADER_NAME_PATTERN: Final = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
#: A field value without line breaks: US-ASCII, which RFC 9110, section 5.5, recommends for new fields.
HEADER_VALUE_CHARACTER: Final = r"[\x20-\x7e\t]"

#: Headers of the connection and the message (RFC 9110, section 7.6.1): the HTTP client sets them.
CONNECTION_HEADERS: Final = frozenset(
    {"connection", "content-length", "content-type", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
#: Further headers that an MCP client sets itself (MCP transports, 2025-11-25).
MCP_HEADERS: Final = frozenset({"accept", "expect", "last-event-id", "mcp-protocol-version", "mcp-session-id"})

#: Headers that no caller may choose for a gateway, by the words that their names begin with. They say who asks, from where and what for,
#: and servers believe them, because usually a proxy sets them; or they change how a message is transported.
_SENDER_WORDS: Final = (
    *("accept-encoding", "alt-used", "content", "cookie", "cookie2", "early-data", "http2-settings", "if", "max-forwards", "mcp", "proxy"),
    *("range", "sec", "via", "origin", "referer", "x-host", "x-middleware", "x-original", "x-rewrite", "x-http-method", "x-method"),
    *("forwarded", "x-forward", "x-forwarded", "x-real-ip", "true-client", "client-ip", "x-client-ip", "x-cluster-client", "x-originating"),
    *("cdn-loop", "cf", "fastly", "impersonate", "l5d", "remote", "tailscale", "wl-proxy", "x-azure", "x-consul", "x-envoy", "x-istio"),
    *("x-auth-request", "x-authenticated", "x-authentik", "x-pomerium", "x-remote", "x-spiffe", "x-userinfo", "x-vouch", "x-webauth"),
    *("x-amzn-mtls", "x-amzn-oidc", "x-appengine", "x-goog-authenticated", "x-goog-iap", "x-ms-client-principal", "x-ms-token"),
    *("client-cert", "client-verify", "ssl", "x-arr", "x-client-cert", "x-client-verify", "x-ssl", "x-tls"),
)
#: Anything but a letter or a digit separates words: CGI and WSGI give a program hyphens and underscores alike.
_BETWEEN: Final = "[^a-z0-9]"
#: Names in lower case that are never a caller's, for RE2 and Python: those that the transport and MCP set, `authorization`, which has a
#: field of its own, and all that begin with the words above.
NOT_A_CALLERS_HEADER: Final = (
    f"^({'|'.join(sorted(CONNECTION_HEADERS | MCP_HEADERS | {'authorization'}))}|({'|'.join(_SENDER_WORDS)})(-.*)?)$"
).replace("-", _BETWEEN)
#: Words in the names of headers that carry a credential or name a user, such as X-Api-Key, Private-Token and X-User-Email, and the vendors
#: whose headers do.
_CREDENTIAL: Final = re.compile(
    "token|secret|passw|credential|signature|bearer|jwt|assertion|^x-(amz|goog)-"
    "|(^|-)((x?api|x?access)?(?<!^idempotency-)keys?|x?auth|authorization|authentication|pat|otp)(-|$)"
    "|(^|-)(user(?!-agent$)|username|userid|email|principal|roles?|groups?)(-|$)"
)
_NOT_A_CALLERS: Final = re.compile(NOT_A_CALLERS_HEADER)
_NAME: Final = re.compile(HEADER_NAME_PATTERN)
_ASCII_VALUE: Final = re.compile(f"{HEADER_VALUE_CHARACTER}*")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def is_header_name(text: str, *, longest: int = 128) -> bool:
    """Whether `text` is a field name of at most `longest` characters."""
    return len(text) <= longest and _NAME.fullmatch(text) is not None


def is_callers_header(name: str) -> bool:
    """Whether a caller may choose this header: it says neither who asks nor how the message is transported."""
    return _NOT_A_CALLERS.match(name.lower()) is None


def carries_credential(name: str) -> bool:
    """Whether a header carries a credential or names a user, as far as its name tells."""
    return _CREDENTIAL.search(header_key(name)) is not None


def header_key(name: str) -> str:
    """What names have in common that a server may take for the same header."""
    return re.sub(_BETWEEN, "-", name.lower())


def is_header_value(text: str) -> bool:
    """Whether `text` can be sent as a field value: one line of Latin-1, as HTTP/1.1 transports it."""
    return _VALUE.fullmatch(text) is not None


def is_ascii_header_value(text: str) -> bool:
    """Whether `text` is a field value in printable US-ASCII."""
    return _ASCII_VALUE.fullmatch(text) is not None
