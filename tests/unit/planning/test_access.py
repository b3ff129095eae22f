"""Who may use a connector: from the resource into the map, and what a gateway reads there."""

from typing import Any

import pytest

from junctor.gateway.serving.connector import Connector
from tests.unit.planning.building import Story, bearer, connector, reason, secret

ALICE = {"kind": "User", "name": "alice"}
APP = {"kind": "ServiceAccount", "namespace": "team-a", "name": "app"}
TEAM = {"kind": "Group", "name": "team-a"}


def planned(**spec: Any) -> Any:
    """The entry of a connector."""
    return Story().plan(connector("x", **spec), secrets=secret(value=b"1")).entries["x"]


@pytest.mark.parametrize("access", [None, {}, {"subjects": None}, {"subjects": []}])
def test_without_subjects_there_is_nothing_to_know(access: Any) -> None:
    assert planned(access=access).digest == planned().digest
    assert Connector.of(planned(access=access)).access is None


def test_a_gateway_reads_who_is_named() -> None:
    entry = planned(access={"subjects": [ALICE, APP, TEAM]})
    assert Connector.of(entry).access == frozenset([("User", "", "alice"), ("ServiceAccount", "team-a", "app"), ("Group", "", "team-a")])
    assert Connector.of(entry).unavailable == ""


def test_a_gateway_that_knows_nothing_of_access_does_not_call_it(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = planned(access={"subjects": [ALICE]})
    monkeypatch.setattr("junctor.connectormap.view.FEATURES", frozenset({"mcp/1"}))
    assert entry.view.unknown_features == ["access/1"]


def test_the_order_of_subjects_is_no_change() -> None:
    one, other = [ALICE, APP, TEAM, ALICE | {"name": "bob"}], [TEAM, ALICE | {"name": "bob"}, ALICE | {"namespace": None}, APP]
    assert planned(access={"subjects": one}).digest == planned(access={"subjects": other}).digest


def test_a_connector_whose_secret_is_missing_stays_hidden() -> None:
    entry = planned(access={"subjects": [ALICE]}, auth=bearer("missing"))
    assert (Connector.of(entry).unavailable, Connector.of(entry).access) == ("SecretNotFound", frozenset([("User", "", "alice")]))


def test_a_subject_with_an_unknown_field_is_refused() -> None:
    resource = connector("x", access={"subjects": [ALICE | {"until": "2026"}]})
    plan = Story().plan(resource)
    assert reason(plan, resource) == "UnsupportedField"
    assert not plan.entries
