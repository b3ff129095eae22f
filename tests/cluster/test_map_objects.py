"""The objects of the map under hostile hands: deleted, edited, foreign; gateways keep what they serve and say why, the operator repairs."""

import json
import signal
import sys
from typing import Any

import pytest

from tests.cluster.api import Object, wait_for
from tests.cluster.crashing_operator import STEPS
from tests.cluster.processes import Process
from tests.cluster.system import System

CONFIG_MAP = "v1/ConfigMap"


@pytest.fixture
def system(own_system: System) -> System:
    system = own_system.start()
    system.secret("token", {"value": "first"})
    system.create("one", auth={"bearer": {"secretKeyRef": {"name": "token", "key": "value"}}})
    system.create("two")
    system.wait_ready("one", "two")
    return system


def head(system: System) -> Any:
    return json.loads(system.head()["data"]["head.json"])


def edit_head(system: System, change: Any) -> Object:
    body = system.head()
    body["data"]["head.json"] = change(body["data"]["head.json"])
    return system.api.replace(body)


def await_repair(system: System, before: int) -> None:
    """A readable head with a higher sequence, served by every gateway."""

    def repaired() -> bool:
        try:
            now = head(system)
        except (ValueError, KeyError):
            return False
        served = [gateway.revision() for gateway in system.gateways]
        return (
            now["schema"] == "junctor.dev/connector-map/v1"
            and now["sequence"] > before
            and all(item["sequence"] == now["sequence"] for item in served)
        )

    wait_for(repaired, describe=lambda: f"the map is repaired: {system.head()}\n{system.operator.tail(15)}")
    system.wait_served("one", "two")


def still_serving(system: System) -> None:
    for gateway in system.gateways:
        catalog = gateway.connectors()
        assert {name: item["available"] for name, item in catalog.items()} == {"one": True, "two": True}


def test_a_deleted_head_is_written_again_with_a_higher_sequence(system: System) -> None:
    before = head(system)["sequence"]
    system.api.delete(CONFIG_MAP, system.map_name, system.namespace)
    await_repair(system, before)


def test_a_deleted_shard_is_written_again(system: System) -> None:
    shard = head(system)["shards"][0]["name"]
    old = system.api.get(CONFIG_MAP, shard, system.namespace)["metadata"]["uid"]
    system.api.delete(CONFIG_MAP, shard, system.namespace)
    wait_for(lambda: system.api.get(CONFIG_MAP, shard, system.namespace)["metadata"]["uid"] != old, describe="the shard is back")
    still_serving(system)


def test_a_deleted_credential_secret_is_written_again(system: System) -> None:
    name = next(
        body["metadata"]["name"]
        for body in system.api.list("v1/Secret", system.namespace)
        if body["metadata"]["name"].startswith(f"{system.map_name}-credentials-")
    )
    old = system.api.get("v1/Secret", name, system.namespace)
    system.api.delete("v1/Secret", name, system.namespace)
    wait_for(lambda: system.api.get("v1/Secret", name, system.namespace)["metadata"]["uid"] != old["metadata"]["uid"])
    assert system.api.get("v1/Secret", name, system.namespace)["data"] == old["data"]
    still_serving(system)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text[: len(text) // 2], id="truncated"),
        pytest.param(lambda text: json.dumps(json.loads(text) | {"schema": "junctor.dev/connector-map/v9"}), id="unknown schema"),
        pytest.param(lambda text: json.dumps(json.loads(text) | {"revision": "sha256:" + "0" * 64}), id="wrong revision"),
        pytest.param(lambda text: json.dumps(json.loads(text) | {"sequence": 1}), id="sequence set back"),
    ],
)
def test_a_head_that_somebody_edited_is_repaired_and_no_gateway_serves_it(system: System, change: Any) -> None:
    before = head(system)["sequence"]
    edit_head(system, change)
    await_repair(system, before)
    still_serving(system)


