"""What `junctor status` prints."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from junctor.cli import status
from junctor.cli.status import report
from junctor.standalone import resources
from tests.unit.cli.running import run

NOW = datetime(2025, 1, 10, tzinfo=UTC)


def resource(
    name: str, *, ready: str = "True", message: str = "served by 1 of 1 pods", created: str = "2025-01-09T23:59:00Z"
) -> dict[str, Any]:
    conditions = [
        {"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""},
        {"type": "Programmed", "status": "True", "reason": "Programmed", "message": ""},
        {"type": "Ready", "status": ready, "reason": "Reason", "message": message},
    ]
    return {
        "kind": "MCPConnector",
        "metadata": {"namespace": "team-a", "name": name, "creationTimestamp": created},
        "spec": {"url": "https://a.example/"},
        "status": {"connectorID": f"id-{name}", "conditions": conditions},
    }


def lines(*resources: Mapping[str, Any], problems: tuple[Mapping[str, Any], ...] = (), wide: bool = False) -> list[str]:
    answer: Any = {"manifests": "/m", "resources": list(resources), "problems": list(problems), "events": []}
    return list(report(answer, wide=wide, now=NOW))


def test_connectors_are_a_table() -> None:
    assert lines(resource("github")) == [
        "NAMESPACE   NAME     ID          URL                  ACCEPTED   PROGRAMMED   READY   AGE",
        "team-a      github   id-github   https://a.example/   True       True         True    60s",
    ]


def test_wide_adds_the_message() -> None:
    header, row = lines(resource("github"), wide=True)
    assert header.endswith("MESSAGE")
    assert row.endswith("served by 1 of 1 pods")


def test_what_is_not_ready_says_why() -> None:
    assert lines(resource("github", ready="False", message="do this"))[-1] == "  team-a/github: Reason: do this"


def test_new_connector_without_a_status_is_shown() -> None:
    new = resource("github") | {"status": {}}
    assert lines(new)[1].split()[2:] == ["<none>", "https://a.example/", "Unknown", "Unknown", "Unknown", "60s"]


def test_problems_of_files_come_last_with_their_place() -> None:
    problem = {"file": "/m/a.yaml", "line": 3, "column": 5, "message": "not YAML"}
    assert lines(resource("x"), problems=(problem,))[-1] == "  /m/a.yaml:3:5: not YAML"


def test_empty_directory_says_what_to_do() -> None:
    assert lines() == ["No connectors. Put an MCPConnector manifest into /m; junctor validate checks it beforehand."]


def registry(**status: Any) -> dict[str, Any]:
    metadata = {"namespace": "team-a", "name": "internal", "creationTimestamp": "2025-01-09T23:59:00Z"}
    return {"kind": "MCPRegistry", "metadata": metadata, "spec": {"url": "https://r.example"}, "status": status}


def test_registries_are_a_table_of_their_own() -> None:
    conditions = [{"type": kind, "status": "True"} for kind in ("Synced", "Ready")]
    told = registry(registryID="internal", published=812, lastSyncTime="2025-01-09T23:59:30Z", conditions=conditions)
    assert lines(resource("github"), told)[2:] == [
        "",
        "NAMESPACE   NAME       ID         URL                 SYNCED   PUBLISHED   LAST SYNC   READY   AGE",
        "team-a      internal   internal   https://r.example   True     812         30s         True    60s",
    ]


def test_new_registry_without_a_status_is_shown() -> None:
    _, row, *rest = lines(registry())
    assert row.split() == ["team-a", "internal", "<none>", "https://r.example", "Unknown", "<none>", "<none>", "Unknown", "60s"]
    assert rest[-1] == "  team-a/internal: Pending: not processed yet"


def test_wide_says_why_servers_of_a_registry_are_skipped() -> None:
    skipped = [{"reason": "NoRemote", "count": 13, "examples": []}, {"reason": "InsecureURL", "count": 2}]
    assert "NoRemote 13, InsecureURL 2" in lines(registry(skipped=skipped), wide=True)[1]


@pytest.mark.parametrize(
    ("created", "age"),
    [
        ("2025-01-09T23:59:59Z", "1s"),
        ("2025-01-09T23:50:00.000001Z", "9m"),
        ("2025-01-09T20:00:00Z", "4h"),
        ("2025-01-01T00:00:00Z", "9d"),
        ("2026-01-01T00:00:00Z", "0s"),
        ("", "<unknown>"),
    ],
)
def test_age_is_short(created: str, age: str) -> None:
    assert lines(resource("x", created=created))[1].split()[-1] == age


OBJECTS = {
    "apiVersion": "v1",
    "kind": "List",
    "metadata": {"resourceVersion": ""},
    "items": [{"apiVersion": "junctor.dev/v1alpha1", **resource("github")}],
}
SUMMARY = {"manifests": "/m", "resources": [resource("github")], "problems": [], "events": []}


@pytest.fixture
def standalone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A standalone that answers with one connector."""
    answers = {resources.OBJECTS_PATH: OBJECTS, resources.RESOURCES_PATH: SUMMARY}
    monkeypatch.setattr(status, "fetch", lambda management, path: answers[path])


@pytest.mark.usefixtures("standalone")
def test_yaml_is_a_list_of_whole_objects_as_kubectl_prints_it() -> None:
    result = run("status", "-o", "yaml")
    assert result.code == 0
    assert result.stdout.startswith("apiVersion: v1\nitems:\n- apiVersion: junctor.dev/v1alpha1\n  kind: MCPConnector\n  metadata:\n")
    assert result.stdout.endswith("kind: List\nmetadata:\n  resourceVersion: ''\n")
    assert yaml.safe_load(result.stdout) == OBJECTS


@pytest.mark.usefixtures("standalone")
def test_json_is_the_same_list_with_problems_and_events() -> None:
    assert json.loads(run("status", "-o", "json").stdout) == OBJECTS | SUMMARY
