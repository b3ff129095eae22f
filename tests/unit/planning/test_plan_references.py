"""References of connectors to Secrets: named by version, and kept for a while after a Secret vanished."""

from junctor.api.conditions import Reason
from junctor.planning.resolve import GRACE_SECONDS
from tests.support.entries import content_of
from tests.unit.planning.building import Story, bearer, connector, secret, verdict


def test_credentials_are_named_by_reference_and_version_and_never_by_value() -> None:
    resource = connector("x", auth=bearer())
    plan = Story().plan(resource, secrets=secret(value=b"s3cret"))
    (credential,) = plan.entries["x"].credentials
    assert plan.credentials == {credential}
    assert b"s3cret" not in plan.entries["x"].line


def test_rotated_secret_is_a_new_entry() -> None:
    story = Story()
    resource = connector("x", auth=bearer())
    before = story.plan(resource, secrets=secret(value=b"one"))
    after = story.plan(resource, secrets=secret(value=b"two"))
    assert before.entries["x"].digest != after.entries["x"].digest


def test_unresolved_reference_hides_only_its_own_connector() -> None:
    resource, other = connector("x", auth=bearer()), connector("other")
    plan = Story().plan(resource, other)
    assert verdict(plan, resource).resolved.reason is Reason.SECRET_NOT_FOUND
    assert [plan.entries[name].available for name in ("x", "other")] == [False, True]
    assert not plan.credentials


def test_last_credentials_serve_for_five_minutes_after_a_secret_vanished() -> None:
    story = Story()
    resource = connector("x", auth=bearer())
    before = story.plan(resource, secrets=secret(value=b"one"))
    during = story.plan(resource)
    assert during.entries["x"].digest == before.entries["x"].digest
    assert verdict(during, resource).resolved.reason is Reason.SECRET_NOT_FOUND
    assert during.credentials == before.credentials
    assert during.wake_at == story.now + GRACE_SECONDS
    story.now += GRACE_SECONDS - 1
    assert content_of(story.plan(resource).entries["x"])["available"]
    story.now += 1
    after = story.plan(resource)
    assert not content_of(after.entries["x"])["available"]
    assert not after.credentials
    assert after.wake_at is None


def test_secret_that_comes_back_within_the_grace_ends_it() -> None:
    story = Story()
    resource = connector("x", auth=bearer())
    story.plan(resource, secrets=secret(value=b"one"))
    story.plan(resource)
    story.now += 200
    back = story.plan(resource, secrets=secret(value=b"two"))
    assert verdict(back, resource).resolved.ok
    story.now += 200
    again = story.plan(resource)
    assert content_of(again.entries["x"])["available"]
    assert again.wake_at == story.now + GRACE_SECONDS


def test_the_grace_of_a_missing_reference_does_not_start_anew_with_the_operator() -> None:
    resource = connector("a", auth=bearer())
    story = Story()
    story.plan(resource, secrets=secret(value=b"1"))
    for missing_for, available in ((GRACE_SECONDS - 1, True), (GRACE_SECONDS, False)):
        story.restart()
        plan = story.plan(resource, publish=False, unresolved_for={resource.uid: missing_for})
        assert verdict(plan, resource).is_available is available


def test_the_grace_of_a_reference_begins_anew_each_time_it_vanishes() -> None:
    resource, story = connector("a", auth=bearer()), Story()
    secrets = secret(value=b"1")
    story.plan(resource, secrets=secrets)
    story.plan(resource)
    story.now += GRACE_SECONDS - 1
    story.plan(resource, secrets=secrets)
    story.now += GRACE_SECONDS - 1
    assert verdict(story.plan(resource), resource).is_available
