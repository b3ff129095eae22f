"""MCPConnector: one MCP server that applications may use by id.

The models are the source of the CRD (`make crds`): a field's description is what `kubectl explain` prints, a `Rule` is what
`kubectl apply` rejects. Fields have no schema defaults, so that GitOps tools see no drift: each description says what an absent field
means, and `planning.entries` applies it.
"""

import re
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from junctor.api.access import Access
from junctor.api.base import ApiModel, Rule, cel_string
from junctor.api.credentials import BY_NAME, Variables, variable_refs
from junctor.api.endpoint import HEADER_RULES, TLS, Auth, Headers, SecretKeyRef, secret_refs, url_rules
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
from junctor.connectormap.ids import CONNECTOR_ID_PATTERN, MAX_CONNECTOR_ID, REGISTRY_ID_PREFIX, is_connector_id, is_reserved_id
from junctor.net.formats import KubernetesObjectView

_ID_PATTERN = f"^{CONNECTOR_ID_PATTERN}$"


#: A variable in a URL, with its braces.
VARIABLE: Final = re.compile(r"[{][^{}]*[}]")


def _names(variables: Variables | None) -> set[str]:
    return {variable.name for variable in variables or ()}


class MCPConnectorSpec(ApiModel):
    """The desired state: one MCP server, its id, credentials and policy."""

    connector_id: Annotated[
        str | None,
        Field(
            alias="connectorID",
            max_length=MAX_CONNECTOR_ID,
            description="The id by which applications refer to this server. Absent: the gateway's template, normally metadata.name. "
            "It cannot be changed later; create a second resource instead.",
        ),
    ] = None
    url: Annotated[
        str | None,
        Field(
            max_length=2048,
            description="Address of the MCP server, http or https. Must not contain a user name or password. A key in its path or query is "
            "a variable, such as `{key}`, with its value in variables.",
        ),
    ] = None
    variables: Annotated[
        Variables | None,
        Field(
            max_length=8,  # the API server estimates what the rules about url may cost
            description="Values of the variables in url. Each is sent percent-encoded, as one part of the path or the query.",
            json_schema_extra=BY_NAME,
        ),
    ] = None
    transport: Annotated[
        Literal["Auto", "StreamableHTTP", "SSE"] | None,
        Field(description="MCP transport of the server. Auto tries StreamableHTTP, then SSE. Absent: Auto."),
    ] = None
    title: Annotated[str | None, Field(max_length=256, description="Human-readable name, shown in the catalog.")] = None
    description: Annotated[
        str | None, Field(max_length=4096, description="What the server is for. Shown in the catalog and passed to the model.")
    ] = None
    headers: Annotated[Headers | None, Field(description="HTTP headers sent with every request to the server.")] = None
    auth: Annotated[Auth | None, Field(description=Auth.__doc__)] = None
    caller_authorization: Annotated[CallerAuthorization | None, Field(description=CALLER_AUTHORIZATION)] = None
    caller_headers: CallerHeaders | None = None
    show_path: ShowPath | None = None
    tls: Annotated[TLS | None, Field(description=TLS.__doc__)] = None
    tools: Annotated[Tools | None, Field(description=Tools.__doc__)] = None
    approval: Annotated[Approval | None, Field(description=Approval.__doc__)] = None
    limits: Annotated[Limits | None, Field(description=Limits.__doc__)] = None
    access: Annotated[Access | None, Field(description=Access.__doc__)] = None
    state: Annotated[
        Literal["Enabled", "Disabled"] | None,
        Field(description="Disabled removes the connector from the gateways and keeps the resource. Absent: Enabled."),
    ] = None

    rules: ClassVar = (
        Rule(
            cel="has(self.url)",
            message="a connector needs a target; set spec.url to the address of the MCP server, for example https://mcp.example.com/mcp",
            field="url",
            check=lambda self: self.url is not None,
        ),
        *url_rules("https://mcp.example.com/mcp"),
        Rule(
            cel="!has(self.url) || self.url.findAll('[{][^{}]*[}]').all(place, has(self.variables)"
            " && self.variables.exists(variable, place == '{' + variable.name + '}'))",
            message="spec.url has a variable, such as {key}, without a value; add it to spec.variables",
            field="url",
            check=lambda self: {place[1:-1] for place in VARIABLE.findall(self.url or "")} <= _names(self.variables),
        ),
        Rule(
            cel="!has(self.variables) || self.variables.all(variable, has(self.url) && self.url.contains('{' + variable.name + '}'))",
            message="a variable is not in spec.url; write it there in braces, in the path or the query, or remove it",
            field="variables",
            check=lambda self: all("{" + name + "}" in (self.url or "") for name in _names(self.variables)),
        ),
        Rule(
            cel="!has(self.variables) || !self.variables.exists(variable, has(variable.value) && variable.value in ['', '.', '..'])",
            message="the value of a variable in spec.url must not be empty, '.' or '..', which name another path",
            field="variables",
            check=lambda self: not any(variable.value in ("", ".", "..") for variable in self.variables or ()),
        ),
        Rule(
            cel=f"!has(self.connectorID) || !self.connectorID.startsWith('{REGISTRY_ID_PREFIX}')",
            message=f"ids that begin with {REGISTRY_ID_PREFIX} belong to servers discovered in registries; choose another connectorID",
            field="connectorID",
            check=lambda self: self.connector_id is None or not is_reserved_id(self.connector_id),
        ),
        Rule(
            cel=f"!has(self.connectorID) || self.connectorID.startsWith('{REGISTRY_ID_PREFIX}')"
            f" || self.connectorID.matches({cel_string(_ID_PATTERN)})",
            message="connectorID must be 1 to 128 letters, digits, '.', '_' or '-'; for example connector_github",
            field="connectorID",
            check=lambda self: self.connector_id is None or is_reserved_id(self.connector_id) or is_connector_id(self.connector_id),
        ),
        *HEADER_RULES,
        *CALLER_HEADER_RULES,
        Rule(
            cel="!has(self.auth) || !has(self.callerAuthorization) || self.callerAuthorization != 'Require'",
            message="spec.auth is never used when callerAuthorization is Require; remove one of them",
            field="auth",
            check=lambda self: self.auth is None or self.caller_authorization != "Require",
        ),
    )

    def secret_refs(self) -> tuple[SecretKeyRef, ...]:
        """Every Secret key that this connector references, headers first."""
        return tuple(ref for _, ref in (*secret_refs(self.headers, self.auth), *variable_refs(self.variables)))


#: The effective id with the default template. At the root of a schema, CEL can read only the spec and the metadata of an object.
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
        cel=f"has(self.spec.connectorID) || self.metadata.name.size() <= {MAX_CONNECTOR_ID}",
        message=f"metadata.name is too long for an id (at most {MAX_CONNECTOR_ID} characters); set spec.connectorID or shorten the name",
        field="spec.connectorID",
        check=lambda body: (body.get("spec") or {}).get("connectorID") is not None or len(body["metadata"]["name"]) <= MAX_CONNECTOR_ID,
    ),
)


def effective_id(spec: KubernetesObjectView, name: str, template: str = "{name}", namespace: str = "") -> str:
    """The id under which a connector is known: spec.connectorID, or the gateway's template."""
    explicit = spec.get("connectorID")
    return explicit if isinstance(explicit, str) else template.replace("{name}", name).replace("{namespace}", namespace)
