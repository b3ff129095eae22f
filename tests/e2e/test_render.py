"""What `junctor render` prints is what `junctor gateway --map file:...` serves."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.cluster.api import wait_for

DEADLINE = 60.0
GOLDEN = Path(__file__).parent.parent / "unit" / "golden"


def render(*arguments: str, stdin: str = "") -> str:
    command = [sys.executable, "-m", "junctor.cli.main", "render", *arguments]
    result = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout, result.stderr
    return result.stdout


@contextmanager
def gateway(source: str, log: Path) -> Iterator[httpx.Client]:
    """A gateway process on a map source; gives a client of its public port."""
    command = [sys.executable, "-m", "junctor.cli.main", "gateway", "--map", source, "--port", "0", "--management-port", "0"]
    with log.open("wb") as file, subprocess.Popen([*command, "--poll-seconds", "0.1"], stdout=file, stderr=file) as process:
        try:
            with httpx.Client(base_url=listening(log), timeout=60, trust_env=False) as client:
                yield client
        finally:
            process.terminate()
            process.wait(DEADLINE)


def listening(log: Path) -> str:
    def address() -> str | None:
        lines = [json.loads(line) for line in log.read_text().splitlines() if '"managementUrl"' in line]
        return lines[0]["url"] if lines else None

    return str(wait_for(address))


def available(client: httpx.Client) -> dict[str, bool]:
    response = client.get("/v1/connectors")
    return {item["id"]: item["available"] for item in response.json()["data"]} if response.status_code == 200 else {}


def test_rendered_map_is_served(tmp_path: Path) -> None:
    manifests = tmp_path / "in.yaml"
    text = "apiVersion: junctor.dev/v1alpha1\nkind: MCPConnector\nmetadata: {name: NAME}\nspec: {url: 'https://a.example/'}\n"
    manifests.write_text(text.replace("NAME", "first"))
    map_file = tmp_path / "map.yaml"
    map_file.write_text(render(str(manifests)))
    with gateway(f"file:{map_file}", tmp_path / "log") as client:
        wait_for(lambda: available(client) == {"first": True})


def test_map_with_credentials_is_available_and_one_without_says_so(tmp_path: Path) -> None:
    case = GOLDEN / "credentials" / "input.yaml"
    with_credentials, without = tmp_path / "with.yaml", tmp_path / "without.yaml"
    with_credentials.write_text(render("-", "--with-credentials", stdin=case.read_text()))
    without.write_text(render("-", stdin=case.read_text()))
    with gateway(f"file:{with_credentials}", tmp_path / "log1") as client:
        wait_for(lambda: available(client) == {"wiki": True, "unresolved": False})
    with gateway(f"file:{without}", tmp_path / "log2") as client:
        wait_for(lambda: available(client) == {"wiki": False, "unresolved": False})


def test_servers_of_a_registry_are_served_from_a_map_with_its_snapshot(tmp_path: Path) -> None:
    case = GOLDEN / "registry"
    map_file = tmp_path / "map.yaml"
    options = ("--with-credentials", "--registry-snapshot", f"internal={case / 'snapshot.jsonl'}")
    map_file.write_text(render(str(case / "input.yaml"), *options))
    with gateway(f"file:{map_file}", tmp_path / "log") as client:
        wait_for(lambda: available(client) == {"mcp::internal::com.acme/weather": True, "mcp::internal::org.globex/search": True})


def test_one_of_several_maps_is_chosen_by_name(tmp_path: Path) -> None:
    case = GOLDEN / "gateways"
    map_file = tmp_path / "map.yaml"
    map_file.write_text(render(str(case / "input.yaml"), "--config", str(case / "operator.yaml")))
    with gateway(f"file:{map_file}#eu", tmp_path / "log") as client:
        wait_for(lambda: available(client) == {"team-eu.github": True})


def test_large_map_is_rendered_in_several_shards_and_served(tmp_path: Path) -> None:
    documents = [
        f"apiVersion: junctor.dev/v1alpha1\nkind: MCPConnector\nmetadata: {{name: c{number}}}\nspec: {{url: 'https://c.example/', "
        f"description: '{'x' * 1000}'}}\n"
        for number in range(300)
    ]
    text = render("-", stdin="---\n".join(documents))
    assert text.count("connectors.json: |-") > 2
    map_file = tmp_path / "map.yaml"
    map_file.write_text(text)
    with gateway(f"file:{map_file}", tmp_path / "log") as client:
        wait_for(lambda: available(client))
        assert client.get("/v1/connectors/c299").json()["available"] is True
