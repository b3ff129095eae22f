"""What is sent to the servers of a registry, and to which hosts: `credentials` of an MCPRegistry."""

import re
from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, StringConstraints

from junctor.api.base import ApiModel, Rule, cel_string, without_duplicates
from junctor.api.endpoint import HEADER_RULES, PRINTABLE_PATTERN, Auth, Headers, HeaderSource, PlacedSecretRef, secret_refs

_VARIABLE_NAME_PATTERN = r"^[^{}\x00-\x1f\x7f]+$"
_HOST_PATTERN = r"^[A-Za-z0-9._:*?-]+$"
#: No wildcard at all, or wildcards before two whole names. The last one is no number: "*.0.1" would be a glob of addresses.
_NARROW_HOST_PATTERN = r"^([^*?]*|.*\.[^*?.]+\.[^*?.]*[A-Za-z][^*?.]*)$"

_NameGlob = Annotated[str, StringConstraints(min_length=1, max_length=256)]
NameGlobs = Annotated[
    tuple[_NameGlob, ...],
    Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "set"}),
    AfterValidator(without_duplicates),
]
_HostGlob = Annotated[str, StringConstraints(min_length=1, max_length=253)]


class Variable(ApiModel):
    """The value of a variable that a server's registry entry asks for, in its URL or headers, such as `{tenant}`."""

    name: Annotated[str, Field(min_length=1, max_length=128, description="Name of the variable, without braces.")]
    value: Annotated[str | None, Field(max_length=4096, description="The value itself. For secrets use valueFrom.")] = None
    value_from: Annotated[HeaderSource | None, Field(description="Takes the value from a Secret.")] = None

    rules: ClassVar = (
        Rule(
            cel="has(self.value) != has(self.valueFrom)",
            message="a variable needs exactly one of value and valueFrom; remove one of them or add the missing one",
            check=lambda self: (self.value is None) != (self.value_from is None),
        ),
        Rule(
            cel=f"self.name.matches({cel_string(_VARIABLE_NAME_PATTERN)})",
            message="write the name of a variable without braces and control characters; for example tenant",
            field="name",
            check=lambda self: re.fullmatch(_VARIABLE_NAME_PATTERN, self.name) is not None,
        ),
        Rule(
            cel=f"!has(self.value) || self.value.matches({cel_string(PRINTABLE_PATTERN)})",
            message="the value of a variable may hold printable ASCII characters only; remove line breaks and other characters",
            field="value",
            check=lambda self: self.value is None or re.fullmatch(PRINTABLE_PATTERN[1:-1], self.value) is not None,
        ),
    )


class Credentials(ApiModel):
    """What is sent to some of the discovered servers, and the hosts that may ever see it.

    The first entry whose servers and hosts both match is used for a server. One that matches by name but by none of the hosts is
    left out (HostNotAllowed): who publishes a server chooses its host.
    """

    servers: Annotated[NameGlobs, Field(min_length=1, description="Names of servers, as globs like those of filter.include.")]
    hosts: Annotated[
        tuple[_HostGlob, ...],
        Field(
            min_length=1,
            max_length=64,
            json_schema_extra={"x-kubernetes-list-type": "set"},
            description="The hosts that may see it, without port, as globs: `mcp.example.com`, or `*.example.com` for all below it.",
        ),
        AfterValidator(without_duplicates),
    ]
    headers: Annotated[Headers | None, Field(max_length=8, description="HTTP headers sent with every request to these servers.")] = None
    auth: Annotated[Auth | None, Field(description="How the gateway authenticates to these servers.")] = None
    variables: Annotated[
        tuple[Variable, ...] | None,
        Field(
            max_length=16,
            description="Values of the variables that the servers' registry entries ask for.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
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
            message="a host is a name or an address without scheme, port, path and brackets; for example mcp.example.com",
            field="hosts",
            check=lambda self: all(re.fullmatch(_HOST_PATTERN, host) for host in self.hosts),
        ),
        Rule(
            cel=f"self.hosts.all(host, host.matches({cel_string(_NARROW_HOST_PATTERN)}))",
            message="a host with wildcards must end in two names without, such as *.example.com; others match hosts that anybody may own",
            field="hosts",
            check=lambda self: all(re.fullmatch(_NARROW_HOST_PATTERN, host) for host in self.hosts),
        ),
        *HEADER_RULES,
    )

    def secret_refs(self) -> Iterator[PlacedSecretRef]:
        """Every Secret key that the entry names."""
        yield from secret_refs(self.headers, self.auth)
        for index, variable in enumerate(self.variables or ()):
            if variable.value_from:
                yield PlacedSecretRef(f"variables[{index}]", variable.value_from.secret_key_ref)
