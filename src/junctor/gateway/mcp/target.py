"""Binds an entry, its credentials and what the caller brings into one value: where an MCP server is, and what is sent to it."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import quote

import httpx2

from junctor.connectormap import target as entry_target
from junctor.connectormap.errors import InvalidEntry
from junctor.connectormap.policy import DEFAULT_CALLER_AUTHORIZATION, Limits, Policy
from junctor.connectormap.target import DEFAULT_TRANSPORT, CredentialRef, Header
from junctor.connectormap.view import EntryView
from junctor.gateway.serving.connector import is_host_allowed
from junctor.gateway.tools.policy import policy_of_entry
from junctor.gateway.tools.server_errors import EntryUnusable, RequestRefused
from junctor.net.headers import carries_credential, header_key, is_callers_header, is_header_name, is_header_value
from junctor.net.urls import redacted_url

_TRANSPORTS: Final = ("Auto", "StreamableHTTP", "SSE")
#: The values of callerAuthorization with which callers may bring something of their own; others are not known here, or forbid it.
_TAKES_AUTHORIZATION: Final = (DEFAULT_CALLER_AUTHORIZATION, "Require")

#: Identities are compared within a process only; the random key keeps them from revealing a credential.
_IDENTITY_KEY: Final = secrets.token_bytes(32)


@dataclass(frozen=True, slots=True)
class Target:
    """One server as one principal addresses it.

    headers: sent with every request. ca_bundle: PEM, None for the system's authorities. namespace: on whose behalf it is called, which
    decides about its addresses; "" for nobody's. public_only: the server is connected to at addresses of the public Internet only.
    """

    name: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    transport: str = DEFAULT_TRANSPORT
    ca_bundle: str | None = field(default=None, repr=False)
    limits: Limits = field(default_factory=Limits)
    public_only: bool = False
    namespace: str = ""

    def __post_init__(self) -> None:
        try:
            url = httpx2.URL(self.url)
        except httpx2.InvalidURL:
            raise EntryUnusable(f"{self.name}: the URL is not valid") from None
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            raise EntryUnusable(f"{self.name}: the URL must be http or https, with a host and without user information")
        if self.transport not in _TRANSPORTS:
            raise EntryUnusable(f"{self.name}: transport {self.transport[:40]!r} is not known to this gateway")

    @property
    def identity(self) -> str:
        """A keyed hash of the headers, credentials included."""
        text = "\n".join(f"{name.lower()}:{value}" for name, value in sorted(self.headers.items()))
        return hmac.new(_IDENTITY_KEY, text.encode(errors="surrogateescape"), hashlib.sha256).hexdigest()


def target_of_entry(view: EntryView, credentials: Mapping[str, bytes], authorization: str | None, headers: Mapping[str, str]) -> Target:
    """Return the target of a connector.

    Args:
        view: the connector's entry.
        credentials: values by the keys that the entry names.
        authorization: the caller's token, None when it brings none.
        headers: the caller's.

    Raises:
        RequestRefused: the connector does not accept what the caller brings.
        EntryUnusable: the entry or a credential cannot be used.
    """
    name = f"connector {view.id}"
    policy = policy_of_entry(view)
    _check_authorization(policy.caller_authorization, authorization, name)
    try:
        entry = view.target
        may_send = is_host_allowed(view.id, entry, has_credentials=bool(view.credentials))
    except InvalidEntry as error:
        raise EntryUnusable(f"{name}: {error}") from error
    if not may_send:
        raise EntryUnusable(f"{name}: HostNotAllowed: its credentials may not go to the host of its URL; nothing was sent")
    own = {header.name.lower(): _value(header, credentials, name) for header in entry.headers}
    if authorization is None and entry.bearer is not None:
        own["authorization"] = f"Bearer {_credential(credentials, entry.bearer, name)}"
    sent = _caller_headers(headers, name, _CallerRules.of(policy, own, has_credential=bool(view.credentials))) | own
    if authorization is not None:
        sent["authorization"] = _bearer(authorization, name)
    namespace = view.origin.namespace if view.origin else ""
    return Target(name, _url(entry, credentials, name), sent, entry.transport, entry.ca_bundle, policy.limits, entry.public_only, namespace)


def target_of_params(url: str, authorization: str | None, headers: Mapping[str, str], limits: Limits | None = None) -> Target:
    """Return the target of a server that a request declares by URL.

    Args:
        url: of the server.
        authorization: the caller's token, None when it brings none.
        headers: the caller's.
        limits: None for the defaults.

    Raises:
        RequestRefused: a header or the token is not valid.
        EntryUnusable: the URL is not valid.
    """
    sent = _caller_headers(headers, "the MCP server", _CallerRules())
    if authorization is not None:
        sent["authorization"] = _bearer(authorization, "the MCP server")
    return Target("the MCP server of the request", url, sent, limits=limits or Limits())


def _check_authorization(rule: str, authorization: str | None, name: str) -> None:
    if authorization is None and rule == "Require":
        message = f"{name} needs the request's own authorization (callerAuthorization: Require); set `authorization`"
        raise RequestRefused(message, field="authorization", code="missing_required_parameter")
    if authorization is not None and rule not in _TAKES_AUTHORIZATION:
        message = f"{name} takes no authorization from requests (callerAuthorization: {rule}); remove `authorization`"
        raise RequestRefused(message, field="authorization")


@dataclass(frozen=True, slots=True)
class _CallerRules:
    """Which headers a server takes from callers.

    rule: callerAuthorization. named: the only ones that it takes, in lower case; None when the owner names none. own: those that the
    connector sets, as `header_key` gives them. has_credential: whether one of the connector's own credentials is sent.
    """

    rule: str = DEFAULT_CALLER_AUTHORIZATION
    named: frozenset[str] | None = None
    own: frozenset[str] = frozenset()
    has_credential: bool = False

    @classmethod
    def of(cls, policy: Policy, own: Iterable[str], *, has_credential: bool) -> Self:
        named = None if policy.caller_headers is None else frozenset(map(str.lower, policy.caller_headers))
        return cls(policy.caller_authorization, named, frozenset(map(header_key, own)), has_credential)

    def refusal(self, name: str) -> str:
        """Why a caller may not send this header, and what to do; "" when it may."""
        if name.lower() == "authorization":
            return "cannot be set here; use `authorization`"
        if not is_callers_header(name):
            return "is set by the gateway or the MCP protocol itself, or says who asks; remove it"
        if header_key(name) in self.own:
            return "is set by the connector; remove it"
        if self.rule not in _TAKES_AUTHORIZATION:
            return f"is a caller's, and the connector takes none (callerAuthorization: {self.rule}); remove it"
        if self.named is not None:
            return "" if name.lower() in self.named else "is not among the callerHeaders of the connector; remove it"
        if self.has_credential and carries_credential(name):
            return "carries a credential or names a user, and the connector has a credential of its own; remove it"
        return ""


def _caller_headers(headers: Mapping[str, str], name: str, rules: _CallerRules) -> dict[str, str]:
    sent: dict[str, str] = {}
    for header, value in headers.items():
        if not is_header_name(header) or not isinstance(value, str) or not is_header_value(value):
            raise RequestRefused(f"{name}: header {header[:64]!r} is not a valid name with a valid value", field="headers")
        if refusal := rules.refusal(header):
            raise RequestRefused(f"{name}: header {header[:64]!r} {refusal}", field="headers")
        sent[header.lower()] = value.strip()
    return sent


def _bearer(token: str, name: str) -> str:
    if not token or not is_header_value(token):
        raise RequestRefused(f"{name}: `authorization` must be a token on one line", field="authorization")
    return f"Bearer {token}"


def _url(entry: entry_target.Target, credentials: Mapping[str, bytes], name: str) -> str:
    """The URL with its credentials, each one part of its path or query."""
    if not entry.url_parts:
        return entry.url
    texts: list[str] = []
    for part in entry.url_parts:
        value = part if isinstance(part, str) else _credential(credentials, part, name)
        if not isinstance(part, str) and value in (".", ".."):
            raise EntryUnusable(f"{name}: a credential in its URL names another path; correct its Secret")
        texts.append(value if isinstance(part, str) else quote(value, safe=""))
    url = "".join(texts)
    if redacted_url(url, with_path=False) != redacted_url(entry.url, with_path=False):
        raise EntryUnusable(f"{name}: its URL has variables in its host")
    return url


def _value(header: Header, credentials: Mapping[str, bytes], name: str) -> str:
    return "".join(part if isinstance(part, str) else _credential(credentials, part, name) for part in header.parts)


def _credential(credentials: Mapping[str, bytes], credential: CredentialRef, name: str) -> str:
    value = credentials.get(credential.key)
    if value is None:
        raise EntryUnusable(f"{name}: its credential is not here yet; the operator publishes it anew")
    text = value.decode("latin-1").strip()
    if not text or not is_header_value(text):
        raise EntryUnusable(f"{name}: a credential is empty or holds more than one line; correct its Secret")
    return text
