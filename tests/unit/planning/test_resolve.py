"""The step resolve: the Secret references of a resource, and the verdict on a resource that owns its id."""

from typing import Any

import pytest

from junctor.api.conditions import Reason
from junctor.api.resources import Resource
from junctor.connectormap.credentials import credential_version, reference_hash
from junctor.planning.acceptance import RESOLVED
from junctor.planning.discovered import CredentialResolver
from junctor.planning.entries import origin_of_resource
from junctor.planning.inputs import Published
from junctor.planning.resolve import GRACE_SECONDS, Resolved, resolve, resolve_references
from tests.support.entries import content_of
from tests.unit.planning.building import KEY, bearer, connector, discovered, inputs, registry, secret, server, synced

NOW = 1000.0
USER = connector("x", auth=bearer())
REFERENCE = reference_hash("team-a", "token", "value")
BEFORE, AFTER = (f"{REFERENCE}.{credential_version(KEY, value)}" for value in (b"before", b"after"))


# --- references -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secrets", "reason", "part"),
    [
        ({}, Reason.SECRET_NOT_FOUND, "kubectl label secret -n team-a token junctor.dev/credentials=true"),
        (secret(namespace="team-b", value=b"x"), Reason.SECRET_NOT_FOUND, "no Secret team-a/token"),
        (secret("other", value=b"x"), Reason.SECRET_NOT_FOUND, "no Secret team-a/token"),
        (secret(other=b"x"), Reason.SECRET_KEY_NOT_FOUND, "Secret team-a/token has no key 'value'; add it"),
        (secret(problem="is empty", value=b""), Reason.SECRET_VALUE_INVALID, "key 'value' of Secret team-a/token is empty; correct"),
    ],
    ids=["no-secret", "another-namespace", "another-name", "no-key", "invalid-value"],
)
def test_reference_that_cannot_be_resolved_says_why(secrets: dict[Any, Any], reason: Reason, part: str) -> None:
    resolution = resolve_references(USER, secrets, {}, NOW, NOW)
    assert (resolution.finding.status, resolution.finding.reason) == ("False", reason)
    assert part in resolution.finding.message
    assert (resolution.credentials, resolution.complete, resolution.until) == ({}, False, None)


@pytest.mark.parametrize("resource", [connector("x"), USER])
def test_resolved_references_name_the_present_versions(resource: Resource) -> None:
    resolution = resolve_references(resource, secret(value=b"after"), {REFERENCE: BEFORE}, NOW, NOW)
    assert (resolution.finding, resolution.complete, resolution.until) == (RESOLVED, True, None)
    assert dict(resolution.credentials) == {hashed: AFTER for hashed in [REFERENCE] if resource is USER}


@pytest.mark.parametrize(
    ("last", "missing_for", "is_served"),
    [
        ({REFERENCE: BEFORE}, 0.0, True),
        ({REFERENCE: BEFORE}, GRACE_SECONDS - 1, True),
        ({REFERENCE: BEFORE}, GRACE_SECONDS, False),
        ({}, 0.0, False),
        ({"0123456789abcdef": BEFORE}, 0.0, False),
    ],
    ids=["just-vanished", "end-of-grace", "after-the-grace", "never-published", "another-reference"],
)
@pytest.mark.parametrize("secrets", [{}, secret(other=b"x"), secret(problem="is empty", value=b"")])
def test_last_credential_serves_for_a_grace_period(
    secrets: dict[Any, Any], last: dict[str, str], missing_for: float, is_served: bool
) -> None:
    resolution = resolve_references(USER, secrets, last, NOW - missing_for, NOW)
    assert not resolution.finding.ok
    assert ("at most 5 minutes after it vanished" in resolution.finding.message) is is_served
    assert resolution.credentials == ({REFERENCE: BEFORE} if is_served else {})
    assert (resolution.complete, resolution.until) == (is_served, NOW - missing_for + GRACE_SECONDS if is_served else None)


@pytest.mark.parametrize(("missing", "part"), [(["a"], "'a'"), (["b"], "'b'"), (["a", "b"], "'a'")])
def test_resource_is_complete_only_with_all_its_references(missing: list[str], part: str) -> None:
    headers = [{"name": f"x-{key}", "valueFrom": {"secretKeyRef": {"name": "token", "key": key}}} for key in "ab"]
    present: dict[str, Any] = {key: b"1" for key in ("a", "b", "other") if key not in missing}
    resolution = resolve_references(connector("x", headers=headers), secret(**present), {}, NOW, NOW)
    assert (resolution.complete, resolution.finding.reason) == (False, Reason.SECRET_KEY_NOT_FOUND)
    assert part in resolution.finding.message
    assert len(resolution.credentials) == 2 - len(missing)


# --- the verdict ------------------------------------------------------------------------------------------------------------------------


