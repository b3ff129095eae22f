"""The verdict of a plan on a resource, and the acceptance checks: an ordered chain of functions, of which the first refusal counts."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from junctor.api.conditions import Finding, Reason
from junctor.api.configuration import GatewaySpec
from junctor.api.connector import effective_id
from junctor.api.endpoint import TLS
from junctor.api.registry import effective_registry_id
from junctor.api.resources import RegistryResource, Resource
from junctor.api.sync_report import SyncReport
from junctor.connectormap.entry import Entry
from junctor.connectormap.ids import entry_id_of_registry, is_connector_id, is_registry_id, is_reserved_id, registry_id_of_entry
from junctor.net.addresses import literal_address
from junctor.net.network_policy import never_allowed
from junctor.net.public_suffixes import covered_suffix
from junctor.net.tls import BadCABundle, new_ssl_context
from junctor.planning.secret_hosts import MOST_STARS

#: Characters. To compile as many takes a third of a second.
_MOST_GLOB_TEXT: Final = 64 * 1024

ACCEPTED: Final = Finding("True", Reason.ACCEPTED, "the resource is valid")
RESOLVED: Final = Finding("True", Reason.RESOLVED_REFS, "all references are resolved")


Check = Callable[[Resource, GatewaySpec], Finding | None]


def refused(reason: Reason, message: str) -> Finding:
    """A finding against the resource."""
    return Finding("False", reason, message)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one gateway's plan says about one resource.

    id: of its entry. entry: what the map should contain for it, or None. is_available: whether callers can use it. credentials: every
    `<refhash>.<version>` that its entries name. sync: report on the syncs of a registry, None before the first one. servers: the entries
    of a registry's servers, by id, None while nothing is known of them.
    """

    resource: Resource
    id: str
    accepted: Finding
    resolved: Finding
    entry: Entry | None = None
    is_disabled: bool = False
    is_available: bool = True
    credentials: tuple[str, ...] = ()
    sync: SyncReport | None = None
    servers: Mapping[str, Entry] | None = field(default=None, repr=False, compare=False)

    def without_entry(self, reason: Reason, message: str) -> "Verdict":
        """Refuse the resource although it owns its id."""
        return Verdict(self.resource, self.id, refused(reason, message), self.resolved)


def id_on(resource: Resource, gateway: GatewaySpec) -> str:
    """The id of a resource's entry on a gateway: a connector's effective id, or `mcp::<registryID>`."""
    if isinstance(resource, RegistryResource):
        return entry_id_of_registry(effective_registry_id(resource.raw_spec, resource.name))
    return effective_id(dict(resource.raw_spec), resource.name, gateway.default_connector_id, resource.namespace)


def accept_schema(resource: Resource, _: GatewaySpec) -> Finding | None:
    """Refuse a stored spec that breaks the schema, because it is older than a rule or the API server did not have the CRD's rules."""
    return refused(Reason.INVALID, "; ".join(resource.problems[:5])) if resource.problems else None


def accept_fields(resource: Resource, _: GatewaySpec) -> Finding | None:
    """Refuse policy fields that this version does not know: ignoring one could grant more than intended."""
    if not resource.unsupported:
        return None
    names = ", ".join(resource.unsupported[:5])
    return refused(
        Reason.UNSUPPORTED_FIELD, f"this operator does not know {names} and cannot enforce it; upgrade the operator or remove it"
    )


def accept_ca_bundle(resource: Resource, _: GatewaySpec) -> Finding | None:
    """Refuse CA bundles that cannot be loaded, before a gateway pod tries to."""
    for place, tls in _tls_of(resource):
        problem = _certificate_problem(tls.ca_bundle)
        if problem:
            return refused(Reason.INVALID_CA_BUNDLE, f"{place}.caBundle: {problem}; set it to PEM certificates")
    return None


def _tls_of(resource: Resource) -> Iterator[tuple[str, TLS]]:
    if resource.spec is not None and resource.spec.tls is not None:
        yield "spec.tls", resource.spec.tls
    if isinstance(resource, RegistryResource) and resource.spec and (template := resource.spec.connector_template) and template.tls:
        yield "spec.connectorTemplate.tls", template.tls


@lru_cache(maxsize=1024)
def _certificate_problem(bundle: str) -> str:
    try:
        new_ssl_context(bundle)
    except BadCABundle as error:
        return f"cannot be read ({error.reason})"
    return ""


