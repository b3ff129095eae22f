"""Makes the entries of accepted resources. An entry contains every default, so that readers of the map need to know none."""

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

from junctor.api.access import Access
from junctor.api.conditions import Reason
from junctor.api.connector import VARIABLE, MCPConnectorSpec
from junctor.api.endpoint import TLS, SecretKeyRef
from junctor.api.registry import ConnectorTemplate
from junctor.api.resources import ConnectorResource, RegistryResource, Resource
from junctor.connectormap import policy as entry_policy
from junctor.connectormap.contents import ConnectorContent, RegistryContent
from junctor.connectormap.credentials import reference_hash
from junctor.connectormap.entry import Entry
from junctor.connectormap.ids import registry_id_of_entry
from junctor.connectormap.target import DEFAULT_TRANSPORT, CredentialRef, Header, Parts
from junctor.connectormap.view import Origin, RegistrySource

_DEFAULT_POLICY: Final = entry_policy.Policy()


Hosts = tuple[str, ...] | None


def entry_of(
    resource: ConnectorResource, connector_id: str, credentials: Mapping[str, str], unavailable: Reason | None, hosts: Hosts = None
) -> Entry:
    """Make the entry of a connector.

    Args:
        resource: The connector; its spec is valid.
        connector_id: Its id on the gateway.
        credentials: `<refhash>.<version>` by reference.
        unavailable: Why callers cannot use the connector; its headers and credentials are not published then.
        hosts: Those that may see its credentials; None when no owner of a Secret says so.
    """
    spec = resource.spec
    if spec is None:
        raise ValueError(f"{resource}: an invalid spec has no entry")

    def credential(ref: SecretKeyRef) -> CredentialRef:
        return CredentialRef(credentials[hash_of(resource, ref)])

    is_available = unavailable is None
    url, url_parts = _url(spec, credential if is_available else None)
    return ConnectorContent(
        id=connector_id,
        origin=origin_of_resource(resource),
        policy=_policy(spec),
        ca_bundle=_ca_bundle(spec.tls),
        access=_subjects(spec.access),
        shows_path=spec.show_path is True,
        url=url,
        url_parts=url_parts,
        transport=spec.transport or DEFAULT_TRANSPORT,
        title=spec.title,
        description=spec.description,
        headers=_headers(spec, credential) if is_available else (),
        bearer=_bearer(spec, credential) if is_available else None,
        reason=str(unavailable or ""),
        hosts=hosts,
    ).entry()


def _headers(spec: MCPConnectorSpec, credential: Callable[[SecretKeyRef], CredentialRef]) -> tuple[Header, ...]:
    return tuple(
        Header(header.name, (header.value or "",) if header.value_from is None else (credential(header.value_from.secret_key_ref),))
        for header in spec.headers or ()
    )


def _bearer(spec: MCPConnectorSpec, credential: Callable[[SecretKeyRef], CredentialRef]) -> CredentialRef | None:
    return credential(spec.auth.bearer.secret_key_ref) if spec.auth and spec.auth.bearer else None


def _url(spec: MCPConnectorSpec, credential: Callable[[SecretKeyRef], CredentialRef] | None) -> tuple[str, Parts]:
    """The URL with the plain values of its variables; and in parts, if some come from Secrets. credential: None to leave those out."""
    if not spec.variables:
        return spec.url or "", ()
    sources = {"{" + variable.name + "}": variable for variable in spec.variables}
    texts: list[str] = []
    parts: list[str | CredentialRef] = []
    for text in re.split(f"({VARIABLE.pattern})", spec.url or ""):
        source = sources.get(text)
        if source is not None and source.value_from is not None:
            texts.append(text)
            if credential is not None:
                parts.append(credential(source.value_from.secret_key_ref))
            continue
        texts.append(text if source is None else quote(source.value or "", safe=""))
        parts.append(texts[-1])
    has_credentials = any(isinstance(part, CredentialRef) for part in parts)
    return "".join(texts), tuple(part for part in parts if part) if has_credentials else ()


def registry_entry_of(resource: RegistryResource, entry_id: str) -> Entry:
    """Make the entry of a registry whose spec is valid. All servers of the registry inherit from it; it is not a connector itself."""
    spec = resource.spec
    if spec is None:
        raise ValueError(f"{resource}: an invalid spec has no entry")
    template = spec.connector_template or ConnectorTemplate()
    return RegistryContent(
        id=entry_id,
        origin=origin_of_resource(resource),
        policy=_policy(template),
        ca_bundle=_ca_bundle(template.tls),
        access=_subjects(template.access),
        shows_path=template.show_path is True,
        registry=RegistrySource(registry_id_of_entry(entry_id), spec.url),
        public_only=not spec.allow_private_addresses,
    ).entry()


def hash_of(resource: Resource, ref: SecretKeyRef) -> str:
    """Return the hash that stands for a reference to a Secret key in the map."""
    return reference_hash(resource.namespace, ref.name, ref.key)


def origin_of_resource(resource: Resource) -> Origin:
    """Describe a resource as the origin of its entry."""
    return Origin(resource.kind, resource.namespace, resource.name, resource.uid, resource.generation)


def _ca_bundle(tls: TLS | None) -> str | None:
    return tls.ca_bundle if tls else None


def _subjects(access: Access | None) -> frozenset[entry_policy.Subject] | None:
    """Collect who may use the connector; None means everybody."""
    subjects = access.subjects if access else None
    if not subjects:
        return None
    return frozenset(entry_policy.Subject(subject.kind, subject.namespace or "", subject.name) for subject in subjects)


def _policy(spec: MCPConnectorSpec | ConnectorTemplate) -> entry_policy.Policy:
    """Collect how callers may use the server; a connector and the template of a registry have the same fields."""
    default = _DEFAULT_POLICY
    tools, approval = spec.tools, spec.approval
    return entry_policy.Policy(
        spec.caller_authorization or default.caller_authorization,
        entry_policy.ToolRules(tools.allowed, tools.denied, tools.read_only) if tools else default.tools,
        entry_policy.ApprovalRules(approval.mode or default.approval.mode, approval.always, approval.never)
        if approval
        else default.approval,
        _limits(spec),
        spec.caller_headers,
    )


def _limits(spec: MCPConnectorSpec | ConnectorTemplate) -> entry_policy.Limits:
    limits, default = spec.limits, _DEFAULT_POLICY.limits
    if limits is None:
        return default
    return entry_policy.Limits(
        limits.connect_timeout_seconds or default.connect_timeout,
        limits.call_timeout_seconds or default.call_timeout,
        limits.max_concurrent_calls or default.max_concurrent_calls,
        limits.max_result_bytes or default.max_result_bytes,
    )
