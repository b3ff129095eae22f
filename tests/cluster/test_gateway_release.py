"""Gateways as the chart runs them, with its arguments and files, and callers as docs/install.md and the chart's notes tell them to call."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from openai import AsyncOpenAI

from tests.cluster.api import Api, Object
from tests.cluster.controlplane import ControlPlane
from tests.cluster.kubelet import arguments, mount_files
from tests.cluster.pods import GatewayPod
from tests.cluster.processes import junctor
from tests.cluster.release import CHART, EVERYBODY, RELEASE, helm, render_chart
from tests.cluster.system import System, new_system
from tests.support.mcp_servers import sdk_server, serving
from tests.support.model_server import Call, ModelServer, Round
from tests.support.pages import ROOT, blocks

PAGE = list(blocks(ROOT / "docs" / "install.md"))
VALUES = [yaml.safe_load(block.text) for block in PAGE if block.language == "yaml" and "apiVersion" not in block.text]
MODEL_KEY = "key-of-the-gateway"
#: Whatever the model is asked, once a tool is there.
ROUNDS = [Round(calls=[Call("mcp__example__echo", {"message": "hi"})]), Round(text="The server said hi.")]


def shown(language: str, text: str) -> str:
    """The block of the page with this text."""
    (found,) = [block.text for block in PAGE if block.language == language and text in block.text]
    return found


class Gateways:
    """A release with the page's values and two gateways: `default` for tokens of the cluster, `keys` for API keys; both with the model."""

    def __init__(self, system: System, model: ModelServer, directory: Path) -> None:
        self.system = system
        self.model = model
        self._directory = directory
        (directory / "junctor").symlink_to(Path(sys.executable).parent / "junctor")
        (directory / "model-key.txt").write_text(f"{MODEL_KEY}\n")
        self.run(shown("sh", "model-key.txt"))
        self.keys = {"keys": self.new_key(shown("sh", "apikey ci"))}
        self.urls: dict[str, str] = {}
        self.values = _values(system.team, model.url)
        system.start(gateways=0, values=self.values)
        system.api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "chat", "namespace": system.team}})
        self.keys["default"] = self.run(shown("sh", "create token chat")).strip()
        for name in ("default", "keys"):
            self._start(name)

    def mount(self, name: str) -> None:
        """Bring the files of a gateway's pod up to date."""
        mount_files(self.system.api, self._deployment(name), self._directory / name)

    def run(self, commands: str, environment: Mapping[str, str] | None = None) -> str:
        """Run commands of the page as its reader would; what they say."""
        for text, namespace in {"junctor": self.system.namespace, "team-a": self.system.team, "default": self.system.team}.items():
            commands = commands.replace(f"-n {text} ", f"-n {namespace} ")
        path = os.pathsep.join(map(str, (self.system.control_plane.directory / "bin", self._directory, Path(sys.executable).parent)))
        variables = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}", "KUBECONFIG": str(self.system.control_plane.kubeconfig)}
        command = ["bash", "-euo", "pipefail", "-c", commands]
        answer = subprocess.run(
            command, cwd=self._directory, env=variables | dict(environment or {}), capture_output=True, text=True, timeout=60
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout + answer.stderr

    def new_key(self, commands: str) -> str:
        """Run commands with `junctor apikey`; the key that it shows."""
        found = re.search(r"shown only now: (\S+)", self.run(commands))
        assert found
        return found[1]

    def status(self, name: str, key: str) -> int:
        """What a gateway answers to a caller."""
        return httpx.get(
            f"{self.urls[name]}/connectors", headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=60
        ).status_code

    def _start(self, name: str) -> None:
        self.mount(name)
        system, address = self.system, self.system.new_address()
        given = arguments(self._deployment(name), self._directory / name, address)
        who = ("--kubeconfig", system.release.gateway_kubeconfigs[name])
        process = system.stack.enter_context(junctor(*given, *who, name=name, log_file=self._directory / f"{name}.log"))
        process.wait_until_ready(f"http://{address}:8322/-/readyz")
        GatewayPod.create(system.api, system.namespace, name, address, gateway=name)
        self.urls[name] = f"http://{address}:8321/v1"

    def _deployment(self, name: str) -> Object:
        objects = self.system.release.objects
        return next(body for body in objects if (body["kind"], body["metadata"]["name"]) == ("Deployment", f"{RELEASE}-gateway-{name}"))


def _values(team: str, model: str) -> dict[str, Any]:
    """The page's values for API keys and for model servers, with the test's model server for all of them."""
    (callers,) = [each["gatewayDefaults"] for each in VALUES if "keysSecretRef" in str(each)]
    (upstreams,) = [each["gatewayDefaults"]["upstreams"] for each in VALUES if "upstreams" in str(each)]
    # The MCP servers of the tests are on loopback.
    network = {"networkPolicy": {"allowed": ["127.0.0.0/8"]}}
    defaults = {**callers, **network, "upstreams": [{**upstream, "url": model} for upstream in upstreams]}
    gateways = [{"name": "default", "callers": {"mode": "kubernetes"}}, {"name": "keys"}]
    return {"operator": {"namespaces": [team]}, "gateways": gateways, "gatewayDefaults": defaults}


@pytest.fixture(scope="module")
def gateways(control_plane: ControlPlane, api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    directory = tmp_path_factory.mktemp("gateways")
    with ModelServer({"demo-model": ROUNDS}, key=MODEL_KEY) as model, new_system(control_plane, api, directory) as system:
        yield Gateways(system, model, directory)


@pytest.fixture
async def example(gateways: Gateways) -> AsyncIterator[None]:
    """The connector `example`, with a real MCP server, is served."""
    system = gateways.system
    async with serving(sdk_server().streamable_http_app()) as url:
        system.create("example", url=f"{url}/mcp")
        system.wait_ready("example")
        yield
        system.delete("example")


@pytest.mark.parametrize(("name", "other"), [("keys", "default"), ("default", "keys")])
def test_each_gateway_lets_in_its_own_callers_only(gateways: Gateways, name: str, other: str) -> None:
    assert gateways.status(name, gateways.keys[name]) == 200
    assert gateways.status(name, gateways.keys[other]) == 401


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize("name", ["keys", "default"])
async def test_a_caller_has_a_model_call_a_connector(gateways: Gateways, name: str) -> None:
    tool: Any = {"type": "mcp", "server_label": "example", "connector_id": "example", "require_approval": "never"}
    async with AsyncOpenAI(base_url=gateways.urls[name], api_key=gateways.keys[name], max_retries=0) as client:
        response = await client.responses.create(model="demo-model", tools=[tool], input="say hi")
    assert [item.type for item in response.output] == ["mcp_list_tools", "mcp_call", "message"]
    assert response.output_text == "The server said hi."
    assert gateways.model.requests[-1].headers["x-team"] == "platform"


def test_a_key_that_is_added_counts_without_a_restart(gateways: Gateways) -> None:
    key = gateways.new_key(shown("sh", "apikey nightly"))
    assert gateways.status("keys", key) == 401

    gateways.mount("keys")

    assert gateways.status("keys", key) == 200
    assert gateways.status("keys", gateways.keys["keys"]) == 200


def test_a_pod_with_a_token_of_its_own_is_let_in(gateways: Gateways, tmp_path: Path) -> None:
    system = gateways.system
    pod = yaml.safe_load(shown("yaml", "serviceAccountToken"))
    pod["metadata"]["namespace"] = system.team
    system.api.create(pod)
    (source,) = pod["spec"]["volumes"][0]["projected"]["sources"]
    wanted, token = source["serviceAccountToken"], tmp_path / source["serviceAccountToken"]["path"]
    spec = {"audiences": [wanted["audience"]], "expirationSeconds": wanted["expirationSeconds"]}
    spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"]}
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    path = f"/api/v1/namespaces/{system.team}/serviceaccounts/{pod['spec']['serviceAccountName']}/token"
    token.write_text(system.api.request("POST", path, request)["status"]["token"])
    mounted = pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"]

    program = shown("python", mounted).replace(mounted, str(tmp_path))
    program = re.sub(r"http://[\w.-]+\.svc:8321/v1", gateways.urls["default"], program)

    assert "demo-model" in gateways.run('python3 -c "$PROGRAM"', {"PROGRAM": program})


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize("name", ["keys", "default"])
async def test_what_the_notes_of_the_installation_say_works(gateways: Gateways, name: str) -> None:
    values = {**gateways.values, "crds": {"install": False}}
    notes = helm(
        *("install", RELEASE, CHART, "--dry-run=client", "--namespace", "elsewhere"),
        values=values,
        kubeconfig=gateways.system.control_plane.kubeconfig,
    )
    section = notes.partition(f"service/{RELEASE}-gateway-{name} 8321 &\n")[2].partition("kubectl -n elsewhere ")[0]
    commands = section.replace("http://127.0.0.1:8321/v1", gateways.urls[name]).replace(
        "export KEY=...", f"export KEY={gateways.keys[name]}"
    )
    said = await asyncio.to_thread(gateways.run, commands, {"MODEL": "demo-model"})
    assert '"id":"example"' in said.replace(" ", "")
    assert "The server said hi." in said


@pytest.mark.parametrize("values", VALUES, ids=[" ".join(values) for values in VALUES])
def test_the_values_of_the_page_are_taken(values: dict[str, Any]) -> None:
    assert render_chart(
        "somewhere", {**EVERYBODY, **values, "gatewayDefaults": {**EVERYBODY["gatewayDefaults"], **values.get("gatewayDefaults", {})}}
    )
