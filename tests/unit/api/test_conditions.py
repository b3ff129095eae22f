"""Looking up conditions in a status that anybody may have written."""

from typing import Any

import pytest

from junctor.api.conditions import Conditions, ConditionType, StoredCondition, pending_conditions

READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Ready",
    "message": "served",
    "observedGeneration": 3,
    "lastTransitionTime": "2025-01-01T00:00:00Z",
}


def test_a_condition_is_found_by_its_type() -> None:
    conditions = Conditions({"conditions": [{"type": "Accepted", "status": "False"}, READY]})
    assert conditions[ConditionType.READY] == StoredCondition("True", "Ready", "served", 3, "2025-01-01T00:00:00Z")
    assert conditions["Ready"].is_true
    assert not conditions["Accepted"].is_true


@pytest.mark.parametrize("status", [{}, {"conditions": None}, {"conditions": []}, {"conditions": ["text", {"status": "True"}]}])
def test_an_absent_condition_is_unknown(status: dict[str, Any]) -> None:
    assert Conditions(status)["Ready"] == StoredCondition("Unknown", "", "", None, "")


def test_pending_conditions_have_no_generation_because_nobody_observed_one() -> None:
    assert pending_conditions([ConditionType.READY]) == [
        {
            "type": "Ready",
            "status": "Unknown",
            "reason": "Pending",
            "message": "waiting for the operator",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }
    ]