def accept_address(resource: Resource, _: GatewaySpec) -> Finding | None:
    """Refuse a URL whose host is an address that no gateway and no operator connects to. Those behind names are checked at each connect."""
    literal = literal_address(urlsplit(resource.spec.url).hostname or "") if resource.spec is not None and resource.spec.url else None
    reason = never_allowed(literal) if literal is not None else ""
    return refused(Reason.ADDRESS_NOT_ALLOWED, f"spec.url: its address {reason}; change it") if reason else None


def accept_hosts(resource: Resource, _: GatewaySpec) -> Finding | None:
    """Refuse hosts of credentials that cover a public suffix, or are long to compare. The API server does not know the list of suffixes."""
    if not isinstance(resource, RegistryResource) or resource.spec is None:
        return None
    for number, credentials in enumerate(resource.spec.credentials or ()):
        for host in credentials.hosts:
            if host.count("*") > MOST_STARS:
                return refused(
                    Reason.INVALID, f"spec.credentials[{number}].hosts: {host!r} has more than {MOST_STARS} wildcards; name the hosts"
                )
            if suffix := covered_suffix(host):
                message = f"{host!r} covers hosts of strangers, because anybody may have one below {suffix}; name the hosts"
                return refused(Reason.PUBLIC_SUFFIX, f"spec.credentials[{number}].hosts: {message}")
    return None


def accept_globs(resource: Resource, _: GatewaySpec) -> Finding | None:
    """Refuse more globs of server names than are compiled in a moment. The API server bounds each list, but not all of them together."""
    if not has_too_many_globs(resource):
        return None
    message = f"spec.filter and spec.credentials have more than {_MOST_GLOB_TEXT // 1024} KiB of server names"
    return refused(Reason.INVALID, f"{message}; use patterns that match more names, or a second MCPRegistry")


def has_too_many_globs(resource: Resource) -> bool:
    """Whether to compile the globs of a registry takes so long that it is not read."""
    if not isinstance(resource, RegistryResource) or resource.spec is None:
        return False
    spec = resource.spec
    lists = [entry.servers for entry in spec.credentials or ()]
    if spec.filter is not None:
        lists += [spec.filter.include or (), spec.filter.exclude or ()]
    return sum(len(glob) for globs in lists for glob in globs) > _MOST_GLOB_TEXT


def accept_id(resource: Resource, gateway: GatewaySpec) -> Finding | None:
    """Refuse an invalid effective id: a template can make one that is too long or reserved."""
    connector_id = id_on(resource, gateway)
    if isinstance(resource, RegistryResource):
        if is_registry_id(registry_id_of_entry(connector_id)):
            return None
        rule = "1 to 63 lower-case letters, digits, '.' and '-'; set spec.registryID"
        return refused(Reason.INVALID_ID, f"the registry id {resource.name[:200]!r} is not valid: {rule}")
    if is_reserved_id(connector_id) or not is_connector_id(connector_id):
        return refused(
            Reason.INVALID_ID,
            f"the id {connector_id[:200]!r} is not valid: 1 to 128 letters, digits, '.', '_' and '-'; set spec.connectorID",
        )
    return None


def accept_id_policy(resource: Resource, gateway: GatewaySpec) -> Finding | None:
    """Refuse an id that the gateway's idPolicies reserve for other namespaces."""
    if not gateway.id_policies:
        return None
    connector_id = id_on(resource, gateway)
    for policy in gateway.id_policies:
        if policy.reserves(connector_id) and resource.namespace not in policy.namespaces:
            namespaces = ", ".join(policy.namespaces) or "nobody"
            return refused(
                Reason.ID_NOT_PERMITTED,
                f"ids like {policy.pattern!r} are reserved for {namespaces}; recreate the resource with an id other than {connector_id!r}",
            )
    return None


CHECKS: tuple[Check, ...] = (
    accept_schema,
    accept_fields,
    accept_address,
    accept_hosts,
    accept_globs,
    accept_ca_bundle,
    accept_id,
    accept_id_policy,
)


def judge(resource: Resource, gateway: GatewaySpec) -> Finding | None:
    """Run the chain. Returns the first refusal, or None."""
    for check in CHECKS:
        finding = check(resource, gateway)
        if finding is not None:
            return finding
    return None
