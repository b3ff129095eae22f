"""Credentials for the servers of a registry and the hosts that may receive them: `credentials` of an MCPRegistry."""

import re
from collections.abc import Iterator
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field, StringConstraints

from junctor.api.base import ApiModel, Rule, cel_string, without_duplicates
from junctor.api.endpoint import HEADER_RULES, PRINTABLE_PATTERN, Auth, Headers, HeaderSource, PlacedSecretRef, secret_refs
from junctor.net.formats import JSONSchema
from junctor.net.headers import is_ascii_header_value

_VARIABLE_NAME_PATTERN = r"^[^{}\x00-\x1f\x7f]+$"
_HOST_PATTERN = r"^[A-Za-z0-9._:*?-]+$"
#: Either no wildcard, or wildcards followed by two plain names. The last name is not a number: "*.0.1" would match IP addresses.
_NARROW_HOST_PATTERN = r"^([^*?]*|.*\.[^*?.]+\.[^*?.]*[A-Za-z][^*?.]*)$"

_NameGlob = Annotated[str, StringConstraints(min_length=1, max_length=256)]
NameGlobs = Annotated[
    tuple[_NameGlob, ...],
    Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "set"}),
    AfterValidator(without_duplicates),
]
_HostGlob = Annotated[str, StringConstraints(min_length=1, max_length=253)]


class Variable(ApiModel):
    """The value of a variable, such as `{tenant}`, in the URL or the headers of a server."""

    name: Annotated[str, Field(min_length=1, max_length=128, description="Name of the variable, without braces.")]
    value: Annotated[str | None, Field(max_length=4096, description="The value. For secrets use valueFrom.")] = None
    value_from: Annotated[HeaderSource | None, Field(description="Where to take the value from, instead of value.")] = None

    rules: ClassVar = (
        Rule(
            cel="has(self.value) != has(self.valueFrom)",
            message="a variable needs exactly one of value and valueFrom; remove one of them or add the missing one",
            check=lambda self: (self.value is None) != (self.value_from is None),
        ),
        Rule(
            cel=f"self.name.matches({cel_string(_VARIABLE_NAME_PATTERN)})",
            message="a variable name must not contain braces or control characters; for example tenant",
            field="name",
            check=lambda self: re.fullmatch(_VARIABLE_NAME_PATTERN, self.name) is not None,
        ),
        Rule(
            cel=f"!has(self.value) || self.value.matches({cel_string(PRINTABLE_PATTERN)})",
            message="a variable value may contain only printable ASCII characters; remove line breaks and other characters",
            field="value",
            check=lambda self: self.value is None or is_ascii_header_value(self.value),
        ),
    )


Variables = tuple[Variable, ...]
#: Server-side apply merges a list by name.
BY_NAME: Final[JSONSchema] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}


def variable_refs(variables: Variables | None) -> Iterator[PlacedSecretRef]:
    """Yield every Secret key that variables reference."""
    for index, variable in enumerate(variables or ()):
        if variable.value_from:
            yield PlacedSecretRef(f"variables[{index}]", variable.value_from.secret_key_ref)


class Credentials(ApiModel):
    """What the gateway sends to some of the discovered servers, and the hosts that may receive it.

    For each server the first entry whose servers and hosts both match is used. A server whose name matches but whose host does not is
    not published (HostNotAllowed), because whoever publishes a server chooses its host.
    """

    servers: Annotated[NameGlobs, Field(min_length=1, description="Server names as globs, with the syntax of filter.include.")]
    hosts: Annotated[
        tuple[_HostGlob, ...],
        Field(
            min_length=1,
            max_length=64,
            json_schema_extra={"x-kubernetes-list-type": "set"},
            description="The hosts that may receive the credentials, as globs without port: `mcp.example.com`, or `*.example.com` for "
            "every host below it.",
        ),
        AfterValidator(without_duplicates),
    ]
    headers: Annotated[Headers | None, Field(max_length=8, description="HTTP headers sent with every request to these servers.")] = None
    auth: Annotated[Auth | None, Field(description="How the gateway authenticates to these servers.")] = None
    variables: Annotated[
        Variables | None,
        Field(
            max_length=16,
            description="Values of the variables in the registry entries of these servers.",
            json_schema_extra=BY_NAME,
        ),
    ] = None

    rules: ClassVar = (
        Rule(
            cel="has(self.headers) || has(self.auth) || has(self.variables)",
            message="credentials need something to send; add headers, auth or variables, or remove the entry",
            check=lambda self: not (self.headers is None and self.auth is None and self.variables is None),
        ),
        Rule(
            cel=f"self.hosts.all(host, host.matches({cel_string(_HOST_PATTERN)}))",
            message="a host must be a name or an address without scheme, port, path or brackets; for example mcp.example.com",
            field="hosts",
            check=lambda self: all(re.fullmatch(_HOST_PATTERN, host) for host in self.hosts),
        ),
        Rule(
            cel=f"self.hosts.all(host, host.matches({cel_string(_NARROW_HOST_PATTERN)}))",
            message="a host with wildcards must end in two plain names, such as *.example.com; "
            "broader patterns match hosts that anybody can register",
            field="hosts",
            check=lambda self: all(re.fullmatch(_NARROW_HOST_PATTERN, host) for host in self.hosts),
        ),
        *HEADER_RULES,
    )

    def secret_refs(self) -> Iterator[PlacedSecretRef]:
        """Yield every Secret key that the entry references."""
        yield from secret_refs(self.headers, self.auth)
        yield from variable_refs(self.variables)
