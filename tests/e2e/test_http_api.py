"""docs/http-api.md against a real gateway."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cluster.processes import gateway
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "http-api.md").read_text("utf-8")


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The public and the management URL of a gateway that serves the page's example."""
    work = tmp_path_factory.mktemp("http-api")
    example = ROOT / "examples" / "connectors" / "minimal.yaml"
    rendered = subprocess.run(
        [sys.executable, "-m", "junctor.cli.main", "render", str(example)], capture_output=True, text=True, check=True, timeout=60
    )
    (work / "map.yaml").write_text(rendered.stdout)
    port, management = free_port(), free_port()
    with gateway(f"file:{work / 'map.yaml'}", port=port, management_port=management, log_file=work / "gateway.log") as process:
        process.wait_until_ready(f"http://127.0.0.1:{management}/-/readyz")
        yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{management}"


def test_the_list_is_as_shown(ports: tuple[str, str]) -> None:
    shown = re.search(r"```json\n(.*?)```", PAGE, re.S)
    assert shown is not None
    assert httpx.get(f"{ports[0]}/v1/connectors", trust_env=False, timeout=60).json() == json.loads(shown[1])


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/connectors?color=red", 400, "unknown_parameter"),
        ("GET", "/v1/connectors?after=a%20b", 400, "invalid_value"),
        ("GET", "/v1/connectors/nothing", 404, "connector_not_found"),
        ("GET", "/v1/nowhere", 404, "unknown_url"),
        ("DELETE", "/v1/connectors", 405, "method_not_allowed"),
    ],
)
def test_what_is_no_part_of_the_api_is_refused(ports: tuple[str, str], method: str, path: str, status: int, code: str) -> None:
    answer = httpx.request(method, ports[0] + path, trust_env=False, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_the_management_port_is_as_described(ports: tuple[str, str]) -> None:
    served = httpx.post(f"{ports[1]}/-/reload", json={"sequence": 1}, trust_env=False, timeout=60)
    assert (served.status_code, set(served.json())) == (200, {"sequence", "revision", "appliedAt", "rejected"})
    refused = httpx.post(f"{ports[1]}/-/reload", json={"sequence": 2}, trust_env=False, timeout=60)
    assert (refused.status_code, refused.json()["serving"]["sequence"]) == (409, 1)
    revision = httpx.get(f"{ports[1]}/-/revision", trust_env=False, timeout=60).json()
    assert revision == {**served.json(), "lastError": None}
