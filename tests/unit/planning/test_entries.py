"""The policy of a resource gets into its entry, whichever of its fields is set."""

from dataclasses import fields, replace
from typing import Any, Final

import pytest

from junctor.api.resources import RegistryResource
from junctor.connectormap.policy import Policy
from junctor.connectormap.view import EntryView
from junctor.planning.entries import registry_entry_of
from tests.unit.planning.building import Story, connector

#: By field of a policy: a section of a spec that, alone, changes this field.
ALONE: Final[dict[str, dict[str, Any]]] = {
    "caller_authorization": {"callerAuthorization": "Forbid"},
    "tools": {"tools": {"readOnly": True}},
    "approval": {"approval": {"mode": "Always"}},
    "limits": {"limits": {"callTimeoutSeconds": 7}},
    "caller_headers": {"callerHeaders": ["X-Tenant"]},
}
FIELDS: Final = [field.name for field in fields(Policy)]


def template(section: dict[str, Any]) -> EntryView:
    spec = {"url": "https://registry.example.com", "connectorTemplate": section}
    body = {"metadata": {"name": "internal", "namespace": "team-a", "uid": "u", "generation": 1}, "spec": spec}
    return registry_entry_of(RegistryResource.of(body), "mcp::internal").view


@pytest.mark.parametrize("name", FIELDS)
def test_a_section_that_is_used_alone_takes_effect(name: str) -> None:
    policy = Story().plan(connector("x", **ALONE[name])).entries["x"].view.policy
    assert template(ALONE[name]).policy == policy
    assert getattr(policy, name) != getattr(Policy(), name)
    assert replace(policy, **{name: getattr(Policy(), name)}) == Policy()


@pytest.mark.parametrize("name", FIELDS)
def test_an_entry_with_any_field_of_a_policy_does_not_inherit_the_policy_of_its_registry(name: str) -> None:
    for field, value in template(ALONE[name]).policy.to_json().items():
        assert EntryView({field: value}).has_policy, field
