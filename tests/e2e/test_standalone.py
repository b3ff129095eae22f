"""`junctor standalone` as a user runs it: a real process, real files, real HTTP."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from tests.support.running_standalone import Running, Standalone
from tests.unit.cli.running import run

DEADLINE = 60.0


def manifest(name: str, *, namespace: str = "team-a", **spec: str) -> str:
    lines = "".join(f"  {key}: {value}\n" for key, value in ({"url": "https://mcp.example.com/mcp"} | spec).items())
    return f"apiVersion: junctor.dev/v1alpha1\nkind: MCPConnector\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n{lines}"


def junctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "junctor.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_connector_is_applied_changed_and_removed_without_a_restart(running: Running) -> None:
    path = running.write("x.yaml", manifest("x", description="one"))
    running.until(lambda: "x" in running.catalog())
    running.until(lambda: running.ready("x"))
    running.write("x.yaml", manifest("x", description="two"))
    running.until(lambda: running.catalog()["x"]["description"] == "two")
    running.until(lambda: running.condition("x", "Ready").get("observedGeneration") == 2)
    path.unlink()
    running.until(lambda: not running.catalog())


def test_everything_is_served_from_the_moment_in_which_it_says_that_it_listens(tmp_path: Path) -> None:
    directory = tmp_path / "connectors"
    directory.mkdir()
    (directory / "all.yaml").write_text("---\n".join(manifest(f"c{number}") for number in range(500)))
    with Standalone(directory, tmp_path / "log") as standalone:
        assert httpx.get(f"{standalone.url}/v1/connectors/c499", trust_env=False, timeout=60).status_code == 200


def test_broken_file_keeps_its_last_good_content_and_hurts_nobody(running: Running) -> None:
    running.write("x.yaml", manifest("x", description="good"))
    running.until(lambda: "x" in running.catalog())
    running.write("x.yaml", manifest("x", description="good") + "  title: [not closed\n")
    running.until(running.problems)
    (problem,) = running.problems()
    assert problem.startswith("x.yaml:")
    assert ":None" not in problem
    running.write("other.yaml", manifest("other"))
    running.until(lambda: "other" in running.catalog())
    assert running.catalog()["x"]["description"] == "good"
    running.write("x.yaml", manifest("x", description="better"))
    running.until(lambda: running.catalog()["x"]["description"] == "better")
    running.until(lambda: not running.problems())


def test_object_that_kubectl_would_refuse_keeps_its_last_good_version(running: Running) -> None:
    running.write("x.yaml", manifest("x"))
    running.until(lambda: "x" in running.catalog())
    running.write("x.yaml", manifest("x", url="ftp://mcp.example.com"))
    running.until(running.problems)
    assert "spec.url" in running.problems()[0]
    assert running.catalog()["x"]["server_url"] == "https://mcp.example.com"


def test_id_cannot_be_changed(running: Running) -> None:
    running.write("x.yaml", manifest("x"))
    running.until(lambda: running.ready("x"))
    running.write("x.yaml", manifest("x", connectorID="other"))
    running.until(running.problems)
    assert "the connector id cannot be changed, set or removed later" in running.problems()[0]
    assert list(running.catalog()) == ["x"]


def test_conflict_heals_when_the_winner_goes(running: Running) -> None:
    winner = running.write("a.yaml", manifest("a", connectorID="x"))
    running.until(lambda: running.ready("a"))
    running.write("b.yaml", manifest("b", connectorID="x", url="https://b.example.com/"))
    running.until(lambda: running.condition("b", "Accepted").get("reason") == "IDConflict")
    assert "team-a/a" in running.condition("b", "Accepted")["message"]
    winner.unlink()
    running.until(lambda: running.ready("b"))
    assert running.catalog()["x"]["server_url"] == "https://b.example.com"


def test_secret_makes_a_connector_ready_and_its_value_is_shown_nowhere(running: Running) -> None:
    running.write("x.yaml", manifest("x", auth="{bearer: {secretKeyRef: {name: token, key: value}}}"))
    running.until(lambda: running.condition("x", "ResolvedRefs").get("reason") == "SecretNotFound")
    labels = '{junctor.dev/credentials: "true"}'
    metadata = f"metadata: {{name: token, namespace: team-a, labels: {labels}}}"
    running.write("sub/s.yaml", f"apiVersion: v1\nkind: Secret\n{metadata}\nstringData: {{value: s3cret-value}}\n")
    running.until(lambda: running.ready("x"))
    shown = running.client.get(f"{running.standalone.management}/-/resources").text + str(running.catalog()) + running.standalone.log()
    assert "s3cret-value" not in shown
    assert "czNjcmV0LXZhbHVl" not in shown


def test_directory_that_vanishes_is_not_an_empty_one(running: Running) -> None:
    running.write("x.yaml", manifest("x"))
    running.until(lambda: "x" in running.catalog())
    away = running.directory.with_name("away")
    running.directory.rename(away)
    running.until(running.problems)
    assert "x" in running.catalog()
    away.rename(running.directory)
    running.until(lambda: not running.problems())
    running.write("other.yaml", manifest("other"))
    running.until(lambda: "other" in running.catalog())


def test_status_shows_what_is_wrong_and_what_to_do(running: Running) -> None:
    running.write("x.yaml", manifest("x"))
    running.until(lambda: running.ready("x"))
    running.write("bad.yaml", "a: [\n")
    running.until(running.problems)
    result = run("status", "--management", running.standalone.management, "-o", "wide")
    assert result.code == 0, result.stderr
    header, row, *rest = result.stdout.splitlines()
    assert header.split() == ["NAMESPACE", "NAME", "ID", "URL", "ACCEPTED", "PROGRAMMED", "READY", "AGE", "MESSAGE"]
    assert row.split()[:7] == ["team-a", "x", "x", "https://mcp.example.com/mcp", "True", "True", "True"]
    assert any("bad.yaml:" in line for line in rest)
    objects = yaml.safe_load(run("status", "--management", running.standalone.management, "-o", "yaml").stdout)
    assert [(item["kind"], item["metadata"]["name"], item["status"]["connectorID"]) for item in objects["items"]] == [
        ("MCPConnector", "x", "x")
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_with_exit_code_0(own_running: Running, number: signal.Signals) -> None:
    own_running.write("x.yaml", manifest("x"))
    own_running.until(lambda: own_running.ready("x"))
    os.kill(own_running.standalone.pid, number)
    assert own_running.standalone.wait(DEADLINE) == 0


def test_port_that_is_taken_is_one_clear_line(running: Running) -> None:
    port = str(httpx.URL(running.standalone.url).port)
    result = junctor("standalone", "--manifests", str(running.directory), "--port", port, "--management-port", "0", "--log-level", "error")
    assert result.returncode == 1
    assert result.stderr.startswith("junctor: cannot listen on 127.0.0.1 port")
    assert len(result.stderr.splitlines()) == 1
