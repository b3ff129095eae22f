"""MCPConnector: one MCP server that applications may use by id.

The models are the source of the CRD (`make crds`): a field's description is what `kubectl explain` prints, a `Rule` is what
`kubectl apply` refuses. Fields have no schema defaults, so that GitOps tools see no drift; what an absent field means stands in its
description and is applied in `planning.entries`.
"""

import re
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from junctor.api.base import WHOLE, ApiModel, Flag, Rule, without_duplicates

ToolName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
ToolNames = Annotated[
    tuple[ToolName, ...],
    Field(max_length=512, json_schema_extra={"x-kubernetes-list-type": "set"}),
    AfterValidator(without_duplicates),
]

#: Headers that the transport and the MCP protocol set themselves (RFC 9110 section 7.6.1; MCP transports, 2025-11-25).
RESERVED_HEADERS = (
    "accept", "connection", "content-length", "content-type", "expect", "host", "keep-alive", "last-event-id", "mcp-protocol-version",
    "mcp-session-id", "te", "trailer", "transfer-encoding", "upgrade",
)  # fmt: skip

_ID_PATTERN = r"^[A-Za-z0-9._-]{1,128}$"
_HEADER_NAME_PATTERN = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
#: RFC 3986, as far as RE2 and Python read it alike. Userinfo passes here, because a rule of its own says what to do about it.
_URL_PATTERN = (
    r"^[hH][tT][tT][pP][sS]?://([^/?#]*@)?"
    r"(\[[0-9A-Fa-f:.]+\]|[^\x00-\x20\x7f\"#%/:<>?@\[\\\]^`{|}]+)"
    r"(:([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])?)?"
    r"([/?#]([^\x00-\x20\x7f%]|%[0-9A-Fa-f]{2})*)?$"
)
_USERINFO_PATTERN = r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*@"
#: RFC 9110 section 5.5 limits new field values to US-ASCII.
_HEADER_VALUE_PATTERN = r"^[\x20-\x7e\t]*$"


def is_connector_id(value: str) -> bool:
    """Whether `value` may be the id of an MCPConnector: 1 to 128 letters, digits, dots, underscores and hyphens."""
    return re.fullmatch(_ID_PATTERN, value, re.ASCII) is not None


def _is_http_url(value: str) -> bool:
    try:
        urlsplit(value)  # refuses what no pattern can: an IPv6 address that is none
    except ValueError:
        return False
    return re.fullmatch(_URL_PATTERN, value) is not None


def _cel(pattern: str) -> str:
    """A regular expression as a CEL string literal."""
    return "'" + pattern.replace("\\", "\\\\").replace("'", "\\'") + "'"


class SecretKeyRef(ApiModel):
    """A key of a Secret in the connector's own namespace. The Secret must carry the label `junctor.dev/credentials: "true"`."""

    name: Annotated[str, Field(min_length=1, max_length=253, description="Name of the Secret.")]
    key: Annotated[str, Field(min_length=1, max_length=253, description="Key in the Secret's data whose value is used.")]


class HeaderSource(ApiModel):
    """Where a header's value comes from."""

    secret_key_ref: Annotated[SecretKeyRef, Field(description=SecretKeyRef.__doc__)]


