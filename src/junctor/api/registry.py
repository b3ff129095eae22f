"""MCPRegistry: a registry that speaks the MCP Registry API; each of its servers becomes a connector `mcp::<registryID>::<server name>`.

The models are the source of the CRD, as in `api.connector`: fields have no schema defaults, and each description says what an absent
field means.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from junctor.api.access import Access
from junctor.api.base import WHOLE, ApiModel, Flag, Rule, cel_string, without_duplicates
from junctor.api.credentials import Credentials, NameGlobs
from junctor.api.endpoint import HEADER_RULES, TLS, Auth, Headers, PlacedSecretRef, secret_refs, url_rules
from junctor.api.policy import (
    CALLER_AUTHORIZATION,
    CALLER_HEADER_RULES,
    Approval,
    CallerAuthorization,
    CallerHeaders,
    Limits,
    ShowPath,
    Tools,
)
from junctor.connectormap.ids import MAX_REGISTRY_ID, REGISTRY_ID_PATTERN, is_registry_id
from junctor.net.formats import KubernetesObjectView

_REGISTRY_ID_PATTERN = f"^{REGISTRY_ID_PATTERN}$"


class Sync(ApiModel):
    """How often Junctor reads the registry, and with which timeouts."""

    interval_seconds: Annotated[
        int | None,
        Field(ge=10, le=86400, description="Time between two incremental syncs, which read only what changed. Absent: 300."),
        WHOLE,
    ] = None
    full_interval_seconds: Annotated[
        int | None,
        Field(ge=60, le=2592000, description="Time between two full syncs, which read the whole registry. Absent: 86400 (a day)."),
        WHOLE,
    ] = None
    timeout_seconds: Annotated[
        int | None, Field(ge=1, le=300, description="Time to wait for one page before retrying. Absent: 30."), WHOLE
    ] = None
    page_size: Annotated[int | None, Field(ge=1, le=100, description="Servers per page. Absent: 100."), WHOLE] = None


class Filter(ApiModel):
    """Which servers of the registry become connectors. A server must pass every field that is set."""

    include: Annotated[
        NameGlobs | None,
        Field(
            description="Only servers whose name matches one of these globs: `*` matches any text including slashes, `?` one character. "
            "Case-sensitive. Absent: all."
        ),
    ] = None
    exclude: Annotated[
        NameGlobs | None, Field(description="No server whose name matches one of these globs, even if include matches it.")
    ] = None
    search: Annotated[
        str | None,
        Field(min_length=1, max_length=256, description="Only servers whose name contains this text, ignoring case. Absent: all."),
    ] = None
    statuses: Annotated[
        tuple[Literal["active", "deprecated"], ...] | None,
        Field(
            max_length=2,
            json_schema_extra={"x-kubernetes-list-type": "set"},
            description="Only servers with one of these statuses in the registry. Absent: both. Deleted servers are always excluded.",
        ),
        AfterValidator(without_duplicates),
    ] = None
    transports: Annotated[
        tuple[Literal["streamable-http", "sse"], ...] | None,
        Field(
            max_length=2,
            json_schema_extra={"x-kubernetes-list-type": "set"},
            description="Only addresses with one of these transports. Absent: both; if a server has both, streamable-http is used.",
        ),
        AfterValidator(without_duplicates),
    ] = None
    max_connectors: Annotated[
        int | None,
        Field(
            ge=1,
            le=100000,
            description="Maximum number of servers that become connectors: the first ones ordered by name. Absent: 100000.",
        ),
        WHOLE,
    ] = None


class ConnectorTemplate(ApiModel):
    """Policy of every connector that is discovered in the registry, as in the spec of an MCPConnector."""

    tools: Annotated[Tools | None, Field(description=Tools.__doc__)] = None
    approval: Annotated[Approval | None, Field(description=Approval.__doc__)] = None
    limits: Annotated[Limits | None, Field(description=Limits.__doc__)] = None
    access: Annotated[Access | None, Field(description=Access.__doc__)] = None
    caller_authorization: Annotated[CallerAuthorization | None, Field(description=CALLER_AUTHORIZATION)] = None
    caller_headers: CallerHeaders | None = None
    show_path: ShowPath | None = None
    tls: Annotated[TLS | None, Field(description="How the gateway verifies the certificates of the discovered servers.")] = None

    rules: ClassVar = CALLER_HEADER_RULES


class MCPRegistrySpec(ApiModel):
    """The desired state: which registry, which of its servers, with which credentials and policy."""

    registry_id: Annotated[
        str | None,
        Field(
            alias="registryID",
            max_length=128,
            description="The part of the connector ids, `mcp::<registryID>::<server name>`, that stands for the registry. Absent: "
            "metadata.name. It cannot be changed later; create a second resource instead.",
        ),
    ] = None
    url: Annotated[
        str,
        Field(
            max_length=2048,
            description="Base address of the registry, http or https, with or without a final /v0.1; for example "
            "https://registry.example.com. Must not contain a user name, password, query or fragment.",
        ),
    ]
    headers: Annotated[Headers | None, Field(description="HTTP headers sent with every request to the registry itself.")] = None
    auth: Annotated[Auth | None, Field(description="How Junctor authenticates to the registry itself.")] = None
    tls: Annotated[TLS | None, Field(description="How Junctor verifies the certificate of the registry itself.")] = None
    sync: Annotated[Sync | None, Field(description=Sync.__doc__)] = None
    filter: Annotated[Filter | None, Field(description=Filter.__doc__)] = None
    allow_insecure_urls: Annotated[
        Flag | None,
        Field(alias="allowInsecureURLs", description="Whether servers with http addresses become connectors. Absent: false."),
    ] = None
    allow_private_addresses: Annotated[
        Flag | None,
        Field(
            description="Whether servers at loopback, link-local and private addresses become connectors. Set it only if you trust the "
            "publishers of the registry. Absent: false."
        ),
    ] = None
    connector_template: Annotated[ConnectorTemplate | None, Field(description=ConnectorTemplate.__doc__)] = None
    credentials: Annotated[
        tuple[Credentials, ...] | None,
        Field(
            max_length=64,
            # Atomic: the order decides.
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
            description="Credentials for the discovered servers. For each server the first matching entry is used.",
        ),
    ] = None
    state: Annotated[
        Literal["Enabled", "Disabled"] | None,
        Field(description="Disabled removes all its connectors from the gateways and keeps the resource. Absent: Enabled."),
    ] = None

    rules: ClassVar = (
        *url_rules("https://registry.example.com"),
        Rule(
            cel="!self.url.contains('?') && !self.url.contains('#')",
            message="spec.url is the base address of the registry; remove the query and the fragment",
            field="url",
            check=lambda self: "?" not in self.url and "#" not in self.url,
        ),
        Rule(
            cel=f"!has(self.registryID) || self.registryID.matches({cel_string(_REGISTRY_ID_PATTERN)})",
            message="registryID must be 1 to 63 lower-case letters, digits, '.' or '-', and begin and end with a letter or digit; "
            "for example internal",
            field="registryID",
            check=lambda self: self.registry_id is None or is_registry_id(self.registry_id),
        ),
        *HEADER_RULES,
        Rule(
            cel="!has(self.credentials) || !has(self.connectorTemplate) || !has(self.connectorTemplate.callerAuthorization)"
            " || self.connectorTemplate.callerAuthorization != 'Require' || !self.credentials.exists(entry, has(entry.auth))",
            message="auth in spec.credentials is never used when connectorTemplate.callerAuthorization is Require; remove one of them",
            field="credentials",
            check=lambda self: (
                self.connector_template is None
                or self.connector_template.caller_authorization != "Require"
                or all(entry.auth is None for entry in self.credentials or ())
            ),
        ),
    )

    def secret_refs(self) -> tuple[PlacedSecretRef, ...]:
        """Every Secret key that the spec references: those for the registry itself first, then those of the credentials in order."""
        placed = [*secret_refs(self.headers, self.auth)]
        for index, entry in enumerate(self.credentials or ()):
            placed += (PlacedSecretRef(f"credentials[{index}].{place}", ref) for place, ref in entry.secret_refs())
        return tuple(placed)


_EFFECTIVE_ID = "(has({0}.spec.registryID) ? {0}.spec.registryID : {0}.metadata.name)"

REGISTRY_ID_IMMUTABLE_MESSAGE = (
    "the registry id cannot be changed, set or removed later (absent means metadata.name), because applications use it; "
    "restore it, or create a second resource with the new id and delete this one"
)

#: Rules at the root of the resource; `check` takes the whole object as a mapping.
REGISTRY_RULES: tuple[Rule, ...] = (
    Rule(
        cel=f"{_EFFECTIVE_ID.format('self')} == {_EFFECTIVE_ID.format('oldSelf')}",
        message=REGISTRY_ID_IMMUTABLE_MESSAGE,
        field="spec.registryID",
    ),
    Rule(
        cel=f"has(self.spec.registryID) || self.metadata.name.size() <= {MAX_REGISTRY_ID}",
        message=f"metadata.name is too long for a registry id (at most {MAX_REGISTRY_ID} characters); "
        "set spec.registryID or shorten the name",
        field="spec.registryID",
        check=lambda body: (body.get("spec") or {}).get("registryID") is not None or len(body["metadata"]["name"]) <= MAX_REGISTRY_ID,
    ),
)


def effective_registry_id(spec: KubernetesObjectView, name: str) -> str:
    """The id under which a registry is known: spec.registryID, or metadata.name."""
    explicit = spec.get("registryID")
    return explicit if isinstance(explicit, str) else name
