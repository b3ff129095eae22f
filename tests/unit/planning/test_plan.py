"""Which connectors a gateway's map holds, and what is said about the others."""

from typing import Any

from junctor.api.conditions import Reason
from junctor.api.configuration import GatewaySpec
from junctor.api.resources import Resource
from junctor.connectormap.credentials import CREDENTIALS_LIMIT
from junctor.planning.inputs import Published
from junctor.planning.plan import PlanMemory, plan_gateway
from junctor.planning.retain import HOLD_SECONDS
from tests.support.entries import content_of
from tests.unit.planning.building import (
    Story,
    bearer,
    connector,
    discovered,
    gateway,
    ids,
    inputs,
    published,
    reason,
    registry,
    secret,
    server,
    synced,
    verdict,
)

# --- refused resources ----------------------------------------------------------------------------------------------------------------


def test_resource_that_breaks_the_schema_is_refused_and_hurts_nobody() -> None:
    broken, good = connector("broken", url="ftp://x"), connector("good")
    plan = Story().plan(broken, good)
    assert reason(plan, broken) == Reason.INVALID
    assert "spec.url" in verdict(plan, broken).accepted.message
    assert ids(plan.entries) == ["good"]


# --- who owns an id ---------------------------------------------------------------------------------------------------------------------


def test_loser_of_an_id_conflict_heals_when_the_winner_is_deleted() -> None:
    story = Story()
    winner, loser = connector("winner", connectorID="x"), connector("loser", connectorID="x", url="https://other.example.com/")
    story.plan(winner)
    assert reason(story.plan(winner, loser), loser) == Reason.ID_CONFLICT
    plan = story.plan(loser, deleted=frozenset({winner.uid}))
    assert reason(plan, loser) == Reason.ACCEPTED
    assert content_of(plan.entries["x"])["url"] == "https://other.example.com/"


# --- changed ids ------------------------------------------------------------------------------------------------------------------------


def test_changed_id_is_refused_and_the_old_entry_stays() -> None:
    story = Story(gateway(defaultConnectorID="{namespace}.{name}"))
    story.plan(connector("x"))
    changed = connector("x", generation=2, connectorID="other", description="new")
    plan = story.plan(changed)
    assert reason(plan, changed) == Reason.ID_IMMUTABLE
    assert ids(plan.entries) == ["team-a.x"]
    assert "description" not in content_of(plan.entries["team-a.x"])
    healed = connector("x", generation=3, description="newer")
    assert content_of(story.plan(healed).entries["team-a.x"])["description"] == "newer"


def test_id_of_a_resource_whose_change_of_id_is_refused_stays_its_own() -> None:
    story = Story(gateway(defaultConnectorID="{namespace}.{name}"))
    story.plan(connector("x"))
    changed, taker = connector("x", generation=2, connectorID="other"), connector("taker", connectorID="team-a.x")
    plan = story.plan(changed, taker)
    assert plan.origins["team-a.x"].uid == changed.uid
    assert reason(plan, taker) == Reason.ID_CONFLICT
    assert "team-a/x, which is already published" in verdict(plan, taker).accepted.message


def test_changed_template_is_followed() -> None:
    before = Story()
    resource = connector("x")
    before.plan(resource)
    changed = gateway(defaultConnectorID="{namespace}.{name}")
    after = plan_gateway(changed, inputs(resource), before.published, PlanMemory(), 0.0)
    assert ids(after.entries) == ["team-a.x"]
    assert reason(after, resource) == Reason.ACCEPTED


# --- state, sizes, selectors ------------------------------------------------------------------------------------------------------------


def test_disabled_connector_is_accepted_and_not_in_the_map() -> None:
    story = Story()
    story.plan(connector("x"))
    resource = connector("x", generation=2, state="Disabled", auth=bearer("missing"))
    plan = story.plan(resource)
    assert not plan.entries
    assert verdict(plan, resource).is_disabled
    assert verdict(plan, resource).accepted.ok
    assert verdict(plan, resource).resolved.ok


def test_entry_over_64_kib_is_refused_and_hurts_nobody() -> None:
    names = [f"{number:03d}{'n' * 125}" for number in range(512)]
    large, small = connector("large", tools={"allowed": names, "denied": names}), connector("small")
    plan = Story().plan(large, small)
    assert reason(plan, large) == Reason.TOO_LARGE
    assert "at most 64" in verdict(plan, large).accepted.message
    assert ids(plan.entries) == ["small"]


def test_credentials_that_do_not_fit_refuse_the_newcomer_and_not_the_incumbent() -> None:
    story = Story()
    half = CREDENTIALS_LIMIT // 2 + 1000
    first = connector("first", auth=bearer("s", "a"))
    story.plan(first, secrets=secret("s", a=b"x" * half))
    # One Secret object takes what has the same first digit: many keys of one size make two of them meet.
    keys: Any = {f"k{number}": bytes([65 + number]) * half for number in range(20)}
    others = [connector(f"c{number}", age=9, auth=bearer("s", f"k{number}")) for number in range(20)]
    plan = story.plan(first, *others, secrets=secret("s", a=b"x" * half, **keys))
    reasons = {resource.name: reason(plan, resource) for resource in (first, *others)}
    assert reasons["first"] == Reason.ACCEPTED
    assert set(reasons.values()) == {Reason.ACCEPTED, Reason.CREDENTIALS_TOO_LARGE}
    objects = [credential[0] for credential in plan.credentials]
    assert len(objects) == len(set(objects))


