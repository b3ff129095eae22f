"""How to connect to an HTTP server: URL, headers, authentication and TLS, with their rules. Both kinds of resources use these."""

import re
from collections.abc import Iterator
from typing import Annotated, ClassVar, NamedTuple
from urllib.parse import urlsplit

from pydantic import Field

from junctor.api.base import ApiModel, Rule, cel_string
from junctor.net.headers import CONNECTION_HEADERS, HEADER_NAME_PATTERN, HEADER_VALUE_CHARACTER, MCP_HEADERS, is_ascii_header_value

#: Headers that the transport and the MCP protocol set themselves, in the order in which the CRD lists them.
RESERVED_HEADERS = tuple(sorted(CONNECTION_HEADERS | MCP_HEADERS))

#: Ranges of control characters and of those without a shape of their own, which turn the direction of writing or hide in a text. The
#: characters themselves, because RE2 has no \\u.
_INVISIBLE = "\\x7f-\xa0\xad\u061c\u180e\u200b-\u200f\u2028-\u202f\u205f-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff"
#: RFC 3986, limited to what RE2 and Python match alike. Userinfo passes here because a separate rule explains it.
_URL_PATTERN = (
    r"^[hH][tT][tT][pP][sS]?://([^/?#]*@)?"
    rf"(\[[0-9A-Fa-f:.]+\]|[^\x00-\x20{_INVISIBLE}\"#%/:<>?@\[\\\]^`{{|}}]+)"
    r"(:([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])?)?"
    rf"([/?#]([^\x00-\x20{_INVISIBLE}%]|%[0-9A-Fa-f]{{2}})*)?$"
)
_USERINFO_PATTERN = r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*@"
PRINTABLE_PATTERN = f"^{HEADER_VALUE_CHARACTER}*$"


def _is_http_url(value: str) -> bool:
    try:
        urlsplit(value)  # rejects malformed IPv6 addresses, which no pattern can
    except ValueError:
        return False
    return re.fullmatch(_URL_PATTERN, value) is not None


class SecretKeyRef(ApiModel):
    """A key of a Secret in the namespace of the resource. The Secret must carry the label `junctor.dev/credentials: "true"`."""

    name: Annotated[str, Field(min_length=1, max_length=253, description="Name of the Secret.")]
    key: Annotated[str, Field(min_length=1, max_length=253, description="Key in the Secret's data whose value is used.")]


class HeaderSource(ApiModel):
    """Where the value comes from."""

    secret_key_ref: Annotated[SecretKeyRef, Field(description=SecretKeyRef.__doc__)]


class Header(ApiModel):
    """An HTTP header that is sent with every request."""

    name: Annotated[str, Field(min_length=1, max_length=128, description="Header name; case-insensitive.")]
    value: Annotated[
        str | None,
        # The schema allows more than the rule does: the message of the rule says what to do, that of the schema does not.
        Field(max_length=8192, description="The value, at most 4096 characters. For secrets use valueFrom."),
    ] = None
    value_from: Annotated[HeaderSource | None, Field(description="Where to take the value from, instead of value.")] = None

    rules: ClassVar = (
        Rule(
            cel="has(self.value) != has(self.valueFrom)",
            message="a header needs exactly one of value and valueFrom; remove one of them or add the missing one",
            check=lambda self: (self.value is None) != (self.value_from is None),
        ),
        Rule(
            cel=f"self.name.matches({cel_string(HEADER_NAME_PATTERN)})",
            message="a header name may contain only letters, digits and !#$%&'*+-.^_`|~; for example X-Api-Key",
            field="name",
            check=lambda self: re.fullmatch(HEADER_NAME_PATTERN, self.name) is not None,
        ),
        Rule(
            cel=f"!(self.name.lowerAscii() in {list(RESERVED_HEADERS)!r})",
            message="this header is set by the gateway or the MCP protocol itself; remove it",
            field="name",
            check=lambda self: self.name.lower() not in RESERVED_HEADERS,
        ),
        Rule(
            cel="self.name.lowerAscii() != 'authorization' || !has(self.value)",
            message="do not write credentials into the resource; take Authorization from a Secret with valueFrom, or use auth.bearer",
            field="value",
            check=lambda self: self.name.lower() != "authorization" or self.value is None,
        ),
        Rule(
            cel=f"!has(self.value) || self.value.matches({cel_string(PRINTABLE_PATTERN)})",
            message="a header value may contain only printable ASCII characters; remove line breaks and other characters",
            field="value",
            check=lambda self: self.value is None or is_ascii_header_value(self.value),
        ),
        Rule(
            cel="!has(self.value) || self.value.size() <= 4096",
            message="a header value may have at most 4096 characters, because many servers refuse longer ones; shorten it",
            field="value",
            check=lambda self: self.value is None or len(self.value) <= 4096,
        ),
    )


