"""What a platform team does with one MCPRegistry, from `kubectl apply` to `kubectl delete`; all that takes part is real but the model.

The official registry server on PostgreSQL; an MCP server with a certificate that only the resource vouches for, at a name of its own for
each server of the registry; the openai client in its strict mode, on two gateways, whole on one and streamed on the other.
"""

import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import openai
import pytest

from junctor.api.names import API_VERSION, SYNC_REQUESTED_ANNOTATION
from tests.cluster.api import Api, wait_for
from tests.cluster.controlplane import ControlPlane
from tests.cluster.pods import GatewayPod
from tests.cluster.processes import Process
from tests.cluster.system import REGISTRY, RunningGateway, System, new_system
from tests.support import names_on_loopback
from tests.support.mcp_servers import sdk_server, self_signed, serving
from tests.support.model_server import ModelServer
from tests.support.recording import Recording
from tests.support.registry_data import remote
from tests.support.registry_server import ANONYMOUS, RegistryServer, server
from tests.support.running_gateway import ANSWER, ECHO, calls_of, mcp_tool, respond

REGISTRY_ID = "internal"
#: Names of servers and hosts that are this session's only: others publish in the same registry.
WORD = uuid4().hex[:8]
WEATHER, NEWS, VAULT = (f"{ANONYMOUS}/{WORD}-{name}" for name in ("weather", "news", "vault"))
HOSTS = [f"{name}.{WORD}.test" for name in ("old", "new", "news", "vault", "evil")]
OLD_HOST, NEW_HOST, NEWS_HOST, VAULT_HOST, EVIL_HOST = HOSTS
KEY_HEADER = {"name": "X-Api-Key", "description": "Key of the vault", "isRequired": True, "isSecret": True}
KEY = "s3cret-of-the-vault"
MOVES = (("2.0.0", EVIL_HOST), ("3.0.0", VAULT_HOST))
MODEL = "scripted-to-echo"
#: The hosts are on the loopback.
TRUSTED: dict[str, Any] = {"allowPrivateAddresses": True}


def id_of(name: str, registry_id: str = REGISTRY_ID) -> str:
    return f"mcp::{registry_id}::{name}"


class Servers:
    """An MCP server that has all the hosts, and what has reached it."""

    def __init__(self, url: str, certificate: Path, seen: Recording) -> None:
        self._port = url.rpartition(":")[2]
        self.certificate = certificate
        self.seen = seen

    def remote(self, host: str, **fields: Any) -> dict[str, Any]:
        """Its address at a host, for a server.json."""
        return remote(f"https://{host}:{self._port}/mcp", **fields)

    def calls_since(self, begun: int) -> list[tuple[str, str | None]]:
        """Host and key of each call of a tool after so many requests."""
        calls = [request for request in self.seen.requests[begun:] if b'"tools/call"' in request.body]
        return [(call.headers["host"].partition(":")[0], call.headers.get("x-api-key")) for call in calls]


