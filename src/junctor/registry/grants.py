"""Entries of spec.credentials, ready to be applied to servers: which servers and hosts may get what."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from junctor.api.credentials import Credentials, Variable
from junctor.api.endpoint import Header
from junctor.connectormap.connector_map import reference_hash
from junctor.net.globs import Globs
from junctor.registry.templates import Parts, Secret


@dataclass(frozen=True, slots=True)
class Grant:
    """What the owner sends to some servers. host_globs: as in the spec. headers: name and value, by lower-case name."""

    servers: Globs
    hosts: Globs
    host_globs: tuple[str, ...]
    headers: Mapping[str, tuple[str, Parts]]
    bearer: Secret | None
    variables: Mapping[str, Parts]

    @property
    def references(self) -> frozenset[str]:
        """The secrets that it sends."""
        values = [*(parts for _, parts in self.headers.values()), *self.variables.values(), (self.bearer,)]
        return frozenset(part.reference for parts in values for part in parts if isinstance(part, Secret))

    @classmethod
    def of(cls, entry: Credentials, namespace: str) -> Self:
        """The grant of a valid entry. namespace: where its Secrets are."""

        def secret(name: str, key: str) -> Secret:
            return Secret(reference_hash(namespace, name, key))

        def value_of(source: Header | Variable) -> Parts:
            ref = source.value_from.secret_key_ref if source.value_from else None
            return (source.value or "",) if ref is None else (secret(ref.name, ref.key),)

        bearer = entry.auth.bearer.secret_key_ref if entry.auth and entry.auth.bearer else None
        return cls(
            Globs(entry.servers),
            Globs(entry.hosts, ignore_case=True),
            entry.hosts,
            {header.name.lower(): (header.name, value_of(header)) for header in entry.headers or ()},
            None if bearer is None else secret(bearer.name, bearer.key),
            {variable.name: value_of(variable) for variable in entry.variables or ()},
        )