class Header(ApiModel):
    """An HTTP header that the gateway sends with every request to the server."""

    name: Annotated[str, Field(min_length=1, max_length=128, description="Header name, without regard to case.")]
    value: Annotated[
        str | None,
        # The bound of the schema is wider than the rule, so that the rule speaks: its message says what to do.
        Field(max_length=16384, description="The value itself, at most 4096 characters. For secrets use valueFrom."),
    ] = None
    value_from: Annotated[HeaderSource | None, Field(description="Takes the value from a Secret.")] = None

    rules: ClassVar = (
        Rule(
            cel="has(self.value) != has(self.valueFrom)",
            message="a header needs exactly one of value and valueFrom; remove one of them or add the missing one",
            check=lambda self: (self.value is None) != (self.value_from is None),
        ),
        Rule(
            cel=f"self.name.matches({_cel(_HEADER_NAME_PATTERN)})",
            message="a header name may hold letters, digits and !#$%&'*+-.^_`|~ only; for example X-Api-Key",
            field="name",
            check=lambda self: re.fullmatch(_HEADER_NAME_PATTERN, self.name) is not None,
        ),
        Rule(
            cel=f"!(self.name.lowerAscii() in {list(RESERVED_HEADERS)!r})",
            message="this header is set by the gateway or the MCP protocol itself; remove it",
            field="name",
            check=lambda self: self.name.lower() not in RESERVED_HEADERS,
        ),
        Rule(
            cel="self.name.lowerAscii() != 'authorization' || !has(self.value)",
            message="do not write credentials into the resource; take Authorization from a Secret with valueFrom, or use spec.auth.bearer",
            field="value",
            check=lambda self: self.name.lower() != "authorization" or self.value is None,
        ),
        Rule(
            cel=f"!has(self.value) || self.value.matches({_cel(_HEADER_VALUE_PATTERN)})",
            message="a header value may hold printable ASCII characters only; remove line breaks and other characters",
            field="value",
            check=lambda self: self.value is None or re.fullmatch(_HEADER_VALUE_PATTERN[1:-1], self.value) is not None,
        ),
        Rule(
            cel="!has(self.value) || self.value.size() <= 4096",
            message="a header value may have at most 4096 characters, because many servers refuse longer ones; shorten it",
            field="value",
            check=lambda self: self.value is None or len(self.value) <= 4096,
        ),
    )


class BearerAuth(ApiModel):
    """Sends `Authorization: Bearer <value of the Secret key>`."""

    secret_key_ref: Annotated[SecretKeyRef, Field(description=SecretKeyRef.__doc__)]


class Auth(ApiModel):
    """How the gateway authenticates to the server when the caller brings no authorization of its own."""

    bearer: Annotated[BearerAuth | None, Field(description="A fixed bearer token from a Secret.")] = None

    rules: ClassVar = (
        Rule(
            cel="has(self.bearer)",
            message="auth needs a method; set auth.bearer.secretKeyRef or remove auth",
            check=lambda self: self.bearer is not None,
        ),
    )


class TLS(ApiModel):
    """How the gateway verifies the server's certificate."""

    ca_bundle: Annotated[
        str,
        Field(
            min_length=1,
            max_length=32768,
            description="PEM certificates of the authorities to trust for this server, instead of the gateway's own.",
        ),
    ]

    rules: ClassVar = (
        Rule(
            cel="self.caBundle.contains('-----BEGIN CERTIFICATE-----') && !self.caBundle.contains('PRIVATE KEY')",
            message="caBundle must hold PEM certificates (-----BEGIN CERTIFICATE-----) and no private key",
            field="caBundle",
            check=lambda self: "-----BEGIN CERTIFICATE-----" in self.ca_bundle and "PRIVATE KEY" not in self.ca_bundle,
        ),
    )


class Tools(ApiModel):
    """The tools that may be used, as a ceiling: a request may narrow it, never widen it."""

    allowed: Annotated[ToolNames | None, Field(description="Only these tools exist for callers. Absent: all tools.")] = None
    denied: Annotated[ToolNames | None, Field(description="These tools do not exist for callers, even when allowed names them.")] = None
    read_only: Annotated[Flag | None, Field(description="Only tools whose server declares readOnlyHint may be used. Absent: false.")] = None


class Approval(ApiModel):
    """When a human has to approve a tool call. The stricter of this and the request's require_approval wins."""

    mode: Annotated[
        Literal["AsRequested", "Always", "Never"] | None,
        Field(
            description="AsRequested: as the request says. Always: every call. Never: the platform asks for no approval; the request "
            "still may. Absent: AsRequested."
        ),
    ] = None
    always: Annotated[ToolNames | None, Field(description="These tools always need approval, whatever mode says.")] = None
    never: Annotated[ToolNames | None, Field(description="These tools need no approval by this policy, whatever mode says.")] = None

    rules: ClassVar = (
        Rule(
            cel="!has(self.always) || !has(self.never) || !self.always.exists(tool, tool in self.never)",
            message="a tool stands in both approval.always and approval.never; remove it from one of them",
            check=lambda self: not set(self.always or ()) & set(self.never or ()),
        ),
    )


