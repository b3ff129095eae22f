"""Resolves the Secret references of a resource; for a short time after a Secret vanished, its last credentials still serve."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from junctor.api.conditions import Finding, Reason
from junctor.api.endpoint import SecretKeyRef
from junctor.api.names import CREDENTIALS_LABEL
from junctor.api.resources import Resource
from junctor.connectormap.credentials import reference_hash
from junctor.planning.inputs import SecretVersions
from junctor.planning.verdicts import RESOLVED

#: Seconds for which the last credentials serve after a reference vanished: replacing a Secret by delete and create must not interrupt
#: calls.
GRACE_SECONDS: Final = 300.0


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


def hash_of(resource: Resource, ref: SecretKeyRef) -> str:
    """The name of a reference in the map."""
    return reference_hash(resource.namespace, ref.name, ref.key)


def resolve_references(
    resource: Resource, secrets: SecretVersions, last: Mapping[str, str], missing_since: float, now: float
) -> Resolution:
    """Resolve all references of a resource.

    Args:
        resource: The resource; its spec is valid.
        secrets: The Secrets of the cluster.
        last: The credentials that its published entries name, by reference.
        missing_since: When one of its references was first missing, or `now`.
        now: Seconds of a monotonic clock.
    """
    credentials: dict[str, str] = {}
    problem: Finding | None = None
    until: float | None = None
    complete = True
    for ref in resource.secret_refs():
        key = hash_of(resource, ref)
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
