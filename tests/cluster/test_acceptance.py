"""What people do that is unusual and legal, and what they do wrong, with kubectl and curl on the real components."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from junctor.api.names import API_VERSION
from tests.cluster.api import wait_for
from tests.cluster.system import CONNECTOR, System

#: Above the number of connectors of one page, one burst of kubectl, and the least number of a mass loss.
MANY = 250


@pytest.fixture
def system(shared_system: System) -> System:
    return shared_system


@pytest.fixture
def reserving(own_system: System) -> System:
    """A system whose gateway keeps platform_* for a namespace `platform`."""
    gateway = {"name": "default", "idPolicies": [{"pattern": "platform_*", "namespaces": ["platform"]}]}
    return own_system.start(gateways=1, values={"operator": {"namespaces": [own_system.team]}, "gateways": [gateway]})


def kubectl(system: System, *arguments: str, text: str | None = None) -> str:
    return system.control_plane.kubectl(*arguments, "--namespace", system.team, input=text).stdout


def manifest(name: str, **spec: Any) -> str:
    body = {
        "apiVersion": API_VERSION,
        "kind": "MCPConnector",
        "metadata": {"name": name},
        "spec": {"url": f"https://{name}.example.com/mcp"} | spec,
    }
    return "---\n" + json.dumps(body, ensure_ascii=False) + "\n"


def wait(system: System, *names: str) -> None:
    kubectl(system, "wait", "--for=condition=Ready", *(f"mcpc/{name}" for name in names), "--timeout=60s")


def get(system: System, path: str, **parameters: str) -> dict[str, Any]:
    answer = httpx.get(f"http://{system.gateways[0].address}:8321{path}", params=parameters or None, trust_env=False, timeout=60)
    answer.raise_for_status()
    body: dict[str, Any] = answer.json()
    return body


def test_unusual_but_legal_connectors_are_served_as_they_were_written(system: System) -> None:
    longest = "a" * 128
    connectors: Mapping[str, Mapping[str, Any]] = {
        "longest": {"connectorID": longest},
        "upper": {"connectorID": "Case"},
        "lower": {"connectorID": "case"},
        "unicode": {"title": "日本語 😀", "description": '"quotes" <b>&amp;\n\tnext line'},
        "headers": {"headers": [{"name": f"X-Header-{number}", "value": f"shown-nowhere-{number}"} for number in range(32)]},
        "ipv6": {"url": "https://[2001:db8::1]:8443/mcp"},
        "name.with.dots": {},
        "n" * 128: {},
    }
    kubectl(system, "apply", "-f", "-", text="".join(manifest(name, **spec) for name, spec in connectors.items()))
    wait(system, *connectors)
    for name, spec in connectors.items():
        item = get(system, f"/v1/connectors/{spec.get('connectorID', name)}")
        assert item["origin"]["name"] == name
        assert item["server_url"] == spec.get("url", f"https://{name}.example.com/mcp").removesuffix("/mcp")
        assert (item["title"], item["description"]) == (spec.get("title"), spec.get("description"))
        assert "shown-nowhere" not in json.dumps(item)


def test_many_connectors_in_one_apply_are_listed_page_by_page_and_go_in_one_delete(system: System) -> None:
    names = [f"many-{number:03}" for number in range(MANY)]
    kubectl(system, "apply", "-f", "-", text="".join(manifest(name) for name in names))
    system.wait_served(*names, timeout=120)
    for name in (names[0], names[-1]):
        system.wait_condition(name, "Ready", "True", timeout=120)
    first = get(system, "/v1/connectors", limit="2", after="many-100")
    assert ([item["id"] for item in first["data"]], first["has_more"]) == (["many-101", "many-102"], True)
    found = get(system, "/v1/connectors", search="MANY-24", limit="3")["data"]
    assert [item["id"] for item in found] == ["many-240", "many-241", "many-242"]
    kubectl(system, "delete", "mcpconnectors", "--all", "--wait=false")
    system.wait_served(timeout=120)


def test_patch_replace_and_edit_are_followed(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl(system, "apply", "-f", "-", text=manifest("edited", title="one"))
    wait(system, "edited")
    kubectl(system, "patch", "mcpc", "edited", "--type=merge", "--patch", '{"spec": {"title": "two"}}')
    wait(system, "edited")
    assert get(system, "/v1/connectors/edited")["title"] == "two"
    kubectl(system, "replace", "-f", "-", text=kubectl(system, "get", "mcpc", "edited", "-o", "json").replace('"two"', '"three"'))
    wait(system, "edited")
    assert get(system, "/v1/connectors/edited")["title"] == "three"
    monkeypatch.setenv("KUBE_EDITOR", "sed -i s/three/four/")
    kubectl(system, "edit", "mcpc", "edited")
    wait(system, "edited")
    assert get(system, "/v1/connectors/edited")["title"] == "four"


def test_a_connector_that_is_replaced_by_force_is_ready_again(system: System) -> None:
    kubectl(system, "apply", "-f", "-", text=manifest("forced"))
    wait(system, "forced")
    kubectl(system, "replace", "--force", "-f", "-", text=manifest("forced", title="anew"))
    wait(system, "forced")
    assert get(system, "/v1/connectors/forced")["title"] == "anew"


def test_a_rename_hands_the_id_over(system: System) -> None:
    kubectl(system, "apply", "-f", "-", text=manifest("old-name", connectorID="kept"))
    wait(system, "old-name")
    kubectl(system, "apply", "-f", "-", text=manifest("new-name", connectorID="kept"))
    system.wait_condition("new-name", "Accepted", "False", "IDConflict")
    kubectl(system, "delete", "mcpc", "old-name", "--wait=false")
    wait(system, "new-name")
    for gateway in system.gateways:
        assert gateway.connectors()["kept"]["origin"]["name"] == "new-name"


def test_a_reserved_id_is_not_permitted_and_the_message_says_for_whom_it_is(reserving: System) -> None:
    reserving.create("other")
    reserving.create("ours", connectorID="platform_ours")
    accepted = reserving.wait_condition("ours", "Accepted", "False", "IDNotPermitted")
    assert "platform_*" in accepted["message"]
    assert "reserved for platform" in accepted["message"]
    assert reserving.wait_condition("ours", "Stalled", "True")["reason"] == "IDNotPermitted"
    reserving.wait_ready("other")
    reserving.wait_served("other")


def test_a_rotated_credential_reaches_every_gateway_and_is_logged_nowhere(system: System) -> None:
    system.secret("rotating", {"token": "first-value-1"})
    system.create("rotated", auth={"bearer": {"secretKeyRef": {"name": "rotating", "key": "token"}}})
    system.wait_ready("rotated")
    before = system.gateways[0].revision()
    system.api.patch("v1/Secret", "rotating", {"stringData": {"token": "second-value-2"}}, system.team)
    wait_for(lambda: all(item.revision()["sequence"] > before["sequence"] for item in system.gateways), describe="a new map is served")
    assert all(item.connectors()["rotated"]["available"] for item in system.gateways)
    logs = "".join(process.log() for process in (system.operator, *(item.process for item in system.gateways)))
    stored = json.dumps([system.api.list(kind) for kind in ("v1/ConfigMap", "v1/Event", CONNECTOR)])
    for value in ("first-value-1", "second-value-2"):
        assert value not in logs
        assert value not in stored
    assert {item.revision()["revision"] for item in system.gateways} != {before["revision"]}


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "param"),
    [
        ("POST", "/v1/connectors", 405, "method_not_allowed", None),
        ("DELETE", "/v1/connectors/any", 405, "method_not_allowed", None),
        ("GET", "/nothing", 404, "unknown_url", None),
        ("GET", "/-/reload", 404, "unknown_url", None),
        ("GET", "/v1/connectors/missing", 404, "connector_not_found", "id"),
        ("GET", "/v1/connectors?id=missing", 404, "connector_not_found", "id"),
        ("GET", "/v1/connectors?id=mcp::registry%2Fmissing", 404, "connector_not_found", "id"),
        ("GET", "/v1/connectors?after=no%20id", 400, "invalid_value", "after"),
        ("GET", "/v1/connectors?limit=0", 400, "invalid_value", "limit"),
        ("GET", "/v1/connectors?order=asc", 400, "unknown_parameter", "order"),
    ],
)
def test_a_wrong_request_gets_the_error_body_of_openai(
    system: System, method: str, path: str, status: int, code: str, param: str | None
) -> None:
    answer = httpx.request(method, f"http://{system.gateways[0].address}:8321{path}", trust_env=False, timeout=60)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
    assert sorted(error) == ["code", "message", "param", "type"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]


def test_a_body_of_20_megabytes_is_refused_and_the_gateway_goes_on(system: System) -> None:
    url = f"http://{system.gateways[0].address}:8321/v1/connectors"
    answer = httpx.request("POST", url, content=b"\0" * 20_000_000, trust_env=False, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert httpx.get(url, trust_env=False, timeout=60).status_code == 200
