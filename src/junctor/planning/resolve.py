"""Resolve: the verdict on a resource that owns its id, with its entry and the Secrets that it references.

For a short time after a Secret is missing, its last credentials stay in use.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from junctor.api.conditions import Finding, Reason
from junctor.api.endpoint import SecretKeyRef
from junctor.api.names import CREDENTIAL_HOSTS_ANNOTATION, CREDENTIALS_LABEL
from junctor.api.resources import RegistryResource, Resource
from junctor.connectormap.credentials import reference_of
from junctor.planning.acceptance import ACCEPTED, RESOLVED, Verdict
from junctor.planning.discovered import CredentialResolver, Refusals
from junctor.planning.entries import entry_of, hash_of, registry_entry_of
from junctor.planning.inputs import CredentialVersion, Inputs, Published, SecretVersions
from junctor.planning.limit import limit_entry
from junctor.planning.secret_hosts import allows_host, destinations, host_of

#: Seconds for which the last credentials stay in use after a Secret is missing: replacing a Secret by delete and create must not interrupt
#: calls.
GRACE_SECONDS: Final = 300.0
#: Namespace and name of a Secret, and a key in it.
SecretPlace = tuple[tuple[str, str], str]
#: The versions of what is in places, in their order; None for a missing Secret or key.
Versions = tuple[CredentialVersion | None, ...]


@dataclass(frozen=True, slots=True)
class Resolution:
    """The outcome for all references of a resource.

    credentials: `<refhash>.<version>` by reference, without those that cannot be used. complete: whether every reference has one.
    until: when the last credentials that are in use expire, or None.
    """

    finding: Finding
    credentials: Mapping[str, str]
    complete: bool
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """A verdict, what it depends on and its times.

    places, versions: what the resource references, and the present versions. missing_since: when a reference was first missing, None if
    none is. wake_at: when the verdict expires.
    """

    verdict: Verdict
    places: tuple[SecretPlace, ...] = ()
    versions: Versions = ()
    missing_since: float | None = None
    wake_at: float | None = None


def is_disabled(resource: Resource) -> bool:
    """Whether the resource must not be published."""
    return resource.spec is None or resource.spec.state == "Disabled"


def secret_places(resource: Resource) -> tuple[SecretPlace, ...]:
    """Everything that the resource references."""
    return tuple([((resource.namespace, ref.name), ref.key) for ref in resource.secret_refs])


def versions_at(places: tuple[SecretPlace, ...], inputs: Inputs) -> Versions:
    """The present versions of what is in these places."""
    return tuple([inputs.secrets.get(secret, {}).get(key) for secret, key in places])


def resolve(
    resource: Resource,
    entry_id: str,
    inputs: Inputs,
    published: Published,
    *,
    missing_since: float | None,
    now: float,
    resolver: CredentialResolver,
) -> Resolved:
    """Make the verdict on a resource that owns its id.

    Args:
        resource: The resource.
        entry_id: Id of its entry.
        inputs: The Secrets that it references, and the report of its syncs.
        published: The last credentials, which serve for a short time after a Secret vanished.
        missing_since: When the plan before first saw one of its references missing; None if it did not.
        now: Seconds of a monotonic clock.
        resolver: Resolves the credentials of discovered servers.
    """
    if is_disabled(resource):
        disabled = Finding("True", Reason.DISABLED, "disabled: references are not used")
        return Resolved(Verdict(resource, entry_id, ACCEPTED, disabled, is_disabled=True), missing_since=missing_since)
    places = secret_places(resource)
    versions = versions_at(places, inputs)
    find = partial(refused_hosts, resource, inputs.secrets)
    refused = resolver.refusals(resource, versions, find) if isinstance(resource, RegistryResource) else find()
    if any(version is None or version.problem for version in versions):
        since = now - inputs.unresolved_for.get(resource.uid, 0.0) if missing_since is None else missing_since
        last = _last_credentials(resource, entry_id, published, resolver)
        resolution = resolve_references(resource, inputs.secrets, last, since, now, refused)
        verdict = _verdict(resource, entry_id, resolution, inputs, published, resolver)
        return Resolved(verdict, places, versions, since, resolution.until)
    resolution = resolve_references(resource, inputs.secrets, {}, now, now, refused)
    return Resolved(_verdict(resource, entry_id, resolution, inputs, published, resolver), places, versions)


def _verdict(
    resource: Resource, entry_id: str, resolution: Resolution, inputs: Inputs, published: Published, resolver: CredentialResolver
) -> Verdict:
    """The verdict with its entry. A registry with a missing reference is published: only servers that need the credential are not."""
    if isinstance(resource, RegistryResource):
        servers = resolver.resolve(resource, entry_id, resolution.credentials, inputs, published)
        verdict = Verdict(
            resource,
            entry_id,
            ACCEPTED,
            resolution.finding,
            registry_entry_of(resource, entry_id),
            credentials=servers.credentials if servers else (),
            sync=inputs.syncs.get(resource.uid),
            servers=servers.entries if servers else None,
        )
    else:
        unavailable = None if resolution.complete else resolution.finding.reason
        hosts = (host_of(resource.spec.url or ""),) if resource.spec and is_bound(resource, inputs.secrets) else None
        entry = entry_of(resource, entry_id, resolution.credentials, unavailable, hosts)
        verdict = Verdict(
            resource, entry_id, ACCEPTED, resolution.finding, entry, is_available=resolution.complete, credentials=entry.credentials
        )
    return limit_entry(verdict)


def _last_credentials(resource: Resource, entry_id: str, published: Published, resolver: CredentialResolver) -> dict[str, str]:
    """The credentials that the published entries of a resource name, by reference."""
    origin = published.origins.get(entry_id)
    if origin is None or origin.uid != resource.uid:
        return {}
    servers = resolver.credentials_of(entry_id, published.discovered.get(entry_id, {}))
    return {reference_of(credential): credential for credential in (*published.entries[entry_id].credentials, *servers)}


def resolve_references(
    resource: Resource, secrets: SecretVersions, last: Mapping[str, str], missing_since: float, now: float, refused: Refusals | None = None
) -> Resolution:
    """Resolve all references of a resource.

    Args:
        resource: The resource; its spec is valid.
        secrets: The Secrets of the cluster.
        last: The credentials that its published entries name, by reference.
        missing_since: When one of its references was first missing, or `now`.
        now: Seconds of a monotonic clock.
        refused: What `refused_hosts` says; None: ask it.
    """
    refused = refused_hosts(resource, secrets) if refused is None else refused
    credentials: dict[str, str] = {}
    problem: Finding | None = None
    until: float | None = None
    complete = True
    for ref in resource.secret_refs:
        key = hash_of(resource, ref)
        if ref in refused:
            problem, complete = problem or refused[ref], False
            continue
        missing = _problem(resource, ref, secrets)
        if missing is None:
            credentials[key] = f"{key}.{secrets[resource.namespace, ref.name][ref.key].version}"
            continue
        problem = problem or missing
        if key in last and now < missing_since + GRACE_SECONDS:
            credentials[key] = last[key]
            until = missing_since + GRACE_SECONDS
        else:
            complete = False
    if problem is None:
        return Resolution(RESOLVED, credentials, True)
    if complete:
        grace = f"; the last credentials serve for at most {GRACE_SECONDS / 60:.0f} minutes after it vanished"
        return Resolution(Finding("False", problem.reason, problem.message + grace), credentials, True, until)
    return Resolution(problem, credentials, False, until)


def refused_hosts(resource: Resource, secrets: SecretVersions) -> Refusals:
    """What is wrong with the references whose values would go to a host that the owner of the Secret does not name."""
    versions = {ref: _version(resource, ref, secrets) for ref in resource.secret_refs}
    bound = {ref: version.hosts for ref, version in versions.items() if version is not None and version.hosts is not None}
    if not bound:
        return {}
    found = {}
    for ref, hosts in destinations(resource).items():
        host = next((host for host in hosts if not allows_host(bound.get(ref), host)), None)
        if host is not None:
            message = (
                f"Secret {resource.namespace}/{ref.name} must not go to {host!r}, which its annotation {CREDENTIAL_HOSTS_ANNOTATION} "
                "does not name; correct the host, or have it added"
            )
            found[ref] = Finding("False", Reason.HOST_NOT_ALLOWED, message)
    return found


def is_bound(resource: Resource, secrets: SecretVersions) -> bool:
    """Whether the owner of one of the Secrets says which hosts may get its values."""
    return any((version := _version(resource, ref, secrets)) and version.hosts is not None for ref in resource.secret_refs)


def _version(resource: Resource, ref: SecretKeyRef, secrets: SecretVersions) -> CredentialVersion | None:
    return secrets.get((resource.namespace, ref.name), {}).get(ref.key)


def _problem(resource: Resource, ref: SecretKeyRef, secrets: SecretVersions) -> Finding | None:
    keys = secrets.get((resource.namespace, ref.name))
    if keys is None:
        return Finding(
            "False",
            Reason.SECRET_NOT_FOUND,
            f'no Secret {resource.namespace}/{ref.name} with the label {CREDENTIALS_LABEL}: "true"; create it, or if it exists run '
            f"kubectl label secret -n {resource.namespace} {ref.name} {CREDENTIALS_LABEL}=true",
        )
    if ref.key not in keys:
        return Finding("False", Reason.SECRET_KEY_NOT_FOUND, f"Secret {resource.namespace}/{ref.name} has no key {ref.key!r}; add it")
    if keys[ref.key].problem:
        return Finding(
            "False",
            Reason.SECRET_VALUE_INVALID,
            f"key {ref.key!r} of Secret {resource.namespace}/{ref.name} {keys[ref.key].problem}; correct the value",
        )
    return None