#: Server-side apply merges headers by name.
Headers = Annotated[
    tuple[Header, ...],
    Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
]


class BearerAuth(ApiModel):
    """Sends `Authorization: Bearer <value of the Secret key>`."""

    secret_key_ref: Annotated[SecretKeyRef, Field(description=SecretKeyRef.__doc__)]


class Auth(ApiModel):
    """How the gateway authenticates to the server when the caller supplies no authorization of its own."""

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
            description="PEM certificates of the certificate authorities to trust instead of the public ones.",
        ),
    ]

    rules: ClassVar = (
        Rule(
            cel="self.caBundle.contains('-----BEGIN CERTIFICATE-----') && !self.caBundle.contains('PRIVATE KEY')",
            message="caBundle must contain PEM certificates (-----BEGIN CERTIFICATE-----) and no private key",
            field="caBundle",
            check=lambda self: "-----BEGIN CERTIFICATE-----" in self.ca_bundle and "PRIVATE KEY" not in self.ca_bundle,
        ),
    )


#: Rules of an object with `headers` and `auth`.
HEADER_RULES: tuple[Rule, ...] = (
    Rule(
        cel="!has(self.headers) || self.headers.all(a, self.headers.exists_one(b, a.name.lowerAscii() == b.name.lowerAscii()))",
        message="duplicate header (names are case-insensitive); remove one",
        field="headers",
        check=lambda self: len({h.name.lower() for h in self.headers or ()}) == len(self.headers or ()),
    ),
    Rule(
        cel="!has(self.auth) || !has(self.headers) || !self.headers.exists(h, h.name.lowerAscii() == 'authorization')",
        message="auth already sets the Authorization header; remove the header or auth",
        field="headers",
        check=lambda self: self.auth is None or not any(h.name.lower() == "authorization" for h in self.headers or ()),
    ),
)


def url_rules(example: str) -> tuple[Rule, ...]:
    """Rules of a spec with `url` and `tls`; messages propose `example` as an address."""
    return (
        Rule(
            cel=f"!has(self.url) || self.url.matches({cel_string(_URL_PATTERN)})",
            message=f"spec.url must be an absolute http or https address without spaces, for example {example}",
            field="url",
            check=lambda self: self.url is None or _is_http_url(self.url),
        ),
        Rule(
            cel=f"!has(self.url) || !self.url.matches({cel_string(_USERINFO_PATTERN)})",
            message="spec.url must not contain a user name or password; "
            "put the credential in a Secret and reference it from spec.auth or spec.headers",
            field="url",
            check=lambda self: self.url is None or re.match(_USERINFO_PATTERN, self.url) is None,
        ),
        Rule(
            cel="!has(self.tls) || !has(self.url) || self.url.lowerAscii().startsWith('https:')",
            message="tls has no effect on an http address; use https in spec.url or remove spec.tls",
            field="tls",
            check=lambda self: self.tls is None or self.url is None or self.url.lower().startswith("https:"),
        ),
    )


class PlacedSecretRef(NamedTuple):
    """A Secret key and the field below `spec` that references it, such as `headers[0]` or `credentials[0].auth.bearer`."""

    place: str
    ref: SecretKeyRef


def secret_refs(headers: Headers | None, auth: Auth | None) -> Iterator[PlacedSecretRef]:
    """Yield every Secret key that headers and auth reference."""
    for index, header in enumerate(headers or ()):
        if header.value_from:
            yield PlacedSecretRef(f"headers[{index}]", header.value_from.secret_key_ref)
    if auth and auth.bearer:
        yield PlacedSecretRef("auth.bearer", auth.bearer.secret_key_ref)
