"""Who may use a connector, with tokens of service accounts that a real API server reviews: as docs/concepts.md shows it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.cluster.api import Api
from tests.cluster.controlplane import ControlPlane
from tests.cluster.pods import GatewayPod
from tests.cluster.processes import gateway
from tests.cluster.system import System, new_system
from tests.support.pages import ROOT, blocks

EXAMPLE = next(block.text for block in blocks(ROOT / "docs" / "concepts.md") if "access:" in block.text)


class Guarded:
    """A release whose gateway reviews tokens, and service accounts of the team with a token each."""

    def __init__(self, system: System, directory: Path) -> None:
        self.system = system.start(
            gateways=0, values={"operator": {"namespaces": [system.team]}, "gatewayDefaults": {"callers": {"mode": "kubernetes"}}}
        )
        self._address = system.new_address()
        options = ("--management-host", self._address, "--callers", "kubernetes")
        kubeconfig = system.release.gateway_kubeconfig
        process = gateway(
            system.release.map_source, *options, host=self._address, kubeconfig=kubeconfig, log_file=directory / "gateway.log"
        )
        system.stack.enter_context(process).wait_until_ready(f"http://{self._address}:8322/-/readyz")
        GatewayPod.create(system.api, system.namespace, "default-0", self._address, gateway="default")
        self._tokens = {name: self._token(name) for name in ("chat", "other")}

    def _token(self, name: str) -> str:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": self.system.team}}
        self.system.api.create(account)
        return self.system.control_plane.service_account_token(self.system.team, name, audience="junctor")

    def ask(self, account: str, path: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._tokens[account]}"}
        return httpx.get(f"http://{self._address}:8321/v1/connectors{path}", headers=headers, trust_env=False, timeout=60)

    def listed(self, account: str) -> list[str]:
        return [item["id"] for item in self.ask(account).json()["data"]]


@pytest.fixture(scope="module")
def guarded(control_plane: ControlPlane, api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    directory = tmp_path_factory.mktemp("access")
    with new_system(control_plane, api, directory) as system:
        yield Guarded(system, directory)


@pytest.fixture
def example(guarded: Guarded) -> Iterator[str]:
    """The page's connector, applied and Ready; its id."""
    system = guarded.system
    manifest = EXAMPLE.replace("namespace: team-a", f"namespace: {system.team}")
    system.control_plane.kubectl("apply", "-f", "-", input=manifest)
    name = yaml.safe_load(manifest)["metadata"]["name"]
    system.wait_ready(name)
    yield name
    system.delete(name)


def test_the_service_account_that_is_named_finds_it_and_no_other(guarded: Guarded, example: str) -> None:
    assert guarded.listed("chat") == [example]
    assert guarded.listed("other") == []
    refused, unknown = guarded.ask("other", f"/{example}"), guarded.ask("other", "/unknown")
    assert (refused.status_code, refused.text.replace(example, "unknown")) == (404, unknown.text)


@pytest.mark.parametrize(
    ("access", "wanted"),
    [
        ({"subjects": [{"kind": "Group", "name": "system:serviceaccounts:{team}"}]}, {"chat", "other"}),
        ({"subjects": [{"kind": "ServiceAccount", "namespace": "{team}", "name": "other"}]}, {"other"}),
        ({"subjects": [{"kind": "ServiceAccount", "namespace": "elsewhere", "name": "chat"}]}, set()),
        ({"subjects": [{"kind": "User", "name": "chat"}, {"kind": "Group", "name": "chat"}]}, set()),
        ({"subjects": []}, {"chat", "other"}),
        (None, {"chat", "other"}),
    ],
    ids=["group", "other account", "other namespace", "namesakes", "no subjects", "no access"],
)
def test_a_change_is_followed(guarded: Guarded, example: str, access: Any, wanted: set[str]) -> None:
    guarded.system.patch(example, access=json.loads(json.dumps(access).replace("{team}", guarded.system.team)))
    guarded.system.wait_ready(example)
    assert {account for account in ("chat", "other") if guarded.listed(account) == [example]} == wanted


def test_a_missing_secret_shows_it_to_nobody_else(guarded: Guarded, example: str) -> None:
    auth = {"bearer": {"secretKeyRef": {"name": "nowhere", "key": "token"}}}
    guarded.system.patch(example, auth=auth)
    guarded.system.wait_condition(example, "Ready", "False", "UnresolvedRefs")
    assert guarded.ask("chat", f"/{example}").json()["reason"] == "SecretNotFound"
    assert guarded.listed("other") == []
