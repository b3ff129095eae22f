"""An MCPRegistry in the directory of `junctor standalone`: a real process, a registry on a socket, real files."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from junctor.api.conditions import SkipReason
from tests.support.fake_registry import FakeRegistry, Status
from tests.support.ports import free_port
from tests.support.registry_data import record, remote, servers
from tests.support.running_standalone import Running, Standalone
from tests.unit.cli.running import run

URL = "https://weather.example.com/mcp"
TOKEN = {"name": "X-Token", "isRequired": True, "isSecret": True}
ROWS = [
    record("com.acme/weather", remotes=[remote(URL)], title="Weather"),
    record("com.acme/maps", remotes=[remote("https://maps.example.com/mcp", headers=[TOKEN])]),
    record("com.acme/local", packages=[{"registryType": "npm", "identifier": "@acme/local"}]),
]
WEATHER, MAPS = "mcp::internal::com.acme/weather", "mcp::internal::com.acme/maps"


def manifest(url: str, *, sync: str = "", **spec: Any) -> str:
    """JSON is YAML. sync: the annotation that asks for a sync."""
    metadata = {"name": "internal", "namespace": "team-a"} | ({"annotations": {"junctor.dev/sync-requested-at": sync}} if sync else {})
    body = {"apiVersion": "junctor.dev/v1alpha1", "kind": "MCPRegistry", "metadata": metadata, "spec": {"url": url, **spec}}
    return json.dumps(body)


def status(running: Running, *options: str) -> str:
    answer = run("status", "--management", running.standalone.management, *options)
    assert answer.code == 0, answer.stderr
    return answer.stdout


def served(running: Running) -> dict[str, bool]:
    return {connector_id: item["available"] for connector_id, item in running.catalog().items()}


def test_servers_of_a_registry_come_change_and_go_with_its_manifest(running: Running) -> None:
    with FakeRegistry(ROWS) as registry:
        path = running.write("registry.yaml", manifest(registry.url))
        running.until(lambda: served(running) == {WEATHER: True})
        assert running.catalog()[WEATHER]["server_url"] == URL.removesuffix("/mcp")
        running.until(lambda: running.ready("internal"))

        registry.publish(record("com.acme/news", remotes=[remote("https://news.example.com/mcp")]))
        running.write("registry.yaml", manifest(registry.url, sync="now"))
        running.until(lambda: served(running) == {WEATHER: True, "mcp::internal::com.acme/news": True})

        running.write("registry.yaml", manifest(registry.url, filter={"exclude": ["*/news"]}))
        running.until(lambda: served(running) == {WEATHER: True})

        path.unlink()
        running.until(lambda: not running.catalog())
        assert not running.resource("internal")


def test_registry_that_is_down_at_the_start_is_read_when_it_is_up(tmp_path: Path) -> None:
    directory, port = tmp_path / "connectors", free_port()
    directory.mkdir()
    (directory / "registry.yaml").write_text(manifest(f"http://127.0.0.1:{port}"))
    with Standalone(directory, tmp_path / "log") as standalone:
        running = Running(standalone)
        assert running.catalog() == {}
        assert running.condition("internal", "Synced").get("status") != "True"
        with FakeRegistry(ROWS, port=port):
            running.until(lambda: served(running) == {WEATHER: True})
        running.client.close()


def test_registry_that_fails_keeps_its_servers_and_status_says_why(running: Running) -> None:
    with FakeRegistry(ROWS) as registry:
        running.write("registry.yaml", manifest(registry.url))
        running.until(lambda: running.ready("internal"))
        registry.fault = lambda _: Status(403)
        running.write("registry.yaml", manifest(registry.url, sync="again"))
        running.until(lambda: running.condition("internal", "Synced").get("reason") == "RegistryUnauthorized")
        lines = status(running).splitlines()
        place = lines.index("Not in sync (what was published before stays):")
        assert lines[place + 1].startswith("  team-a/internal: RegistryUnauthorized: ")
        assert served(running) == {WEATHER: True}


def test_server_gets_its_credentials_when_their_secret_is_there(running: Running) -> None:
    ref = {"secretKeyRef": {"name": "maps", "key": "token"}}
    credentials = [{"servers": ["com.acme/maps"], "hosts": ["maps.example.com"], "headers": [{"name": "X-Token", "valueFrom": ref}]}]
    with FakeRegistry(ROWS) as registry:
        running.write("registry.yaml", manifest(registry.url, credentials=credentials))
        running.until(lambda: served(running) == {WEATHER: True, MAPS: False})
        metadata = {"name": "maps", "namespace": "team-a", "labels": {"junctor.dev/credentials": "true"}}
        secret: Mapping[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"token": "s3cret-value"}}
        running.write("secret.yaml", json.dumps(secret))
        running.until(lambda: served(running) == {WEATHER: True, MAPS: True})
        assert "s3cret-value" not in f"{running.resources()}{running.catalog()}{running.standalone.log()}"
        assert all("s3cret-value" not in str(asked.headers) for asked in registry.requests)


def test_status_shows_registries(running: Running) -> None:
    rows = servers(60)
    skipped = [row.outcome for row in rows if row.latest and row.outcome not in (None, SkipReason.DELETED)]
    with FakeRegistry(rows) as registry:
        running.write("registry.yaml", manifest(registry.url))
        running.until(lambda: running.ready("internal"))
        header, row = status(running).splitlines()
        assert header.split() == ["NAMESPACE", "NAME", "ID", "URL", "SYNCED", "PUBLISHED", "LAST", "SYNC", "READY", "AGE"]
        published = sum(row.latest and row.outcome is None for row in rows)
        assert row.split()[:6] == ["team-a", "internal", "internal", registry.url, "True", str(published)]
        wide = status(running, "-o", "wide").splitlines()
        assert "SKIPPED" in wide[0]
        assert f"ConfigurationRequired {skipped.count(SkipReason.CONFIGURATION_REQUIRED)}" in wide[1]


@pytest.mark.parametrize("url", ["ftp://registry.example.com", "https://user@registry.example.com", "https://registry.example.com?x=1"])
def test_manifest_that_kubectl_would_refuse_is_a_problem_of_its_file(running: Running, url: str) -> None:
    running.write("registry.yaml", manifest(url))
    running.until(running.problems)
    assert "spec.url" in running.problems()[0]
    assert "registry.yaml:1:" in status(running)


# --- docs/standalone.md -------------------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[2] / "docs" / "standalone.md").read_text("utf-8").partition("\n## Registries\n")[2].partition("\n## ")[0]
SHOWN_URL = "https://registry.example.com"


def shown(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


def words(text: str) -> list[list[str]]:
    """Lines without the alignment, which depends on the address; ages are all the same."""
    return [[re.sub(r"^\d+s$", "1s", word) for word in line.split()] for line in text.splitlines()]


def test_page_about_registries_shows_what_happens(running: Running) -> None:
    listing, details, statuses = shown("text")
    commands = [shlex.split(line) for line in "".join(shown("sh")).splitlines()]
    (manifest_shown,) = shown("yaml")
    with FakeRegistry(ROWS) as registry:

        def junctor(index: int, *more: str) -> str:
            """A command of the page, on this registry."""
            arguments = [word.replace(SHOWN_URL, registry.url) for word in commands[index][1:]]
            result = subprocess.run(
                [sys.executable, "-m", "junctor.cli.main", *arguments, *more],
                capture_output=True,
                text=True,
                cwd=running.directory.parent,
                check=False,
            )
            assert result.returncode == 0, result.stderr
            return result.stdout

        assert junctor(0) == listing
        assert junctor(1) == details
        assert details[details.index("spec:\n") :].partition("\n\n")[0].partition("\n")[2] in manifest_shown
        running.write("internal.yaml", manifest_shown.replace(SHOWN_URL, registry.url))
        running.until(lambda: served(running) == {WEATHER: True, MAPS: True})
        running.until(lambda: running.ready("internal"))
        management = ("--management", running.standalone.management)
        assert words(junctor(2, *management)) == words(statuses.replace(SHOWN_URL, registry.url))
        junctor(3)
        redirect = commands[4].index(">")
        commands[4] = commands[4][:redirect]
        assert f'"id":"{MAPS}"' in junctor(4)