class Limits(ApiModel):
    """Bounds on the use of the server, on each gateway pod."""

    connect_timeout_seconds: Annotated[int | None, Field(ge=1, le=60, description="Time to connect and initialize. Absent: 10."), WHOLE] = (
        None
    )
    call_timeout_seconds: Annotated[int | None, Field(ge=1, le=3600, description="Time for one tool call. Absent: 60."), WHOLE] = None
    max_concurrent_calls: Annotated[
        int | None, Field(ge=1, le=1000, description="Calls to this server at one time on one pod; further ones wait. Absent: 100."), WHOLE
    ] = None
    max_result_bytes: Annotated[
        int | None,
        Field(ge=1024, le=16777216, description="Size of one tool result; larger ones become an error. Absent: 1048576."),
        WHOLE,
    ] = None


class MCPConnectorSpec(ApiModel):
    """What is wanted: one MCP server, under which id, with which credentials and policy."""

    connector_id: Annotated[
        str | None,
        Field(
            alias="connectorID",
            max_length=128,
            description="The id by which applications name this server. Absent: the gateway's template, normally metadata.name. "
            "It cannot be changed later; create a second resource instead.",
        ),
    ] = None
    url: Annotated[
        str | None,
        Field(max_length=2048, description="Address of the MCP server, http or https, without user name and password."),
    ] = None
    transport: Annotated[
        Literal["Auto", "StreamableHTTP", "SSE"] | None,
        Field(description="MCP transport of the server. Auto tries StreamableHTTP, then SSE. Absent: Auto."),
    ] = None
    title: Annotated[str | None, Field(max_length=256, description="A name for people, shown in the catalog.")] = None
    description: Annotated[
        str | None, Field(max_length=4096, description="What the server is for. Shown in the catalog, and it reaches the model.")
    ] = None
    headers: Annotated[
        tuple[Header, ...] | None,
        Field(
            max_length=32,
            description="HTTP headers sent with every request to the server.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = None
    auth: Annotated[Auth | None, Field(description=Auth.__doc__)] = None
    caller_authorization: Annotated[
        Literal["Allow", "Require", "Forbid"] | None,
        Field(
            description="Whether a request may bring its own authorization for this server, which then replaces auth. Allow: it may. "
            "Require: it must. Forbid: such requests are refused. Absent: Allow."
        ),
    ] = None
    tls: Annotated[TLS | None, Field(description=TLS.__doc__)] = None
    tools: Annotated[Tools | None, Field(description=Tools.__doc__)] = None
    approval: Annotated[Approval | None, Field(description=Approval.__doc__)] = None
    limits: Annotated[Limits | None, Field(description=Limits.__doc__)] = None
    state: Annotated[
        Literal["Enabled", "Disabled"] | None,
        Field(description="Disabled takes the connector off the gateways and keeps the resource. Absent: Enabled."),
    ] = None

    rules: ClassVar = (
        Rule(
            cel="has(self.url)",
            message="a connector needs a target; set spec.url to the address of the MCP server, for example https://mcp.example.com/mcp",
            field="url",
            check=lambda self: self.url is not None,
        ),
        Rule(
            cel=f"!has(self.url) || self.url.matches({_cel(_URL_PATTERN)})",
            message="spec.url must be an absolute http or https address without spaces, for example https://mcp.example.com/mcp",
            field="url",
            check=lambda self: self.url is None or _is_http_url(self.url),
        ),
        Rule(
            cel=f"!has(self.url) || !self.url.matches({_cel(_USERINFO_PATTERN)})",
            message="spec.url must not hold a user name or password; "
            "put the credential into a Secret and name it in spec.auth or spec.headers",
            field="url",
            check=lambda self: self.url is None or re.match(_USERINFO_PATTERN, self.url) is None,
        ),
        Rule(
            cel="!has(self.connectorID) || !self.connectorID.startsWith('mcp::')",
            message="ids that begin with mcp:: belong to servers discovered in registries; choose another connectorID",
            field="connectorID",
            check=lambda self: self.connector_id is None or not self.connector_id.startswith("mcp::"),
        ),
        Rule(
            cel=f"!has(self.connectorID) || self.connectorID.startsWith('mcp::') || self.connectorID.matches({_cel(_ID_PATTERN)})",
            message="connectorID may hold letters, digits, '.', '_' and '-' only, 1 to 128 of them; for example connector_github",
            field="connectorID",
            check=lambda self: self.connector_id is None or self.connector_id.startswith("mcp::") or is_connector_id(self.connector_id),
        ),
        Rule(
            cel="!has(self.headers) || self.headers.all(a, self.headers.exists_one(b, a.name.lowerAscii() == b.name.lowerAscii()))",
            message="a header stands twice (names do not differ by case); remove one of them",
            field="headers",
            check=lambda self: len({h.name.lower() for h in self.headers or ()}) == len(self.headers or ()),
        ),
        Rule(
            cel="!has(self.auth) || !has(self.headers) || !self.headers.exists(h, h.name.lowerAscii() == 'authorization')",
            message="spec.auth already sets the Authorization header; remove the header or spec.auth",
            field="headers",
            check=lambda self: self.auth is None or not any(h.name.lower() == "authorization" for h in self.headers or ()),
        ),
        Rule(
            cel="!has(self.tls) || !has(self.url) || self.url.lowerAscii().startsWith('https:')",
            message="tls has no effect on an http address; use https in spec.url or remove spec.tls",
            field="tls",
            check=lambda self: self.tls is None or self.url is None or self.url.lower().startswith("https:"),
        ),
        Rule(
            cel="!has(self.auth) || !has(self.callerAuthorization) || self.callerAuthorization != 'Require'",
            message="spec.auth is never used when callerAuthorization is Require; remove one of them",
            field="auth",
            check=lambda self: self.auth is None or self.caller_authorization != "Require",
        ),
    )

    def secret_refs(self) -> tuple[SecretKeyRef, ...]:
        """Every Secret key that this connector names, headers first."""
        refs = [header.value_from.secret_key_ref for header in self.headers or () if header.value_from]
        if self.auth and self.auth.bearer:
            refs.append(self.auth.bearer.secret_key_ref)
        return tuple(refs)


#: The effective id with the default template. The metadata of an object is all that CEL at the root of a schema may read beside the spec.
_EFFECTIVE_ID = "(has({0}.spec.connectorID) ? {0}.spec.connectorID : {0}.metadata.name)"

ID_IMMUTABLE_MESSAGE = (
    "the connector id cannot be changed, set or removed later (absent means metadata.name); "
    "restore it, or create a second resource with the new id and delete this one"
)

#: Rules at the root of the resource; `check` takes the whole object as a mapping.
RESOURCE_RULES: tuple[Rule, ...] = (
    Rule(
        cel=f"{_EFFECTIVE_ID.format('self')} == {_EFFECTIVE_ID.format('oldSelf')}",
        message=ID_IMMUTABLE_MESSAGE,
        field="spec.connectorID",
    ),
    Rule(
        cel="has(self.spec.connectorID) || self.metadata.name.size() <= 128",
        message="metadata.name is longer than an id may be (128 characters); set spec.connectorID or shorten the name",
        field="spec.connectorID",
        check=lambda body: (body.get("spec") or {}).get("connectorID") is not None or len(body["metadata"]["name"]) <= 128,
    ),
)


def effective_id(spec: dict[str, Any], name: str, template: str = "{name}", namespace: str = "") -> str:
    """The id under which a connector is known: spec.connectorID, or the gateway's template."""
    explicit = spec.get("connectorID")
    return explicit if isinstance(explicit, str) else template.replace("{name}", name).replace("{namespace}", namespace)
