"""The steps select and claim: which resources a gateway is responsible for, and which of them owns an id."""

from typing import Any

import pytest

from junctor.api.conditions import Reason
from junctor.api.resources import Resource
from junctor.connectormap.view import Origin
from junctor.planning.acceptance import refused
from junctor.planning.claim import Claims, Judgement, claim, select
from junctor.planning.inputs import Published
from junctor.planning.quarantine import Quarantine
from tests.unit.planning.building import connector, gateway, inputs, registry

EU = connector("eu", namespace="eu", labels={"tier": "gold"})
US = connector("us", namespace="us", labels={"tier": "silver"})
NAMESPACES = {"eu": {"region": "eu"}, "us": {"region": "us"}}


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        ({}, ["eu", "us"]),
        ({"connectorSelector": {"matchLabels": {"tier": "gold"}}}, ["eu"]),
        ({"connectorSelector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}}, ["eu", "us"]),
        ({"connectorSelector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]}}, ["us"]),
        ({"namespaceSelector": {"matchLabels": {"region": "us"}}}, ["us"]),
        ({"namespaceSelector": {"matchLabels": {"region": "us"}}, "connectorSelector": {"matchLabels": {"tier": "gold"}}}, []),
        ({"namespaceSelector": {"matchExpressions": [{"key": "region", "operator": "DoesNotExist"}]}}, []),
    ],
)
def test_each_gateway_selects_its_own_connectors(selectors: dict[str, Any], expected: list[str]) -> None:
    selected = select(gateway(**selectors), inputs(EU, US, namespaces=NAMESPACES))
    assert sorted(resource.name for resource in selected.values()) == expected
    assert all(selected[resource.uid] is resource for resource in selected.values())


@pytest.mark.parametrize(
    ("selector", "is_selected"),
    [
        ({}, True),
        ({"matchLabels": {"region": "eu"}}, False),
        ({"matchExpressions": [{"key": "region", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_unknown_namespace_matches_only_a_selector_without_requirements(selector: dict[str, Any], is_selected: bool) -> None:
    assert (EU.uid in select(gateway(namespaceSelector=selector), inputs(EU))) is is_selected


def test_registries_are_selected_like_connectors() -> None:
    gold, silver = registry("gold", labels={"tier": "gold"}), registry("silver")
    assert list(select(gateway(connectorSelector={"matchLabels": {"tier": "gold"}}), inputs(gold, silver))) == [gold.uid]


def claims_on(connector_id: str, *resources: Resource, published: Published | None = None) -> Claims:
    """The claims of acceptable resources that all ask for one id."""
    judgements = {resource.uid: Judgement(None, connector_id) for resource in resources}
    return claim({resource.uid: resource for resource in resources}, judgements, Quarantine(gateway(), published or Published()))


def published_as(connector_id: str, resource: Resource) -> Published:
    """A map in which a resource owns an id."""
    return Published(origins={connector_id: Origin(resource.kind, resource.namespace, resource.name, resource.uid, resource.generation)})


OLD, YOUNG = connector("old", age=5), connector("young", age=1)
FIRST_UID, SECOND_UID = connector("b", uid="1"), connector("a", uid="2")


@pytest.mark.parametrize(
    ("incumbent", "winner", "loser", "why"),
    [
        (None, OLD, YOUNG, "belongs to team-a/old, which is older"),
        (None, FIRST_UID, SECOND_UID, "belongs to team-a/b, which is older"),
        (YOUNG, YOUNG, OLD, "belongs to team-a/young, which is already published"),
        (OLD, OLD, YOUNG, "belongs to team-a/old, which is already published"),
        (SECOND_UID, SECOND_UID, FIRST_UID, "belongs to team-a/a, which is already published"),
        (connector("deleted"), OLD, YOUNG, "belongs to team-a/old, which is older"),
    ],
    ids=["oldest", "smaller-uid", "incumbent", "older-incumbent", "incumbent-of-equal-age", "incumbent-was-deleted"],
)
@pytest.mark.parametrize("order", [1, -1])
def test_id_belongs_to_its_incumbent_else_the_oldest_else_the_smallest_uid(
    incumbent: Resource | None, winner: Resource, loser: Resource, why: str, order: int
) -> None:
    published = published_as("x", incumbent) if incumbent else None
    claims = claims_on("x", *(winner, loser)[::order], published=published)
    assert claims.winners == {winner.uid: winner}
    refusal = claims.refusals[loser.uid]
    assert (refusal.id, refusal.accepted.reason, refusal.entry) == ("x", Reason.ID_CONFLICT, None)
    assert why in refusal.accepted.message


def test_refused_resource_owns_no_id_even_if_it_is_the_oldest() -> None:
    refusal = refused(Reason.ID_NOT_PERMITTED, "an id policy reserves it")
    judgements = {OLD.uid: Judgement(refusal, "x"), YOUNG.uid: Judgement(None, "x")}
    claims = claim({OLD.uid: OLD, YOUNG.uid: YOUNG}, judgements, Quarantine(gateway(), Published()))
    assert claims.winners == {YOUNG.uid: YOUNG}
    assert claims.refusals[OLD.uid].accepted is refusal
    assert claims.kept_ids == ()


PUBLISHED = connector("x", generation=1)


@pytest.mark.parametrize(
    ("connector_id", "generation", "is_refused"),
    [("before", 1, False), ("before", 2, False), ("after", 1, False), ("after", 2, True)],
    ids=["unchanged", "another-field-changed", "template-changed", "id-changed"],
)
def test_change_of_an_id_is_refused_unless_the_template_changed(connector_id: str, generation: int, is_refused: bool) -> None:
    claims = claims_on(connector_id, connector("x", generation=generation), published=published_as("before", PUBLISHED))
    assert (PUBLISHED.uid in claims.winners) is not is_refused
    assert claims.kept_ids == (("before",) if is_refused else ())
    if is_refused:
        accepted = claims.refusals[PUBLISHED.uid].accepted
        assert accepted.reason is Reason.ID_IMMUTABLE
        assert "from 'before' to 'after'; restore it" in accepted.message


def test_id_of_a_resource_whose_change_of_id_is_refused_stays_its_own() -> None:
    changed, taker = connector("x", generation=2), connector("taker", age=9)
    judgements = {changed.uid: Judgement(None, "after"), taker.uid: Judgement(None, "before")}
    claims = claim({changed.uid: changed, taker.uid: taker}, judgements, Quarantine(gateway(), published_as("before", PUBLISHED)))
    assert (dict(claims.winners), claims.kept_ids) == ({}, ("before",))
    assert "team-a/x, which is already published" in claims.refusals[taker.uid].accepted.message
