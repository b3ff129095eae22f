"""Somebody who may write the ConfigMaps of a map, and nothing else, wants the credentials of its connectors."""

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from junctor.connectormap.digests import digest_lines, revision_of
from junctor.connectormap.entry import Entry
from junctor.connectormap.head import Head
from junctor.connectormap.reader import read_layout
from junctor.connectormap.signature import SIGNATURE_KEY, signing_key_name
from tests.cluster.api import wait_for
from tests.cluster.system import RunningGateway, System

CONFIG_MAP = "v1/ConfigMap"
TOKEN = "team-a-production-token"


class Thief:
    """An HTTP server that keeps what it is sent as Authorization."""

    def __init__(self) -> None:
        stolen: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                stolen.extend(self.headers.get_all("Authorization") or ())
                self.send_error(404)

            do_GET = do_POST  # noqa: N815 - the name that http.server looks for

            def log_message(self, *_: object) -> None:
                pass

        self.stolen = stolen
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/mcp"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def thief() -> Iterator[Thief]:
    server = Thief()
    yield server
    server.close()


@pytest.fixture
def system(own_system: System) -> System:
    system = own_system.start(gateways=1)
    system.secret("token", {"value": TOKEN})
    system.create("bank", auth={"bearer": {"secretKeyRef": {"name": "token", "key": "value"}}})
    system.wait_ready("bank")
    return system


def forge(system: System, url: str, sign: Callable[[dict[str, str]], dict[str, str]] = dict) -> int:
    """Publish a map in which every connector is at `url`, with valid digests; its sequence. sign: makes the data of the head."""
    body = system.head()
    head = Head.parse(body["data"]["head.json"], system.map_name)
    texts = {ref.name: system.api.get(CONFIG_MAP, ref.name, system.namespace)["data"]["connectors.json"] for ref in head.shards}
    layout = read_layout(system.map_name, head.shards, texts)
    forged = {key: Entry.of(json.loads(entry.body) | {"url": url}, entry.since) for key, entry in layout.entries().items()}
    layout = layout.replace(forged)
    for shard in layout.shards.values():
        metadata = {"name": shard.ref.name, "namespace": system.namespace, "labels": body["metadata"]["labels"]}
        data = {"connectors.json": shard.text}
        system.api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "immutable": True, "data": data})
    revision = revision_of(digest_lines(entry.digest for entry in forged.values()))
    head = replace(head, sequence=head.sequence + 1, revision=revision, shards=layout.refs())
    body["data"] = sign(body["data"] | {"head.json": head.to_text()})
    system.api.replace(body)
    return head.sequence


def unsigned(data: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in data.items() if key != SIGNATURE_KEY}


def signal(gateway: RunningGateway, sequence: int) -> httpx.Response:
    return httpx.post(f"http://{gateway.address}:8322/-/reload", json={"sequence": sequence}, trust_env=False, timeout=60)


def use_everything(gateway: RunningGateway) -> None:
    for connector_id in gateway.connectors():
        httpx.get(f"http://{gateway.address}:8321/v1/connectors/{connector_id}/tools", trust_env=False, timeout=60)


@pytest.mark.parametrize("sign", [dict, unsigned], ids=["with the old signature", "without a signature"])
def test_who_may_write_config_maps_gets_no_credential(system: System, thief: Thief, sign: Any) -> None:
    gateway = system.gateways[0]
    system.operator.pause()
    sequence = forge(system, thief.url, sign)
    answer = signal(gateway, sequence)
    use_everything(gateway)
    assert thief.stolen == []
    assert answer.status_code == 409, answer.text
    assert "ForgedMap" in answer.json()["error"]
    assert answer.json()["serving"]["sequence"] < sequence
    assert "ForgedMap" in gateway.revision()["lastError"]


def test_forged_map_waits_for_no_new_pod_and_for_no_new_operator(system: System, thief: Thief) -> None:
    system.operator.kill()
    forge(system, thief.url, unsigned)
    process, address = system.start_gateway_process()
    wait_for(lambda: "ForgedMap" in process.log(), describe=lambda: f"a new gateway refuses the map\n{process.tail()}")
    system.operator.restart()
    process.wait_until_ready(f"http://{address}:8322/-/readyz")
    wait_for(lambda: system.gateways[0].revision()["lastError"] is None, describe="the map is repaired")
    system.create("later")
    system.wait_ready("bank", "later")
    use_everything(system.gateways[0])
    assert thief.stolen == []
    wait_for(
        lambda: any(event["reason"] == "ForgedMap" for event in system.events(system.namespace)),
        describe=lambda: f"an Event about the forged map\n{system.operator.tail(15)}",
    )


def test_older_map_that_the_operator_signed_itself_is_not_served_again(system: System, thief: Thief) -> None:
    gateway = system.gateways[0]
    system.patch("bank", url=thief.url)
    system.wait_ready("bank")
    old = system.head()["data"]
    names = [ref.name for ref in Head.parse(old["head.json"], system.map_name).shards]
    shards = [system.api.get(CONFIG_MAP, name, system.namespace) for name in names]
    system.patch("bank", url="https://bank.example.com/mcp")
    system.wait_ready("bank")
    system.operator.pause()
    for shard in shards:
        if system.api.find(CONFIG_MAP, shard["metadata"]["name"], system.namespace) is None:
            metadata = {key: shard["metadata"][key] for key in ("name", "namespace", "labels")}
            system.api.create({**shard, "metadata": metadata})
    thief.stolen.clear()
    system.api.replace(system.head() | {"data": old})
    answer = signal(gateway, gateway.revision()["sequence"] + 1)
    use_everything(gateway)
    assert thief.stolen == []
    assert (answer.status_code, "is older than" in answer.json()["error"]) == (409, True), answer.text


def test_key_that_is_deleted_is_made_anew_and_the_map_signed_with_it(system: System) -> None:
    name = signing_key_name(system.map_name)
    before = system.api.get("v1/Secret", name, system.namespace)["data"]["hmacKey"]
    signature = system.head()["data"][SIGNATURE_KEY]
    assert len(base64.b64decode(before)) >= 32
    system.api.delete("v1/Secret", name, system.namespace)
    wait_for(lambda: (system.api.find("v1/Secret", name, system.namespace) or {}).get("data", {}).get("hmacKey") not in (None, before))
    wait_for(lambda: system.head()["data"][SIGNATURE_KEY] != signature, describe="the head is signed again")
    system.add_gateway()
    system.create("later")
    system.wait_ready("bank", "later")
