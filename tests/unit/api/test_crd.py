from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tools.generate import generated_files, helm_template, main

from junctor.api.conditions import ConditionType, Reason, SkipReason
from junctor.api.crd import crd_of, schema_of
from junctor.api.kinds import CONNECTOR, KINDS, REGISTRY, ResourceKind
from junctor.api.reasons import CONDITION_MEANING, PERMANENT, REASONS, SKIP_REASONS, reasons_of

_ROOT = Path(__file__).parents[3]


def _nodes(path: str, node: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    if "items" in node:
        yield from _nodes(f"{path}[]", node["items"])
    for name, child in node.get("properties", {}).items():
        yield from _nodes(f"{path}.{name}", child)


NODES = [
    (path, node)
    for kind in KINDS
    for path, node in _nodes(kind.kind, schema_of(kind))
    if path.removeprefix(kind.kind) not in ("", ".metadata", ".apiVersion", ".kind")
]


def test_every_string_and_list_has_a_bound() -> None:
    unbound = [
        path
        for path, node in NODES
        if (node["type"] == "string" and not node.keys() & {"maxLength", "enum", "format"})
        or (node["type"] == "array" and "maxItems" not in node)
    ]
    assert unbound == []


def test_every_field_has_a_description() -> None:
    assert [path for path, node in NODES if not path.endswith("[]") and not node.get("description")] == []


def test_every_list_says_how_it_merges() -> None:
    assert [path for path, node in NODES if node["type"] == "array" and "x-kubernetes-list-type" not in node] == []


def test_the_schema_is_structural_and_without_defaults_in_the_spec() -> None:
    assert [path for path, node in NODES if node.keys() & {"anyOf", "oneOf", "$ref", "nullable", "title"}] == []
    assert [path for path, node in NODES if "default" in node] == [f"{kind.kind}.status" for kind in KINDS]


@pytest.mark.parametrize(
    ("kind", "conditions"),
    [
        (CONNECTOR, ["Accepted", "ResolvedRefs", "Programmed", "Ready"]),
        (REGISTRY, ["Accepted", "ResolvedRefs", "Synced", "Programmed", "Ready"]),
    ],
    ids=["MCPConnector", "MCPRegistry"],
)
def test_the_default_is_on_the_status_object_itself(kind: ResourceKind, conditions: list[str]) -> None:
    default = schema_of(kind)["properties"]["status"]["default"]
    assert [(c["type"], c["status"], c["reason"]) for c in default["conditions"]] == [(name, "Unknown", "Pending") for name in conditions]


def test_rules_say_which_field_they_blame() -> None:
    for path, node in NODES:
        for rule in node.get("x-kubernetes-validations", ()):
            blamed = rule.get("fieldPath", "").removeprefix(".")
            assert not blamed or blamed in node["properties"], f"{path}: {rule['message']}"


@pytest.mark.parametrize(("name", "kind"), [("mcpconnectors", CONNECTOR), ("mcpregistries", REGISTRY)])
def test_a_generated_crd_is_what_the_models_say(name: str, kind: ResourceKind) -> None:
    assert yaml.safe_load(generated_files()[f"crds/{name}.junctor.dev.yaml"]) == crd_of(kind)


def test_nothing_has_drifted() -> None:
    assert main(["--check"]) == 0, "run `make crds`"


def test_check_names_what_drifted_and_how_to_mend_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    (tmp_path / "docs/conditions.md").write_text("edited by hand")
    capsys.readouterr()
    assert main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err == "not what the models say: docs/conditions.md; run `make crds`\n"


def test_the_chart_template_is_the_crds_behind_two_switches() -> None:
    crds = [crd_of(kind) for kind in KINDS]
    template = helm_template(crds)
    lines = [line for line in template.splitlines() if "{{" not in line]
    bodies = list(yaml.safe_load_all("\n".join(lines)))
    assert [body["metadata"].pop("annotations") for body in bodies] == [{"helm.sh/resource-policy": "keep"}] * len(crds)
    assert bodies == crds
    assert template.count("{{- if .Values.crds.install }}") == 1
    assert template.count("{{- if .Values.crds.keep }}") == len(crds)


def test_braces_in_a_description_do_not_reach_helm() -> None:
    template = helm_template([{"metadata": {"name": "x"}, "description": "use {{ name }}"}])
    assert 'use {{ "{{" }} name {{ "}}" }}' in template


def test_every_reason_belongs_to_a_condition_and_is_explained() -> None:
    assert set(REASONS) == set(Reason)
    assert {reason for kind in ConditionType for reason in reasons_of(kind)} == set(REASONS)
    assert set(CONDITION_MEANING) == set(ConditionType)
    page = generated_files()["docs/conditions.md"]
    assert all(f"| `{reason}` |" in page for reason in REASONS)


def test_stalled_carries_the_permanent_reasons_of_accepted() -> None:
    assert set(reasons_of(ConditionType.STALLED)) == PERMANENT
    assert set(reasons_of(ConditionType.ACCEPTED)) > PERMANENT


def test_every_skip_reason_is_explained() -> None:
    assert set(SKIP_REASONS) == set(SkipReason)
    section = generated_files()["docs/conditions.md"].partition("## Skipped servers")[2]
    assert all(f"| `{reason}` |" in section for reason in SkipReason)