def test_connector_leaves_the_map_of_a_gateway_that_no_longer_selects_it() -> None:
    story = Story(gateway(connectorSelector={"matchLabels": {"a": "b"}}))
    story.plan(connector("x", labels={"a": "b"}))
    assert not story.plan(connector("x")).entries


# --- losses -----------------------------------------------------------------------------------------------------------------------------


def _many(count: int) -> list[Any]:
    return [connector(f"c{number:03d}") for number in range(count)]


def test_mass_loss_is_held_for_sixty_seconds_and_then_followed() -> None:
    story = Story()
    everything = _many(50)
    before = story.plan(*everything)
    held = story.plan(*everything[:1])
    assert held.hold is not None
    assert (held.hold.lost, held.hold.of) == (49, 50)
    assert held.wake_at == story.now + HOLD_SECONDS
    assert held.entries == before.entries
    story.now += HOLD_SECONDS - 1
    assert len(story.plan(*everything[:1]).entries) == 50
    story.now += 1
    after = story.plan(*everything[:1])
    assert ids(after.entries) == ["c000"]
    assert after.hold is None


def test_loss_that_was_held_is_not_held_again_when_publishing_failed() -> None:
    story = Story()
    story.plan(*_many(50))
    story.plan()
    story.now += HOLD_SECONDS
    assert not story.plan(publish=False).entries
    story.now += 1
    assert not story.plan(publish=False).entries


def test_held_connectors_keep_their_credentials() -> None:
    story = Story()
    everything = [connector(f"c{number}", auth=bearer()) for number in range(30)]
    before = story.plan(*everything, secrets=secret(value=b"one"))
    assert story.plan(secrets=secret(value=b"one")).credentials == before.credentials


def test_nothing_is_removed_while_nobody_knows_which_connectors_exist() -> None:
    story = Story()
    everything = _many(3)
    story.plan(*everything)
    plan = story.plan(connectors_known=False, deleted=frozenset({everything[0].uid}))
    assert len(plan.entries) == 3
    assert plan.hold is not None
    assert plan.wake_at is None
    story.now += 10 * HOLD_SECONDS
    assert len(story.plan(connectors_known=False).entries) == 3
    assert not story.plan().entries


# --- the same again ---------------------------------------------------------------------------------------------------------------------


def test_equal_inputs_give_an_equal_plan_whatever_the_order() -> None:
    everything = _many(10)
    one = plan_gateway(gateway(), inputs(*everything), Published(), PlanMemory(), 0.0)
    two = plan_gateway(gateway(), inputs(*reversed(everything)), Published(), PlanMemory(), 99.0)
    assert one.entries == two.entries


def test_plan_of_what_is_published_changes_nothing() -> None:
    resource, story = connector("x", auth=bearer()), Story()
    first = story.plan(resource, secrets=secret(value=b"one"))
    second = story.plan(resource, secrets=secret(value=b"one"))
    assert second.entries == first.entries
    assert second.credentials == first.credentials


def test_configuration_of_several_gateways_plans_each_by_itself() -> None:
    configurations: list[GatewaySpec] = [
        gateway(name="a"),
        gateway(name="b", map="b", idPolicies=[{"pattern": "*", "namespaces": []}]),
    ]
    resource = connector("x")
    reasons = [reason(Story(configuration).plan(resource), resource) for configuration in configurations]
    assert reasons == [Reason.ACCEPTED, Reason.ID_NOT_PERMITTED]


def test_a_cache_changes_no_plan() -> None:
    shared, registries = Story(), registry()
    found = {registries.uid: synced(discovered(server("a"), server("b", key="value")))}
    looks: list[dict[str, Any]] = [
        {"syncs": found},
        {"syncs": found, "secrets": secret(value=b"1")},
        {"secrets": secret(value=b"1")},
        {"syncs": found, "secrets": secret(value=b"2")},
        {"syncs": found},
        {"syncs": found, "secrets": secret(value=b"2")},
    ]
    resources: list[Resource] = [
        registries,
        connector("a", auth=bearer()),
        connector("b"),
        connector("c", connectorID="b"),
        connector("d", url="ftp://x"),
    ]
    for step, look in enumerate(looks * 2):
        present = inputs(*resources[: len(resources) - step % 3], **look)
        shared.now += 100.0
        alone = plan_gateway(shared.gateway, present, shared.published, shared.memory, shared.now)
        with_cache = plan_gateway(shared.gateway, present, shared.published, shared.memory, shared.now, shared.cache)
        assert with_cache == alone
        shared.memory, shared.published = with_cache.memory, published(with_cache)


def test_losing_everything_at_the_start_is_held_whatever_the_number() -> None:
    """As after a restart with a wrong --namespace."""
    story = Story()
    story.plan(connector("a"), connector("b"))
    story.restart()
    story.now = 100.0
    held = story.plan(publish=False)
    assert ids(held.entries) == ["a", "b"]
    assert held.hold is not None
    assert held.wake_at == 100.0 + HOLD_SECONDS
    story.now += HOLD_SECONDS
    assert not story.plan(publish=False).entries