class Platform:
    """The operator and two gateways with the model, and what the people around them do."""

    def __init__(self, system: System, registry: RegistryServer, model: ModelServer, servers: Servers) -> None:
        self.system = system
        self.registry = registry
        self.servers = servers
        system.start(gateways=0)
        for number in range(2):
            self._start_gateway(f"default-{number}", model.url)

    def _start_gateway(self, name: str, upstream: str) -> None:
        """Another gateway of the release, for which the servers' names resolve."""
        system, address = self.system, self.system.new_address()
        where = ("--map", system.release.map_source, "--host", address, "--management-host", address)
        options = (*where, "--kubeconfig", str(system.release.gateway_kubeconfig), "--upstream", upstream)
        command = [sys.executable, *names_on_loopback.PROGRAM, "gateway", "--allow-loopback", *options]
        process = system.stack.enter_context(Process(name, command, log_file=system.logs / f"{name}.log"))
        process.wait_until_ready(f"http://{address}:8322/-/readyz")
        system.gateways.append(RunningGateway(process, GatewayPod.create(system.api, system.namespace, name, address)))

    # --- what the platform team does --------------------------------------------------------------------------------------------------

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002  # as ControlPlane.kubectl calls it
        return self.system.control_plane.kubectl("--namespace", self.system.team, *arguments, input=input).stdout

    def apply(self, name: str = REGISTRY_ID, **spec: Any) -> None:
        """Apply the registry that reads the official one, and wait until it is ready. spec: more than the usual fields."""
        spec = {
            "url": self.registry.url,
            "sync": {"intervalSeconds": 10},  # as short as it may be
            "filter": {"include": [f"{ANONYMOUS}/{WORD}-*"]},
            "connectorTemplate": {"tls": {"caBundle": self.servers.certificate.read_text()}},
            **spec,
        }
        manifest = {"apiVersion": API_VERSION, "kind": "MCPRegistry", "metadata": {"name": name}, "spec": spec}
        self.kubectl("apply", "-f", "-", input=json.dumps(manifest))
        assert "condition met" in self.kubectl("wait", "--for=condition=Ready", f"mcpr/{name}", "--timeout=60s")

    def ask_for_sync(self) -> None:
        """Force a sync, and wait until it is done."""
        request = uuid4().hex
        self.kubectl("annotate", "--overwrite", "mcpr", REGISTRY_ID, f"{SYNC_REQUESTED_ANNOTATION}={request}")
        wait_for(lambda: self.status().get("lastHandledSyncRequest") == request, describe=lambda: self.system.operator.tail(15))

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.system.api.get(REGISTRY, REGISTRY_ID, self.system.team)["status"]
        return found

    def skipped(self) -> dict[str, list[str]]:
        """Examples of servers that are none of the connectors, by the reason."""
        return {item["reason"]: item["examples"] for item in self.status().get("skipped", ()) if WORD in str(item)}

    def wait_synced(self, status: str, reason: str) -> str:
        """Wait for the condition Synced; its message."""
        return str(self.system.wait_condition(REGISTRY_ID, "Synced", status, reason, timeout=90, of=REGISTRY)["message"])

    def wait_served(self, *names: str) -> None:
        """Wait until both gateways list exactly these servers."""
        self.system.wait_served(*map(id_of, names))

    def shown(self, name: str) -> list[tuple[str, str]]:
        """Version and host of a server in the catalog of each gateway."""
        items = [gateway.connectors()[id_of(name)] for gateway in self.system.gateways]
        return [(item["version"], item["server_url"].split("/")[2].partition(":")[0]) for item in items]

    def reasons(self, name: str) -> set[str | None]:
        """Why gateways say that a server cannot be called; None where it can."""
        return {gateway.connectors()[id_of(name)].get("reason") for gateway in self.system.gateways}

    def everything_written(self) -> str:
        """Where secrets must not be: logs, the map, the resource."""
        logs = [process.log() for process in (self.system.operator, *(gateway.process for gateway in self.system.gateways))]
        return f"{logs} {self.system.api.list('v1/ConfigMap', self.system.namespace)} {self.status()}"

    # --- what applications do -----------------------------------------------------------------------------------------------------------

    async def ask(self, gateway: RunningGateway, connector_id: str, *, stream: bool) -> Any:
        """A response for which the model calls a tool of a connector."""
        url = f"http://{gateway.address}:8321/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, _strict_response_validation=True) as client:
            return await respond(client, stream=stream, model=MODEL, tools=[mcp_tool(connector_id)], input="say hi")

    async def call(self, name: str, *, host: str, key: str | None = None) -> None:
        """Have a server called through each gateway; assert that the calls arrive at this host, with this key."""
        begun = len(self.servers.seen.requests)
        for gateway, stream in zip(self.system.gateways, (False, True), strict=True):
            response = await self.ask(gateway, id_of(name), stream=stream)
            assert [(call.name, call.output, call.error) for call in calls_of(response)] == [("echo", "Echo: hi", None)]
            assert response.output_text == ANSWER.text
        assert self.servers.calls_since(begun) == [(host, key)] * 2


# --- the story ----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    certificate = self_signed(tmp_path, *HOSTS)
    seen = Recording(sdk_server().streamable_http_app(host=OLD_HOST))  # one for the loopback refuses other names
    async with serving(seen, tls=certificate) as url:
        yield Servers(url, certificate[0], seen)


@pytest.fixture
def platform(
    control_plane: ControlPlane, api: Api, registry_server: RegistryServer, servers: Servers, tmp_path: Path
) -> Iterator[Platform]:
    with ModelServer({MODEL: [ECHO, ANSWER]}) as model, new_system(control_plane, api, tmp_path) as system:
        yield Platform(system, registry_server, model, servers)


async def test_servers_of_the_official_registry_are_connectors_as_long_as_its_resource_exists(platform: Platform) -> None:
    a_server_is_published_and_the_resource_applied(platform)
    await strangers_get_nobody_to_private_addresses(platform)
    await platform.call(WEATHER, host=OLD_HOST)
    await what_is_published_arrives(platform)
    await a_server_gets_the_key_that_it_needs(platform)
    await a_server_that_moves_gets_no_key(platform)
    await everything_works_without_the_registry(platform)
    await delete_it(platform)


def a_server_is_published_and_the_resource_applied(platform: Platform) -> None:
    platform.registry.publish(server(WEATHER, remotes=[platform.servers.remote(OLD_HOST)]))
    platform.apply(**TRUSTED)
    header, row = platform.kubectl("get", "mcpr").splitlines()
    assert header.split() == ["NAME", "ID", "URL", "SYNCED", "PUBLISHED", "LAST", "SYNC", "READY", "AGE"]
    name, registry_id, url, synced, published, _, ready, _ = row.split()
    assert (name, registry_id, url, synced, published, ready) == (REGISTRY_ID, REGISTRY_ID, platform.registry.url, "True", "1", "True")
    platform.wait_served(WEATHER)


