"""The examples and the README's first steps on a real API server, as a reader would do them."""

import re
import shlex
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml

from tests.cluster.release import render_chart
from tests.cluster.system import System
from tests.support.pages import ROOT, blocks, commands

CONNECTORS = sorted((ROOT / "examples" / "connectors").glob("*.yaml"))


@pytest.fixture
def system(shared_system: System) -> System:
    return shared_system


@pytest.mark.parametrize("file", CONNECTORS, ids=[file.stem for file in CONNECTORS])
def test_example_is_applied_as_it_is_and_becomes_ready(system: System, file: Path) -> None:
    system.control_plane.kubectl("apply", "--namespace", system.team, "--filename", file)
    (connector,) = [body for body in yaml.safe_load_all(file.read_text("utf-8")) if body["kind"] == "MCPConnector"]
    name, spec = connector["metadata"]["name"], connector["spec"]
    system.wait_condition(name, "Accepted", "True")
    system.wait_condition(name, "ResolvedRefs", "True")
    system.wait_ready(name)
    system.wait_served(*([] if spec.get("state") == "Disabled" else [spec.get("connectorID", name)]))


def test_the_registry_example_is_taken_as_it_is(system: System) -> None:
    file = ROOT / "examples" / "registry.yaml"
    answer = system.control_plane.kubectl("apply", "--namespace", system.team, "--dry-run=server", "--filename", file)
    assert "mcpregistry.junctor.dev/internal created" in answer.stdout


def test_the_quota_example_is_taken_and_counts_kinds_that_exist(system: System) -> None:
    file = ROOT / "examples" / "tenant-quota.yaml"
    answer = system.control_plane.kubectl("apply", "--namespace", system.team, "--dry-run=server", "--filename", file)
    assert "resourcequota/junctor created" in answer.stdout
    counted = yaml.safe_load(file.read_text("utf-8"))["spec"]["hard"]
    served = system.control_plane.kubectl("api-resources", "--namespaced", "--output", "name").stdout.split()
    assert {name.removeprefix("count/") for name in counted} <= set(served)


def test_the_readmes_first_connector_step_by_step(system: System, tmp_path: Path) -> None:
    section = list(blocks(ROOT / "README.md"))
    manifest = next(block.text for block in section if block.language == "yaml")
    shown = next(block.text for block in section if block.language == "text")
    found = re.match(r"# (\S+)\n", manifest)
    assert found, "the manifest names its file"
    (tmp_path / found[1]).write_text(manifest)
    steps = [words for block in section if block.language == "sh" for words in commands(block)]
    kubectl = [words[1:] for words in steps if words[0] == "kubectl" and "port-forward" not in words]
    assert [words[0] for words in kubectl] == ["apply", "wait", "get"]
    printed = ""
    for words in kubectl:
        command = [*system.control_plane.kubectl_command(), "--namespace", system.team, *words]
        answer = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True)
        assert answer.returncode == 0, f"kubectl {shlex.join(words)}: {answer.stderr}"
        printed = answer.stdout
    assert [line.split()[:-1] for line in printed.splitlines()] == [line.split()[:-1] for line in shown.splitlines()]
    path = next(httpx.URL(words[1]).path for words in steps if words[0] == "curl" and "/v1/" in words[1])
    for gateway in system.gateways:
        (item,) = httpx.get(f"http://{gateway.address}:8321{path}", trust_env=False, timeout=60).json()["data"]
        assert (item["id"], item["available"]) == ("connector_github", True)


def test_the_values_example_leads_to_the_configuration_example() -> None:
    directory = ROOT / "examples" / "two-gateways"
    objects = render_chart("junctor", yaml.safe_load((directory / "values.yaml").read_text("utf-8")))
    written = next(body["data"]["operator.yaml"] for body in objects if "operator.yaml" in body.get("data", {}))
    rendered, example = yaml.safe_load(written), yaml.safe_load((directory / "operator.yaml").read_text("utf-8"))
    for gateway in (*rendered["gateways"], *example["gateways"]):
        gateway.setdefault("managementPort", 8322)
        gateway.setdefault("defaultConnectorID", "{name}")
    assert rendered == example
