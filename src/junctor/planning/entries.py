"""An accepted resource as an entry of the map: every default written out, so that readers need to know none."""

from collections.abc import Mapping
from typing import Any, Final

from junctor.api.access import Access
from junctor.api.conditions import Reason
from junctor.api.connector import MCPConnectorSpec
from junctor.api.registry import ConnectorTemplate
from junctor.api.resources import ConnectorResource, RegistryResource, Resource
from junctor.connectormap.connector_map import ACCESS_FEATURE, REGISTRY_FEATURE, Entry
from junctor.connectormap.ids import REGISTRY_ID_PREFIX
from junctor.planning.references import hash_of

DEFAULT_LIMITS: Final = {"connectTimeoutSeconds": 10, "callTimeoutSeconds": 60, "maxConcurrentCalls": 100, "maxResultBytes": 1048576}


def entry_of(resource: ConnectorResource, connector_id: str, credentials: Mapping[str, str], unavailable: Reason | None) -> Entry:
    """The entry of a connector whose spec is valid.

    credentials: by reference hash. unavailable: why callers cannot use it now; then neither headers nor credentials are published.
    """
    spec = resource.spec
    if spec is None:
        raise ValueError(f"{resource}: an invalid spec has no entry")
    content: dict[str, Any] = {
        "id": connector_id,
        "origin": _origin(resource),
        "available": unavailable is None,
        "url": spec.url,
        "transport": spec.transport or "Auto",
        **_policy(spec),
    }
    if spec.title:
        content["title"] = spec.title
    if spec.description:
        content["description"] = spec.description
    if unavailable is not None:
        return Entry.of(content | {"reason": str(unavailable)})
    return Entry.of(content | _credentialed(resource, spec, credentials))


def registry_entry_of(resource: RegistryResource, entry_id: str) -> Entry:
    """The entry that all servers of a registry whose spec is valid inherit from. It is no connector itself."""
    spec = resource.spec
    if spec is None:
        raise ValueError(f"{resource}: an invalid spec has no entry")
    policy = _policy(spec.connector_template or ConnectorTemplate())
    return Entry.of(
        {
            "id": entry_id,
            "origin": _origin(resource),
            "available": True,
            "registry": {"id": entry_id.removeprefix(REGISTRY_ID_PREFIX), "url": spec.url},
            "addresses": "any" if spec.allow_private_addresses else "public",
            **policy,
            "requires": sorted([*policy["requires"], REGISTRY_FEATURE]),
        }
    )


def _origin(resource: Resource) -> dict[str, Any]:
    return {
        "kind": resource.kind,
        "namespace": resource.namespace,
        "name": resource.name,
        "uid": resource.uid,
        "generation": resource.generation,
    }


def _policy(spec: MCPConnectorSpec | ConnectorTemplate) -> dict[str, Any]:
    """Who may call what, and how: the same fields for a connector and for the servers of a registry."""
    subjects = _subjects(spec.access)
    policy: dict[str, Any] = {
        "callerAuthorization": spec.caller_authorization or "Allow",
        "tools": spec.tools.to_json() if spec.tools else {},
        "approval": {"mode": "AsRequested"} | (spec.approval.to_json() if spec.approval else {}),
        "limits": DEFAULT_LIMITS | (spec.limits.to_json() if spec.limits else {}),
        "requires": [ACCESS_FEATURE] if subjects else [],
    }
    if spec.tls:
        policy["tls"] = spec.tls.to_json()
    if subjects:
        # On unavailable entries too: what does not exist for a caller must not appear because a Secret is missing.
        policy["access"] = {"subjects": subjects}
    return policy


def _subjects(access: Access | None) -> list[dict[str, Any]]:
    """Who may use the connector, in one order; empty: everybody."""
    subjects = (access.subjects if access else None) or ()
    ordered = sorted(subjects, key=lambda subject: (subject.kind, subject.namespace or "", subject.name))
    return [subject.to_json() for subject in ordered]


def _credentialed(resource: ConnectorResource, spec: MCPConnectorSpec, credentials: Mapping[str, str]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    headers: list[dict[str, str]] = []
    for header in spec.headers or ():
        if header.value_from is not None:
            headers.append({"name": header.name, "credential": credentials[hash_of(resource, header.value_from.secret_key_ref)]})
        else:
            headers.append({"name": header.name, "value": header.value or ""})
    if headers:
        content["headers"] = headers
    if spec.auth and spec.auth.bearer:
        content["auth"] = {"bearer": {"credential": credentials[hash_of(resource, spec.auth.bearer.secret_key_ref)]}}
    return content