def resolved(
    resource: Resource, entry_id: str = "x", *, last: Published | None = None, missing_since: float | None = None, **fields: Any
) -> Resolved:
    """Resolve a resource at NOW. last: what is published. fields: of the inputs."""
    return resolve(
        resource,
        entry_id,
        inputs(resource, **fields),
        last or Published(),
        missing_since=missing_since,
        now=NOW,
        resolver=CredentialResolver(),
    )


def published_by(resource: Resource, of: Resolved) -> Published:
    """A map that contains the entry of a verdict, made from `resource`."""
    assert of.verdict.entry is not None
    return Published({of.verdict.id: of.verdict.entry}, {of.verdict.id: origin_of_resource(resource)})


def test_resolved_connector_is_available_with_its_credentials() -> None:
    result = resolved(USER, secrets=secret(value=b"before"))
    verdict = result.verdict
    assert (verdict.accepted.ok, verdict.resolved, verdict.is_available, verdict.is_disabled) == (True, RESOLVED, True, False)
    assert verdict.entry is not None
    assert verdict.entry.credentials == verdict.credentials == (BEFORE,)
    assert (result.missing_since, result.wake_at) == (None, None)


@pytest.mark.parametrize(
    ("secrets", "reason"),
    [
        ({}, Reason.SECRET_NOT_FOUND),
        (secret(other=b"x"), Reason.SECRET_KEY_NOT_FOUND),
        (secret(problem="is empty", value=b""), Reason.SECRET_VALUE_INVALID),
    ],
)
def test_unresolved_connector_is_accepted_and_published_as_unavailable(secrets: dict[Any, Any], reason: Reason) -> None:
    verdict = resolved(USER, secrets=secrets).verdict
    assert (verdict.accepted.ok, verdict.resolved.reason, verdict.is_available) == (True, reason, False)
    assert verdict.entry is not None
    assert (content_of(verdict.entry)["available"], content_of(verdict.entry)["reason"]) == (False, reason)
    assert "auth" not in content_of(verdict.entry)
    assert verdict.entry.credentials == verdict.credentials == ()


@pytest.mark.parametrize("resource", [connector("x", state="Disabled", auth=bearer()), registry(state="Disabled")])
def test_disabled_resource_has_no_entry_and_its_references_do_not_matter(resource: Resource) -> None:
    result = resolved(resource, missing_since=900.0)
    verdict = result.verdict
    assert (verdict.accepted.ok, verdict.resolved.status, verdict.resolved.reason) == (True, "True", Reason.DISABLED)
    assert (verdict.is_disabled, verdict.entry, verdict.credentials) == (True, None, ())
    assert (result.missing_since, result.wake_at) == (900.0, None)


@pytest.mark.parametrize(
    ("secrets", "missing_since", "unresolved_for", "expected"),
    [
        (secret(value=b"1"), None, {}, None),
        (secret(value=b"1"), 900.0, {USER.uid: 50.0}, None),
        ({}, None, {}, NOW),
        ({}, 900.0, {}, 900.0),
        ({}, None, {USER.uid: 50.0}, NOW - 50),
        ({}, 900.0, {USER.uid: 50.0}, 900.0),
    ],
    ids=["present", "back-again", "just-vanished", "seen-by-an-earlier-plan", "seen-by-an-earlier-process", "seen-by-both"],
)
def test_grace_is_counted_from_when_a_reference_was_first_missing(
    secrets: dict[Any, Any], missing_since: float | None, unresolved_for: dict[str, float], expected: float | None
) -> None:
    last = published_by(USER, resolved(USER, secrets=secret(value=b"before")))
    result = resolved(USER, last=last, missing_since=missing_since, secrets=secrets, unresolved_for=unresolved_for)
    assert result.missing_since == expected
    assert result.wake_at == (None if expected is None else expected + GRACE_SECONDS)
    assert result.verdict.is_available


def test_credentials_that_another_resource_published_under_the_id_are_not_used() -> None:
    last = published_by(connector("other"), resolved(USER, secrets=secret(value=b"before")))
    result = resolved(USER, last=last)
    assert (result.verdict.is_available, result.wake_at) == (False, None)


def test_registry_with_a_missing_reference_is_published_and_says_so() -> None:
    rule = {"servers": ["*"], "hosts": ["*.acme.com"], "auth": bearer()}
    resource = registry(credentials=[rule])
    found = discovered(server("open"), server("secured", key="value"))
    verdict = resolved(resource, "mcp::internal", syncs={resource.uid: synced(found)}).verdict
    assert (verdict.resolved.reason, verdict.is_available) == (Reason.SECRET_NOT_FOUND, True)
    assert verdict.servers is not None
    assert {key.rpartition("/")[2]: entry.available for key, entry in verdict.servers.items()} == {"open": True, "secured": False}


def test_registry_that_was_never_read_has_an_entry_and_no_servers() -> None:
    verdict = resolved(registry(), "mcp::internal").verdict
    assert verdict.entry is not None
    assert (verdict.entry.id, verdict.servers, verdict.sync) == ("mcp::internal", None, None)
