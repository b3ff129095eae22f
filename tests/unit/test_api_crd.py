from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from junctor.api.conditions import REASONS, ConditionType
from junctor.api.crd import connector_crd, connector_schema
from junctor.api.generate import CARRIED_BY, generated_files, helm_template, main
from junctor.planning.statuses import PERMANENT

_ROOT = Path(__file__).parents[2]


def _nodes(path: str, node: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    if "items" in node:
        yield from _nodes(f"{path}[]", node["items"])
    for name, child in node.get("properties", {}).items():
        yield from _nodes(f"{path}.{name}", child)


NODES = [(path, node) for path, node in _nodes("", connector_schema()) if path not in ("", ".metadata", ".apiVersion", ".kind")]


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
    assert [path for path, node in NODES if "default" in node] == [".status"]


def test_the_default_is_on_the_status_object_itself() -> None:
    default = connector_schema()["properties"]["status"]["default"]
    assert [(c["type"], c["status"], c["reason"]) for c in default["conditions"]] == [
        (kind, "Unknown", "Pending") for kind in ("Accepted", "ResolvedRefs", "Programmed", "Ready")
    ]


def test_rules_say_which_field_they_blame() -> None:
    for path, node in NODES:
        for rule in node.get("x-kubernetes-validations", ()):
            blamed = rule.get("fieldPath", "").removeprefix(".")
            assert not blamed or blamed in node["properties"], f"{path}: {rule['message']}"


def test_the_generated_crd_is_what_the_models_say() -> None:
    text = generated_files()["crds/mcpconnectors.junctor.dev.yaml"]
    assert yaml.safe_load(text) == connector_crd()
    assert main(["--check"]) == 0, "run `make crds`"


def test_check_names_what_drifted_and_how_to_mend_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    (tmp_path / "docs/conditions.md").write_text("edited by hand")
    capsys.readouterr()
    assert main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err == "not what the models say: docs/conditions.md; run `make crds`\n"


def test_the_chart_template_is_the_crd_behind_two_switches() -> None:
    template = helm_template(connector_crd())
    lines = [line for line in template.splitlines() if "{{" not in line]
    body = yaml.safe_load("\n".join(lines))
    assert body["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert body == connector_crd()
    assert "{{- if .Values.crds.install }}" in template
    assert "{{- if .Values.crds.keep }}" in template


def test_braces_in_a_description_do_not_reach_helm() -> None:
    template = helm_template({"metadata": {"name": "x"}, "description": "use {{ name }}"})
    assert 'use {{ "{{" }} name {{ "}}" }}' in template


def test_every_reason_belongs_to_a_condition_and_is_explained() -> None:
    carried = {reason for reasons in CARRIED_BY.values() for reason in reasons}
    assert carried == set(REASONS)
    assert set(CARRIED_BY) == set(ConditionType)
    assert set(CARRIED_BY[ConditionType.STALLED]) == PERMANENT
    page = generated_files()["docs/conditions.md"]
    assert all(f"| `{reason}` |" in page for reason in REASONS)
