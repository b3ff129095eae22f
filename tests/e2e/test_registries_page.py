"""docs/registries.md is true: what it shows is run, with a registry of the tests in place of its own. kubectl: tests/cluster."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
import yaml

from junctor.api.names import SYNC_REQUESTED_ANNOTATION
from junctor.net.configuration import API_VERSION as CONFIGURATION_API_VERSION
from tests.cluster.api import wait_for
from tests.support.examples import examples
from tests.support.examples import run as run_example
from tests.support.fake_registry import FakeRegistry
from tests.support.mcp_servers import sdk_server, serving
from tests.support.model_server import Call, Round
from tests.support.pages import ROOT, blocks, commands
from tests.support.registry_data import record, remote
from tests.support.running_gateway import running_gateway
from tests.support.running_standalone import Running
from tests.unit.cli.running import run

PAGE = list(blocks(ROOT / "docs" / "registries.md"))
MANIFESTS = {
    yaml.safe_load(block.text.rpartition("---\n")[2])["metadata"]["name"]: block.text for block in PAGE if block.language == "yaml"
}
SHOWN = [words for block in PAGE if block.language == "sh" for words in commands(block)]
URL = "https://registry.example.com"
TOKEN = {"name": "X-Token", "isRequired": True, "isSecret": True}
WEATHER = record("com.acme/weather", remotes=[remote("https://weather.example.com/mcp")])
MAPS = record("com.acme/maps", remotes=[remote("https://maps.example.com/mcp", headers=[TOKEN])])
LOCAL = record("com.acme/local", packages=[{"registryType": "npm", "identifier": "@acme/local"}])


def manifest(name: str, registry: FakeRegistry, *, at: str = URL) -> str:
    """A manifest of the page, for this registry."""
    text = MANIFESTS[name]
    assert f"url: {at}\n" in text
    return text.replace(at, registry.url)


def changed(text: str, **spec: Any) -> str:
    """A manifest without Secrets with other fields; None removes one."""
    body = yaml.safe_load(text)
    body["spec"] = {key: value for key, value in (body["spec"] | spec).items() if value is not None}
    return json.dumps(body)


def served(running: Running) -> set[str]:
    return set(running.catalog())


def test_look_first() -> None:
    (words,) = [words for words in SHOWN if words[0] == "junctor"]
    with FakeRegistry([WEATHER, MAPS, LOCAL]) as registry:
        answer = run(*(word.replace(URL, registry.url) for word in words[1:]))
    assert answer.stdout == next(block.text for block in PAGE if block.language == "text")


def test_the_catalog_lists_the_servers_of_a_registry(running: Running) -> None:
    (address,) = [httpx.URL(words[1]) for words in SHOWN if words[0] == "curl"]
    with FakeRegistry([WEATHER, MAPS, LOCAL]) as registry:
        running.write("connector.yaml", (ROOT / "examples" / "connectors" / "minimal.yaml").read_text())
        running.write("registry.yaml", manifest("internal", registry))
        running.until(lambda: running.ready("internal") and len(served(running)) == 2)
        listed = running.client.get(address.raw_path.decode()).json()["data"]
    assert [item["id"] for item in listed] == ["mcp::internal::com.acme/weather"]


async def test_a_server_is_called_with_the_openai_client(tmp_path: Path) -> None:
    (program,) = examples("registries.md", "python")
    async with serving(sdk_server().streamable_http_app()) as server:
        rows = [record("com.acme/weather", remotes=[remote(f"{server}/mcp")])]
        with FakeRegistry(rows) as registry, running_gateway(tmp_path) as gateway:
            text = changed(manifest("internal", registry), allowInsecureURLs=True, allowPrivateAddresses=True)
            (tmp_path / "manifests" / "internal.yaml").write_text(text)
            listed = f"{gateway.url}/connectors/mcp::internal::com.acme/weather"
            await asyncio.to_thread(
                wait_for, lambda: httpx.get(listed, trust_env=False, timeout=60).is_success, describe="the server is a connector"
            )
            rounds = Round(calls=[Call("mcp__weather__echo", {"message": "hi"})]), Round(text="The server said hi.")
            output = await run_example(program, "python", tmp_path, gateway, *rounds)
    assert output == "The server said hi.\n"


def test_filter(running: Running) -> None:
    there = remote("https://there.example.com/mcp")
    rows = [
        WEATHER,
        record("io.github.acme/deep-Weather", remotes=[there]),
        record("com.acme/maps", remotes=[there]),
        record("com.acme/weather-experimental", remotes=[there]),
        record("com.acme/weather-old", remotes=[there], status="deprecated"),
        record("com.acme/weather-stream", remotes=[remote("https://there.example.com/sse", "sse")]),
        record("com.other/weather", remotes=[there]),
    ]
    with FakeRegistry(rows) as registry:
        running.write("registry.yaml", manifest("chosen", registry))
        running.until(lambda: running.ready("chosen"))
        assert served(running) == {"mcp::chosen::com.acme/weather", "mcp::chosen::io.github.acme/deep-Weather"}
        assert {asked.query["search"] for asked in registry.requests} == {"weather"}


def test_policy(running: Running) -> None:
    with FakeRegistry([WEATHER]) as registry:
        text = manifest("guarded", registry)
        running.write("registry.yaml", text)
        running.until(lambda: running.ready("guarded"))
        # Callers of this gateway have no name.
        assert served(running) == set()
        assert running.client.get("/v1/registries").json()["data"] == []
        template = yaml.safe_load(text)["spec"]["connectorTemplate"]
        running.write("registry.yaml", changed(text, connectorTemplate={key: template[key] for key in template if key != "access"}))
        running.until(lambda: served(running))
        (item,) = running.catalog().values()
    assert (item["tools"], item["approval"]["mode"], item["caller_authorization"]) == (template["tools"], "Always", "Forbid")


def test_credentials_go_to_the_first_entry_that_matches_and_to_its_hosts_only(running: Running) -> None:
    region = {"region": {"isRequired": True}}
    tiles = record("com.acme/tiles", remotes=[remote("https://{region}.example.com/mcp", variables=region)])
    with FakeRegistry([MAPS, tiles]) as registry:
        text = manifest("credentialed", registry)
        running.write("registry.yaml", text)
        running.until(lambda: running.ready("credentialed"))
        told = {item["server"]: (item["available"], item["server_url"]) for item in running.catalog().values()}
        assert told == {"com.acme/maps": (True, "https://maps.example.com"), "com.acme/tiles": (True, "https://eu.example.com")}

        registry.publish(record("com.acme/maps", "2.0.0", remotes=[remote("https://maps.evil.example.org/mcp", headers=[TOKEN])]))
        asking = f"  name: credentialed\n  annotations: {{{SYNC_REQUESTED_ANNOTATION}: now}}\n"
        running.write("registry.yaml", text.replace("  name: credentialed\n", asking))
        running.until(lambda: running.catalog()["mcp::credentialed::com.acme/maps"].get("reason") == "HostNotAllowed")
        assert running.catalog()["mcp::credentialed::com.acme/tiles"]["available"]


def test_private_registry(running: Running) -> None:
    with FakeRegistry([WEATHER], prefix="/mcp-registry") as registry:
        registry.manner.key = "replace-me"
        running.write("registry.yaml", manifest("private", registry, at=f"{URL}/mcp-registry"))
        running.until(lambda: running.ready("private"))
        assert served(running) == {"mcp::private::com.acme/weather"}
        assert {asked.headers["x-tenant"] for asked in registry.requests} == {"platform"}


def test_registry_within_the_cluster(running: Running) -> None:
    addresses = ("http://weather.platform.svc:8080/mcp", "http://10.1.2.3/mcp", "https://intranet/mcp")
    rows = [record(f"com.acme/s{number}", remotes=[remote(address)]) for number, address in enumerate(addresses)]
    with FakeRegistry(rows) as registry:
        text = manifest("inside", registry, at="http://registry.platform.svc:8080")
        running.write("registry.yaml", text)
        running.until(lambda: running.ready("inside"))
        assert {item["server_url"] for item in running.catalog().values()} == {address.removesuffix("/mcp") for address in addresses}

        running.write("registry.yaml", changed(text, allowInsecureURLs=None, allowPrivateAddresses=None))
        running.until(lambda: not any(item["available"] for item in running.catalog().values()))
        reasons = sorted(item["reason"] for item in running.catalog().values())
    assert reasons == ["InsecureURL", "InsecureURL", "PrivateAddress"]


def test_platform_teams_can_reserve_registries(tmp_path: Path) -> None:
    (policy,) = [yaml.safe_load(found) for found in re.findall(r"`(\{pattern: .*\})`", (ROOT / "docs" / "registries.md").read_text())]
    gateway = {"name": "default", "namespace": "junctor", "idPolicies": [policy]}
    config = tmp_path / "operator.yaml"
    config.write_text(json.dumps({"apiVersion": CONFIGURATION_API_VERSION, "kind": "OperatorConfiguration", "gateways": [gateway]}))
    (namespace,) = policy["namespaces"]
    allowed = MANIFESTS["internal"].replace("  name: internal\n", f"  name: internal\n  namespace: {namespace}\n")

    assert "IDNotPermitted" in run("validate", "-", "--config", str(config), stdin=MANIFESTS["internal"]).stdout
    assert run("validate", "-", "--config", str(config), stdin=allowed).code == 0


def test_every_manifest_and_command_is_run() -> None:
    assert set(MANIFESTS) == {"internal", "chosen", "guarded", "credentialed", "private", "inside"}
    assert {words[0] for words in SHOWN} == {"junctor", "curl", "kubectl"}