async def strangers_get_nobody_to_private_addresses(platform: Platform) -> None:
    """A second resource, which does not say that the publishers are trusted."""
    platform.apply("strangers")
    for gateway, stream in zip(platform.system.gateways, (False, True), strict=True):
        with pytest.raises(openai.APIStatusError, match="address not public") as caught:
            await platform.ask(gateway, id_of(WEATHER, "strangers"), stream=stream)
        assert caught.value.status_code == 424
    assert platform.servers.seen.requests == []
    platform.kubectl("delete", "mcpr", "strangers")
    platform.wait_served(WEATHER)


async def what_is_published_arrives(platform: Platform) -> None:
    """A server at once, because somebody asks for it; a version with the next sync, which comes by itself and asks for what is new."""
    platform.registry.publish(server(NEWS, remotes=[platform.servers.remote(NEWS_HOST)]))
    platform.ask_for_sync()
    platform.wait_served(WEATHER, NEWS)
    await platform.call(NEWS, host=NEWS_HOST)

    walked = platform.status()["lastFullSyncTime"]
    platform.registry.publish(server(WEATHER, "1.1.0", remotes=[platform.servers.remote(NEW_HOST)]))
    wait_for(lambda: platform.shown(WEATHER) == [("1.1.0", NEW_HOST)] * 2, describe=platform.system.operator.tail)
    await platform.call(WEATHER, host=NEW_HOST)
    assert platform.status()["lastFullSyncTime"] == walked


async def a_server_gets_the_key_that_it_needs(platform: Platform) -> None:
    platform.registry.publish(server(VAULT, remotes=[platform.servers.remote(VAULT_HOST, headers=[KEY_HEADER])]))
    platform.ask_for_sync()
    assert platform.skipped() == {"ConfigurationRequired": [f"{VAULT}: it needs the header 'X-Api-Key'"]}
    platform.wait_served(WEATHER, NEWS)

    platform.system.secret("vault", {"key": KEY})
    header = {"name": "X-Api-Key", "valueFrom": {"secretKeyRef": {"name": "vault", "key": "key"}}}
    platform.apply(**TRUSTED, credentials=[{"servers": [VAULT], "hosts": [VAULT_HOST], "headers": [header]}])
    platform.wait_served(WEATHER, NEWS, VAULT)
    assert platform.skipped() == {}
    await platform.call(VAULT, host=VAULT_HOST, key=KEY)
    await platform.call(NEWS, host=NEWS_HOST)
    assert KEY not in platform.everything_written()


async def a_server_that_moves_gets_no_key(platform: Platform) -> None:
    """Its publisher points it to a host that the key's owner did not list, and back."""
    moved, back = (server(VAULT, version, remotes=[platform.servers.remote(host, headers=[KEY_HEADER])]) for version, host in MOVES)
    platform.registry.publish(moved)
    platform.ask_for_sync()
    wait_for(lambda: platform.reasons(VAULT) == {"HostNotAllowed"}, describe=platform.system.operator.tail)
    for gateway, stream in zip(platform.system.gateways, (False, True), strict=True):
        with pytest.raises(openai.APIStatusError, match="HostNotAllowed"):
            await platform.ask(gateway, id_of(VAULT), stream=stream)
    hosts = {kept.headers["host"].partition(":")[0]: KEY in kept.text for kept in platform.servers.seen.requests}
    assert hosts[VAULT_HOST]
    assert EVIL_HOST not in hosts

    platform.registry.publish(back)
    platform.ask_for_sync()
    wait_for(lambda: platform.shown(VAULT) == [("3.0.0", VAULT_HOST)] * 2, describe=platform.system.operator.tail)
    await platform.call(VAULT, host=VAULT_HOST, key=KEY)


async def everything_works_without_the_registry(platform: Platform) -> None:
    with platform.registry.stopped():
        platform.system.operator.kill()
        await platform.call(NEWS, host=NEWS_HOST)
        platform.system.operator.restart()
        assert "nothing accepts connections" in platform.wait_synced("False", "RegistryUnreachable")
        assert platform.system.condition(REGISTRY_ID, "Ready", of=REGISTRY)["status"] == "True"
        platform.wait_served(WEATHER, NEWS, VAULT)
        await platform.call(WEATHER, host=NEW_HOST)
        await platform.call(VAULT, host=VAULT_HOST, key=KEY)
    platform.wait_synced("True", "Synced")
    platform.wait_served(WEATHER, NEWS, VAULT)


async def delete_it(platform: Platform) -> None:
    platform.kubectl("delete", "mcpr", REGISTRY_ID)
    platform.wait_served()
    with pytest.raises(openai.BadRequestError, match="there is no connector"):
        await platform.ask(platform.system.gateways[0], id_of(WEATHER), stream=False)
