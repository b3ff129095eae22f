"""The operator's permissions in the chart: Secrets of the whole cluster only where the values say so, and how installations say it."""

from itertools import pairwise
from typing import Any

import pytest

from junctor.api.names import CONNECTOR_CRD, REGISTRY_CRD
from tests.cluster.api import Object
from tests.cluster.release import CHART, EVERYBODY, RELEASE, HelmFailed, deployments, helm, render_chart
from tests.cluster.tools import kubernetes_version
from tests.support.pages import ROOT, blocks, commands

NEITHER = (
    "operator: nobody said which namespaces the operator serves; set operator.namespaces to their names (recommended: it may read the "
    "Secrets of these and of its own namespace) or operator.allNamespaces to true (it may read every Secret of the cluster)"
)
BOTH = "operator: namespaces and allNamespaces are both set; remove allNamespaces"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
INSTALLATIONS = [
    pytest.param(words[3:], id=f"{block}")
    for page in PAGES
    for block in blocks(page)
    if block.language == "sh"
    for words in commands(block)
    if words[0] == "helm" and words[3:4] == ["charts/junctor"]
]


def with_operator(**operator: Any) -> dict[str, Any]:
    return {**EVERYBODY, "operator": operator}


def readers_of_secrets(objects: list[Object]) -> set[tuple[str, str | None]]:
    """Kind and namespace of the roles that list Secrets; a ClusterRole has no namespace."""
    roles = [body for body in objects if body["kind"] in ("ClusterRole", "Role")]
    return {
        (role["kind"], role["metadata"].get("namespace"))
        for role in roles
        if any("secrets" in rule["resources"] and "list" in rule["verbs"] for rule in role["rules"])
    }


def operator_namespaces(objects: list[Object]) -> list[str]:
    """The --namespace options of the operator."""
    arguments = [body["spec"]["template"]["spec"]["containers"][0]["args"] for body in deployments(objects)]
    (found,) = [options for options in arguments if options[0] == "operator"]
    return [option.removeprefix("--namespace=") for option in found if option.startswith("--namespace=")]


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        ({}, NEITHER),
        ({"namespaces": [], "allNamespaces": False}, NEITHER),
        ({"namespaces": None, "allNamespaces": None}, NEITHER),
        ({"namespaces": ["team-a"], "allNamespaces": True}, BOTH),
        ({"allNamespaces": "yes"}, "at '/operator/allNamespaces': got string, want boolean"),
    ],
    ids=["neither", "both empty", "both removed", "both", "no boolean"],
)
def test_an_installation_says_which_namespaces_it_serves(operator: Any, message: str) -> None:
    with pytest.raises(HelmFailed) as caught:
        render_chart("somewhere", with_operator(**operator))
    assert message in str(caught.value)


def test_a_namespaced_installation_reads_nothing_of_the_cluster_but_the_crds() -> None:
    objects = render_chart("somewhere", with_operator(namespaces=["team-a", "somewhere"]))

    assert [rule for body in objects if body["kind"] == "ClusterRole" for rule in body["rules"]] == [
        {
            "apiGroups": ["apiextensions.k8s.io"],
            "resources": ["customresourcedefinitions"],
            "resourceNames": [CONNECTOR_CRD, REGISTRY_CRD],
            "verbs": ["get"],
        }
    ]
    assert readers_of_secrets(objects) == {("Role", "team-a"), ("Role", "somewhere")}
    assert operator_namespaces(objects) == ["team-a", "somewhere"]


@pytest.mark.parametrize("namespaces", [[], None], ids=["empty", "removed"])
def test_an_installation_for_all_namespaces_reads_every_secret(namespaces: Any) -> None:
    objects = render_chart("somewhere", with_operator(namespaces=namespaces, allNamespaces=True))

    assert readers_of_secrets(objects) == {("ClusterRole", None)}
    assert operator_namespaces(objects) == []


@pytest.mark.parametrize("words", INSTALLATIONS)
def test_the_installations_of_the_pages_are_taken_and_narrow(words: list[str]) -> None:
    options = [option for option in words[1:] if option != "--create-namespace"]
    objects = helm("template", RELEASE, CHART, "--kube-version", kubernetes_version(), *options)
    assert objects
    settings = [setting for flag, setting in pairwise(words) if flag == "--set"]
    assert any(setting.startswith("operator.namespaces={") for setting in settings)


def test_the_pages_show_installations() -> None:
    assert {str(words.id).partition(":")[0] for words in INSTALLATIONS} == {"README.md", "docs/install.md"}