def test_a_head_that_cannot_be_accepted_is_refused_with_the_reason_while_the_operator_is_away(system: System) -> None:
    system.operator.kill()
    edit_head(system, lambda text: text[: len(text) // 2])
    for gateway in system.gateways:
        wait_for(
            lambda gateway=gateway: "not a connector map head" in str(gateway.revision().get("lastError")),  # type: ignore[misc]
            describe="the gateway says why it keeps its map",
        )
    still_serving(system)
    system.operator.restart()
    await_repair(system, 0)


def test_a_shard_with_other_content_is_replaced(system: System) -> None:
    shard = head(system)["shards"][0]["name"]
    body = system.api.get(CONFIG_MAP, shard, system.namespace)
    text = body["data"]["connectors.json"]
    system.operator.kill()
    system.api.delete(CONFIG_MAP, shard, system.namespace)
    forged = {"name": shard, "namespace": system.namespace, "labels": body["metadata"]["labels"]}
    system.api.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": forged,
            "immutable": True,
            "data": {"connectors.json": text.replace("https://two.example.com", "https://evil.example.com")},
        }
    )
    process, address = system.start_gateway_process()
    wait_for(lambda: "does not have the digest" in process.log(), describe="a new gateway refuses the shard")
    still_serving(system)
    before = head(system)["sequence"]
    system.operator.restart()
    await_repair(system, before)
    process.wait_until_ready(f"http://{address}:8322/-/readyz")
    assert "evil" not in str(system.api.list(CONFIG_MAP, system.namespace))


def test_a_head_of_another_installation_is_never_written_and_the_statuses_say_so(system: System) -> None:
    foreign = edit_head(system, lambda text: json.dumps(json.loads(text) | {"installation": "somebody-else"}))
    system.patch("two", description="changed")
    found = system.wait_condition("two", "Programmed", "False", "MapOfAnotherInstallation")
    assert system.map_name in found["message"]
    assert system.head()["data"] == foreign["data"]
    still_serving(system)
    for gateway in system.gateways:
        wait_for(
            lambda gateway=gateway: "installation" in str(gateway.revision().get("lastError")),  # type: ignore[misc]
            describe="the gateway says why it keeps its map",
        )
    system.api.delete(CONFIG_MAP, system.map_name, system.namespace)
    system.wait_ready("two")


@pytest.mark.parametrize("step", STEPS)
def test_an_operator_killed_while_publishing_leaves_a_map_that_can_be_served_and_the_next_one_finishes(system: System, step: str) -> None:
    system.operator.terminate()
    old = {name: item["description"] for name, item in system.gateways[0].connectors().items()}
    system.api.patch("v1/Secret", "token", {"stringData": {"value": "second"}}, system.team)
    system.patch("two", description="new")
    command = [
        sys.executable,
        "-m",
        "tests.cluster.crashing_operator",
        step,
        system.release.operator_config,
        system.release.operator_kubeconfig,
    ]
    crashed = Process(f"operator killed at {step}", [*map(str, command), system.team], log_file=system.logs / f"crash-{step}.log")
    assert crashed.wait(60) == -signal.SIGKILL, crashed.tail()

    fresh, address = system.start_gateway_process()
    fresh.wait_until_ready(f"http://{address}:8322/-/readyz")
    for gateway in system.gateways:
        catalog = gateway.connectors()
        assert set(catalog) == {"one", "two"}
        assert all(item["available"] for item in catalog.values())
        assert catalog["two"]["description"] in (old["two"], "new")

    system.operator.restart()
    system.wait_ready("one", "two")
    assert [gateway.connectors()["two"]["description"] for gateway in system.gateways] == ["new", "new"]
    wait_for(lambda: surplus(system) == [], describe=lambda: f"nothing old is left: {surplus(system)}\n{system.operator.tail(10)}")


def surplus(system: System) -> list[str]:
    """Objects of the map that the head does not need."""
    current = {shard["name"] for shard in head(system)["shards"]} | {system.map_name, f"{system.map_name}-anchor"}
    names = {
        body["metadata"]["name"]
        for body in system.api.list(CONFIG_MAP, system.namespace, labels=f"junctor.dev/connector-map={system.map_name}")
    }
    keys = [
        key for body in system.api.list("v1/Secret", system.namespace, labels="junctor.dev/credentials=published") for key in body["data"]
    ]
    return sorted(names - current) + (keys if len(keys) != 1 else [])
