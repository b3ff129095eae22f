"""The rules of an MCPRegistry, ready to be applied to records: what is published, and which servers get which credentials."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

from junctor.api.credentials import Credentials, Variable
from junctor.api.endpoint import Header
from junctor.api.registry import Filter, MCPRegistrySpec
from junctor.connectormap.credentials import reference_hash
from junctor.connectormap.digests import canonical_json, sha256
from junctor.connectormap.ids import discovered_id
from junctor.net.globs import Globs
from junctor.registry.templates import Parts, Secret

#: Part of the digest. Raise it when the same record becomes a different entry, so that every record is mapped again.
MAPPING_VERSION: Final = 1
DEFAULT_MAX_CONNECTORS: Final = 100_000

#: The map's name of each supported transport by the registry's name, the preferred one first.
TRANSPORTS: Final = {"streamable-http": "StreamableHTTP", "sse": "SSE"}


class RulesDigest(NamedTuple):
    """Identifies the rules that published entries were made by. As text it is the `filterDigest` of the map's head.

    registry: digest of the registry's address. rules: digest of everything that decides which servers are published and how; "" when
    the entries were made under more than one set of rules, so that a full sync is due.
    """

    registry: str
    rules: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form."""
        registry, _, rules = text.partition("-")
        return cls(registry, rules)

    def __str__(self) -> str:
        return f"{self.registry}-{self.rules}"

    def without_rules(self) -> Self:
        """The digest of entries of this registry that were made under more than one set of rules."""
        return self._replace(rules="")


@dataclass(frozen=True, slots=True)
class CredentialRule:
    """One entry of spec.credentials: what the owner sends to which servers, at which hosts.

    host_globs: as the spec writes them. headers: name and value, by lower-case name.
    """

    servers: Globs
    hosts: Globs
    host_globs: tuple[str, ...]
    headers: Mapping[str, tuple[str, Parts]]
    bearer: Secret | None
    variables: Mapping[str, Parts]

    @property
    def references(self) -> frozenset[str]:
        """The references of all secrets that this rule sends."""
        values = [*(parts for _, parts in self.headers.values()), *self.variables.values(), (self.bearer,)]
        return frozenset(part.reference for parts in values for part in parts if isinstance(part, Secret))

    @classmethod
    def of(cls, entry: Credentials, namespace: str) -> Self:
        """Build the rule of a valid entry. namespace: where its Secrets are."""

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


@dataclass(frozen=True, slots=True)
class MappingRules:
    """The part of an MCPRegistry that decides which servers are published and how."""

    registry_id: str
    digest: RulesDigest
    filter: Filter = field(repr=False)
    allow_insecure: bool = False
    allow_private: bool = False
    callers_authorize: bool = False
    include: Globs | None = field(default=None, repr=False)
    exclude: Globs = field(default_factory=lambda: Globs(()), repr=False)
    credential_rules: tuple[CredentialRule, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, spec: MCPRegistrySpec, registry_id: str, namespace: str) -> Self:
        """Build the rules of a valid spec. namespace: where its Secrets are."""
        chosen = spec.filter or Filter()
        template = spec.connector_template
        callers_authorize = template is not None and template.caller_authorization == "Require"
        decisive = {
            "version": MAPPING_VERSION,
            "id": registry_id,
            "namespace": namespace,
            "url": spec.url,
            "filter": chosen.to_json(),
            "insecure": bool(spec.allow_insecure_urls),
            "private": bool(spec.allow_private_addresses),
            "callers": callers_authorize,
            "credentials": [entry.to_json() for entry in spec.credentials or ()],
        }
        return cls(
            registry_id,
            RulesDigest(sha256(canonical_json(spec.url))[:23], sha256(canonical_json(decisive))),
            chosen,
            bool(spec.allow_insecure_urls),
            bool(spec.allow_private_addresses),
            callers_authorize,
            Globs(chosen.include) if chosen.include is not None else None,
            Globs(chosen.exclude or ()),
            tuple(CredentialRule.of(entry, namespace) for entry in spec.credentials or ()),
        )

    @property
    def max_connectors(self) -> int:
        """The largest number of servers to publish."""
        return self.filter.max_connectors or DEFAULT_MAX_CONNECTORS

    def id_of(self, name: str) -> str:
        """The connector id of a server."""
        return discovered_id(self.registry_id, name)

    def selects_name(self, name: str) -> bool:
        """Whether the owner's filter selects servers of this name."""
        if (self.include is not None and not self.include.matches(name)) or self.exclude.matches(name):
            return False
        # Registries search other fields as well, or ignore the search parameter.
        return (self.filter.search or "").lower() in name.lower()

    def selects_status(self, status: str) -> bool:
        """Whether the owner's filter selects servers with this status in the registry."""
        return status in (self.filter.statuses or ("active", "deprecated"))

    @property
    def transports(self) -> Mapping[str, str]:
        """The transports that the owner allows, the preferred one first: the map's name by the registry's name."""
        wanted = self.filter.transports
        return {kind: named for kind, named in TRANSPORTS.items() if not wanted or kind in wanted}
