"""Where an MCP server is and how it is addressed: an entry, its credentials and what the caller brings, made into one value."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import httpx2

from junctor.connectormap.view import EntryView
from junctor.gateway.serving.credential_hosts import is_host_allowed
from junctor.gateway.tools.server_errors import EntryUnusable, RequestRefused
from junctor.net.headers import CONNECTION_HEADERS, MCP_HEADERS, SENDER_HEADERS, is_header_name, is_header_value

Transport = Literal["Auto", "StreamableHTTP", "SSE"]

#: What no caller sets, besides the transport's and the protocol's own: where the request goes, and what identifies the gateway.
_RESERVED: Final = CONNECTION_HEADERS | MCP_HEADERS | SENDER_HEADERS
#: Identities are compared within a process only; without the key they say nothing about a credential.
_IDENTITY_KEY: Final = secrets.token_bytes(32)


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, calls and bytes, as an entry's `limits` gives them."""

    connect_timeout: float = 10.0
    call_timeout: float = 60.0
    max_concurrent_calls: int = 100
    max_result_bytes: int = 1048576


@dataclass(frozen=True, slots=True)
class Target:
    """One server as one principal addresses it.

    headers: sent with every request. ca_bundle: PEM, None for the system's authorities. public_only: it is connected to only at addresses
    of the public Internet.
    """

    name: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    transport: Transport = "Auto"
    ca_bundle: str | None = field(default=None, repr=False)
    limits: Limits = field(default_factory=Limits)
    public_only: bool = False

    def __post_init__(self) -> None:
        try:
            url = httpx2.URL(self.url)
        except httpx2.InvalidURL:
            raise EntryUnusable(f"{self.name}: the URL is none that can be called") from None
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            raise EntryUnusable(f"{self.name}: the URL must be http or https, with a host and without user information")
        if self.transport not in ("Auto", "StreamableHTTP", "SSE"):
            raise EntryUnusable(f"{self.name}: transport {str(self.transport)[:40]!r} is not known to this gateway")

    @property
    def identity(self) -> str:
        """Stands for the headers, credentials included; tells nothing about them."""
        text = "\n".join(f"{name.lower()}:{value}" for name, value in sorted(self.headers.items()))
        return hmac.new(_IDENTITY_KEY, text.encode(errors="surrogateescape"), hashlib.sha256).hexdigest()


def target_of_entry(
    content: Mapping[str, Any], credentials: Mapping[str, bytes], authorization: str | None, headers: Mapping[str, str]
) -> Target:
    """The target of a connector's entry. Raises RequestRefused, EntryUnusable."""
    name = f"connector {content['id']}"
    rule = content.get("callerAuthorization", "Allow")
    if authorization is None and rule == "Require":
        message = f"{name} needs the request's own authorization (callerAuthorization: Require); set `authorization`"
        raise RequestRefused(message, field="authorization", code="missing_required_parameter")
    if authorization is not None and rule not in ("Allow", "Require"):
        message = f"{name} takes no authorization from requests (callerAuthorization: {rule}); remove `authorization`"
        raise RequestRefused(message, field="authorization")
    view = EntryView(content)
    if not is_host_allowed(view.id, view.target, has_credentials=bool(view.credentials)):
        raise EntryUnusable(f"{name}: HostNotAllowed: its credentials may not go to the host of its URL; nothing was sent")
    own = {header["name"].lower(): _value(header, credentials, name) for header in content.get("headers", ())}
    if authorization is None and "auth" in content:
        own["authorization"] = f"Bearer {_credential(credentials, content['auth']['bearer']['credential'], name)}"
    sent = _caller_headers(headers, name, frozenset(own)) | own
    if authorization is not None:
        sent["authorization"] = _bearer(authorization, name)
    limits = content.get("limits", {})
    default = Limits()
    return Target(
        name,
        content["url"],
        sent,
        content.get("transport", "Auto"),
        (content.get("tls") or {}).get("caBundle"),
        Limits(
            float(limits.get("connectTimeoutSeconds", default.connect_timeout)),
            float(limits.get("callTimeoutSeconds", default.call_timeout)),
            int(limits.get("maxConcurrentCalls", default.max_concurrent_calls)),
            int(limits.get("maxResultBytes", default.max_result_bytes)),
        ),
        content.get("addresses", "any") != "any",
    )


def target_of_params(url: str, authorization: str | None, headers: Mapping[str, str], limits: Limits | None = None) -> Target:
    """The target of a server that a request declares. Raises RequestRefused, EntryUnusable."""
    sent = _caller_headers(headers, "the MCP server", frozenset())
    if authorization is not None:
        sent["authorization"] = _bearer(authorization, "the MCP server")
    return Target("the MCP server of the request", url, sent, limits=limits or Limits())


def _caller_headers(headers: Mapping[str, str], name: str, own: frozenset[str]) -> dict[str, str]:
    sent: dict[str, str] = {}
    for header, value in headers.items():
        shown, key = header[:64], header.lower()
        if not is_header_name(header) or not isinstance(value, str) or not is_header_value(value):
            raise RequestRefused(f"{name}: header {shown!r} is not a valid name with a valid value", field="headers")
        if key == "authorization":
            raise RequestRefused(f"{name}: header Authorization cannot be set here; use `authorization`", field="headers")
        if key in _RESERVED or key.startswith("mcp-"):
            raise RequestRefused(f"{name}: header {shown!r} is set by the gateway or the MCP protocol itself; remove it", field="headers")
        if key in own:
            raise RequestRefused(f"{name}: header {shown!r} is set by the connector; remove it", field="headers")
        sent[key] = value.strip()
    return sent


def _bearer(token: str, name: str) -> str:
    if not token or not is_header_value(token):
        raise RequestRefused(f"{name}: `authorization` must be a token on one line", field="authorization")
    return f"Bearer {token}"


def _value(header: Mapping[str, Any], credentials: Mapping[str, bytes], name: str) -> str:
    if "parts" in header:
        return "".join(part if isinstance(part, str) else _credential(credentials, part["credential"], name) for part in header["parts"])
    return _credential(credentials, header["credential"], name) if "credential" in header else str(header["value"])


def _credential(credentials: Mapping[str, bytes], key: str, name: str) -> str:
    value = credentials.get(key)
    if value is None:
        raise EntryUnusable(f"{name}: its credential is not here yet; the operator publishes it anew")
    text = value.decode("latin-1").strip()
    if not text or not is_header_value(text):
        raise EntryUnusable(f"{name}: a credential is empty or holds more than one line; correct its Secret")
    return text
