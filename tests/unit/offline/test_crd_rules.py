"""The same cases that the API server judges (tests/cluster/crd), judged by the Python twin of the rules."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from junctor.api.base import ApiModel, Rule
from junctor.api.kinds import BY_NAME, KINDS, ResourceKind
from junctor.api.resources import ConnectorResource, RegistryResource, StoredResource
from junctor.offline.manifests import parse_manifests
from tests.cluster.crd_cases import Case, accepted, refused

READERS: dict[str, Callable[[dict[str, Any]], StoredResource[Any]]] = {
    "MCPConnector": ConnectorResource.of,
    "MCPRegistry": RegistryResource.of,
}


@pytest.mark.parametrize("case", refused())
def test_python_refuses_with_the_same_message_at_the_same_field(case: Case) -> None:
    assert f"{case.field}: {case.offline}" in _problems(case)


@pytest.mark.parametrize("case", accepted())
def test_python_accepts_what_the_api_server_accepts(case: Case) -> None:
    assert _problems(case) == []


@pytest.mark.parametrize("case", [param for param in refused() if len(param.values[0].objects) == 1])
def test_manifests_are_refused_with_the_same_message(case: Case) -> None:
    _, problems, _ = parse_manifests(json.dumps(case.objects[0]), "connector.yaml")
    assert any(problem.message.endswith(f"{case.field}: {case.offline}") for problem in problems)


@pytest.mark.parametrize("case", accepted())
def test_manifests_are_accepted_alike(case: Case) -> None:
    for body in case.objects:
        manifests, problems, _ = parse_manifests(json.dumps(body), "connector.yaml")
        assert problems == []
        assert [manifest.body["metadata"]["name"] for manifest in manifests] == [body["metadata"]["name"]]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_rule_has_a_case(kind: ResourceKind) -> None:
    tested = {param.values[0].expect for param in refused()}
    untested = [rule.message for rule in (*kind.rules, *_rules_of(kind.spec)) if rule.message not in tested]
    assert untested == [], "write a file in tests/cluster/crd for each"


def test_every_rule_of_one_object_is_reported_at_once() -> None:
    spec = {"url": "http://u:p@mcp.example.com/mcp", "connectorID": "a b"}
    problems = ConnectorResource.of({"metadata": {"name": "a", "uid": "u"}, "spec": spec}).problems
    assert [problem.split(":")[0] for problem in problems] == ["spec.url", "spec.connectorID"]


def _problems(case: Case) -> list[str]:
    kind = BY_NAME[case.kind]
    problems: list[str] = []
    for body in case.objects:
        stored = {**body, "metadata": {**body["metadata"], "uid": "1"}}
        problems += READERS[case.kind](stored).problems
    ids = [kind.id_of(body["spec"], body["metadata"]["name"]) for body in case.objects]
    if len(set(ids)) > 1:
        problems.append(f"spec.{kind.id_field}: {kind.id_immutable}")
    for body in case.objects:
        problems += [f"{rule.field}: {rule.message}" for rule in kind.rules if rule.check is not None and not rule.check(body)]
    return problems


def _rules_of(model: type[ApiModel]) -> list[Rule]:
    rules = list(model.rules)
    for field in model.model_fields.values():
        for nested in _models_in(field.annotation):
            rules += _rules_of(nested)
    return rules


def _models_in(annotation: Any) -> list[type[ApiModel]]:
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]
