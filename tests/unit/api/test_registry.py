from typing import Any

import pytest

from junctor.api.names import ACCEPT_SHRINK_ANNOTATION, SYNC_REQUESTED_ANNOTATION
from junctor.api.registry import MCPRegistrySpec, effective_registry_id
from junctor.api.resources import RegistryResource
from junctor.connectormap.ids import discovered_id, discovered_parts


def ref(name: str) -> dict[str, Any]:
    return {"secretKeyRef": {"name": name, "key": "value"}}


def stored(spec: Any, **metadata: Any) -> RegistryResource:
    return RegistryResource.of({"metadata": {"namespace": "team-a", "name": "internal", "uid": "u", **metadata}, "spec": spec})


def test_secret_references_come_with_their_places() -> None:
    spec = MCPRegistrySpec.model_validate(
        {
            "url": "https://registry.example.com",
            "headers": [{"name": "X-Team", "value": "a"}, {"name": "X-Key", "valueFrom": ref("a")}],
            "auth": {"bearer": ref("b")},
            "credentials": [
                {"servers": ["*"], "hosts": ["a.example.com"], "headers": [{"name": "X-Key", "valueFrom": ref("c")}]},
                {
                    "servers": ["*"],
                    "hosts": ["b.example.com"],
                    "auth": {"bearer": ref("d")},
                    "variables": [{"name": "tenant", "value": "blue"}, {"name": "key", "valueFrom": ref("e")}],
                },
            ],
        }
    )
    assert [(found.place, found.ref.name) for found in spec.secret_refs()] == [
        ("headers[1]", "a"),
        ("auth.bearer", "b"),
        ("credentials[0].headers[0]", "c"),
        ("credentials[1].auth.bearer", "d"),
        ("credentials[1].variables[1]", "e"),
    ]


@pytest.mark.parametrize(("spec", "expected"), [({"registryID": "public"}, "public"), ({}, "internal"), ({"registryID": 5}, "internal")])
def test_the_id_is_the_name_unless_the_spec_has_one(spec: dict[str, Any], expected: str) -> None:
    assert effective_registry_id(spec, "internal") == expected


@pytest.mark.parametrize("name", ["io.github.acme/weather", "Acme/Weather", "odd::name/x"])
def test_the_id_of_a_discovered_server_can_be_taken_apart(name: str) -> None:
    assert discovered_parts(discovered_id("internal", name)) == ("internal", name)


@pytest.mark.parametrize(
    "connector_id", ["github", "mcp::internal", "mcp::internal::", "mcp::::a/b", "mcp::Internal::a/b", "internal::a/b"]
)
def test_other_ids_belong_to_no_registry(connector_id: str) -> None:
    assert discovered_parts(connector_id) is None


def test_a_stored_registry_keeps_the_annotations_that_matter() -> None:
    annotations = {SYNC_REQUESTED_ANNOTATION: "1", ACCEPT_SHRINK_ANNOTATION: "sha256:0", "example.com/other": "x"}
    resource = stored({"url": "https://registry.example.com"}, annotations=annotations)
    assert resource.annotations == {SYNC_REQUESTED_ANNOTATION: "1", ACCEPT_SHRINK_ANNOTATION: "sha256:0"}
    assert stored({"url": "https://registry.example.com"}, annotations=None).annotations == {}


def test_what_is_wrong_with_a_stored_registry_is_kept_beside_it() -> None:
    resource = stored({"url": "registry", "sync": {"pageSize": 0}})
    assert resource.spec is None
    assert [problem.split(":")[0] for problem in resource.problems] == ["spec.sync.pageSize"]
    assert str(resource) == "team-a/internal"


def test_unknown_fields_are_policy_unless_they_only_describe() -> None:
    spec = {"url": "https://registry.example.com", "filter": {"signedOnly": True}, "credentials": [], "displayName": "x"}
    resource = stored(spec)
    assert (resource.unsupported, resource.ignored) == (("spec.filter.signedOnly",), ("spec.displayName",))
