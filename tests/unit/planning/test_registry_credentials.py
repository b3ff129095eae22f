"""Credentials of a registry's servers: followed when they change, and missed when they are gone."""

from typing import Any

from junctor.api.conditions import Reason
from junctor.connectormap.credentials import CREDENTIALS_LIMIT
from junctor.planning.resolve import GRACE_SECONDS
from tests.unit.planning.building import Story, bearer, connector, discovered, ids, reason, registry, secret, server, synced, verdict
from tests.unit.planning.registries import GRANT, ID, SECURED, A, contents


def test_rotated_secret_changes_the_servers_that_name_it_without_a_sync() -> None:
    story, resource = Story(), registry(credentials=[GRANT])
    syncs = {resource.uid: synced(discovered(A, SECURED))}
    first = story.plan(resource, syncs=syncs, secrets=secret(value=b"one"))
    second = story.plan(resource, syncs=syncs, secrets=secret(value=b"two"))
    assert second.discovered[ID][A.id] is first.discovered[ID][A.id]
    assert len(first.credentials) == len(second.credentials) == 1
    assert contents(first)["s"]["auth"]["bearer"]["credential"] in first.credentials
    assert contents(second)["s"]["auth"]["bearer"]["credential"] in second.credentials
    assert not first.credentials & second.credentials


def test_missing_secret_hurts_only_the_servers_that_need_it_and_heals() -> None:
    story, resource = Story(), registry(credentials=[GRANT])
    other = server("o", key="other")
    syncs = {resource.uid: synced(discovered(A, SECURED, other))}
    plan = story.plan(resource, syncs=syncs)
    found = contents(plan)
    assert [found[name]["available"] for name in "aso"] == [True, False, False]
    assert (found["s"]["reason"], "auth" in found["s"], plan.credentials) == (Reason.UNRESOLVED_REFS, False, frozenset())
    assert verdict(plan, resource).resolved.reason is Reason.SECRET_NOT_FOUND
    assert verdict(plan, resource).is_available
    healed = story.plan(resource, syncs=syncs, secrets=secret(value=b"one"))
    assert [contents(healed)[name]["available"] for name in "aso"] == [True, True, False]
    assert verdict(healed, resource).resolved.ok


def test_vanished_secret_serves_for_five_minutes_and_then_no_longer() -> None:
    story, resource = Story(), registry(credentials=[GRANT])
    syncs = {resource.uid: synced(discovered(A, SECURED))}
    before = story.plan(resource, syncs=syncs, secrets=secret(value=b"one"))
    grace = story.plan(resource, syncs=syncs)
    assert (grace.credentials, grace.discovered[ID], grace.wake_at) == (
        before.credentials,
        before.discovered[ID],
        story.now + GRACE_SECONDS,
    )
    assert not verdict(grace, resource).resolved.ok
    story.now += GRACE_SECONDS
    after = story.plan(resource, syncs=syncs)
    assert (after.credentials, contents(after)["s"]["available"], contents(after)["a"]["available"]) == (frozenset(), False, True)


def test_secret_towards_the_registry_itself_is_never_published() -> None:
    resource = registry(auth=bearer("towards"), credentials=[GRANT])
    secrets = secret("towards", value=b"mine") | secret(value=b"theirs")
    plan = Story().plan(resource, syncs={resource.uid: synced(discovered(SECURED))}, secrets=secrets)
    assert plan.credentials == {contents(plan)["s"]["auth"]["bearer"]["credential"]}


def test_missing_secret_towards_the_registry_itself_leaves_its_servers_as_they_are() -> None:
    story, resource = Story(), registry(auth=bearer("towards"), credentials=[GRANT])
    syncs = {resource.uid: synced(discovered(A, SECURED))}
    plan = story.plan(resource, syncs=syncs, secrets=secret(value=b"theirs"))
    assert [entry["available"] for entry in contents(plan).values()] == [True, True]
    assert "team-a/towards" in verdict(plan, resource).resolved.message


def test_registry_whose_credentials_do_not_fit_is_refused_and_the_published_connector_stays() -> None:
    story = Story()
    half = CREDENTIALS_LIMIT // 2 + 1000
    holder = connector("holder", age=0, auth=bearer(key="held"))
    # One Secret object takes what has the same first digit: more keys than objects make two of them meet.
    keys = [f"k{number}" for number in range(20)]
    values: Any = {key: bytes([65 + number]) * half for number, key in enumerate(["held", *keys])}
    resource = registry(age=9, credentials=[{**GRANT, "servers": [f"io.acme/{key}"], "auth": bearer(key=key)} for key in keys])
    syncs = {resource.uid: synced(discovered(*(server(key, key=key) for key in keys)))}
    story.plan(holder, secrets=secret(**values))
    plan = story.plan(holder, resource, syncs=syncs, secrets=secret(**values))
    assert (reason(plan, holder), reason(plan, resource)) == (Reason.ACCEPTED, Reason.CREDENTIALS_TOO_LARGE)
    assert (ids(plan.entries), plan.discovered, len(plan.credentials)) == (["holder"], {}, 1)
    assert (
        reason(story.plan(holder, resource, syncs={resource.uid: synced(discovered(A))}, secrets=secret(**values)), resource) == "Accepted"
    )
