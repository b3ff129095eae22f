"""Whoever may create connectors and registries gets no further into the network than the installation says.

The victim that nobody may reach listens on a loopback address and counts its connections. For link-local addresses, which no test can
listen on, what the gateway says counts: it refuses before it connects.
"""

import json
import re
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Self

import httpx
import pytest
import yaml

from tests.cluster.api import wait_for
from tests.cluster.processes import Process
from tests.e2e.test_render import render
from tests.support import names_on_loopback
from tests.support.ports import free_port
from tests.support.running_gateway import running_gateway
from tests.support.running_standalone import Running, Standalone, listening_addresses

_LISTENING = re.compile(r"listening on (\S+), management on (\S+)")
NEVER = "is link-local, which is never allowed"


class Victim:
    """Listens on an address of this machine, and notes the first bytes of each connection."""

    def __init__(self, address: str, port: int = 0) -> None:
        self.seen: list[bytes] = []
        self._listener = socket.create_server((address, port))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.seen.append(connection.recv(1000))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def connector(name: str, url: str, *, namespace: str = "team", **spec: object) -> str:
    metadata = {"name": name, "namespace": namespace}
    return json.dumps({"apiVersion": "junctor.dev/v1alpha1", "kind": "MCPConnector", "metadata": metadata, "spec": {"url": url, **spec}})


class Gateway:
    """A `junctor gateway` of a cluster, with these connectors; names below .test have the addresses that they spell."""

    def __init__(self, process: Process) -> None:
        found = wait_for(lambda: _LISTENING.findall(process.log()) if process.running else [("", "")], 60, "the gateway's addresses")
        self.url: str = found[0][0]
        management = found[0][1]
        process.wait_until_ready(f"{management}/-/readyz")

    def tools(self, connector_id: str) -> str:
        """What a caller gets who lists the tools of a connector."""
        answer = httpx.get(f"{self.url}/v1/connectors/{connector_id}/tools", trust_env=False, timeout=60)
        assert answer.status_code == 424, answer.text
        return str(answer.json()["error"]["message"])


@contextmanager
def gateway(directory: Path, *connectors: str, policy: object = None, options: tuple[str, ...] = ()) -> Iterator[Gateway]:
    """Run a gateway. policy: its networkPolicy, None for no file at all."""
    (directory / "map.yaml").write_text(render("-", stdin="\n---\n".join(connectors)))
    if policy is not None:
        head = {"apiVersion": "config.junctor.dev/v1alpha1", "kind": "GatewayConfiguration"}
        (directory / "gateway.yaml").write_text(yaml.safe_dump({**head, "networkPolicy": policy}))
        options = (*options, "--config", str(directory / "gateway.yaml"))
    where = ("--map", f"file:{directory / 'map.yaml'}", "--port", "0", "--management-port", "0", "--log-format", "text")
    command = [sys.executable, *names_on_loopback.PROGRAM, "gateway", *where, *options]
    with Process("gateway", command, log_file=directory / "log") as process:
        yield Gateway(process)


def test_connectors_reach_neither_the_pod_itself_nor_its_management_port(tmp_path: Path) -> None:
    port, management = free_port(), free_port()
    urls = {
        "management": f"http://127.0.0.1:{management}/-/revision",
        "ip": f"http://127.0.0.1:{port}/mcp",
        "name": f"http://localhost:{port}/-/reload",
        "mapped": f"http://[::ffff:127.0.0.1]:{port}/mcp",
        "unspecified": f"http://0.0.0.0:{port}/mcp",
        "resolves": f"http://mcp.team.test:{port}/mcp",
    }
    connectors = [connector(name, url, transport="SSE") for name, url in urls.items()]
    options = ("--management-port", str(management))
    with Victim("127.0.0.1", port) as victim, gateway(tmp_path, *connectors, options=options) as running:
        told = {name: running.tools(name) for name in urls}
    assert not victim.seen
    assert all("is loopback, which networkPolicy does not allow; nothing was sent" in message for message in told.values()), told


@pytest.mark.parametrize("options", [(), ("--allow-loopback",)], ids=["cluster", "development"])
def test_connectors_do_not_reach_link_local_and_metadata_addresses(tmp_path: Path, options: tuple[str, ...]) -> None:
    hosts = {"first": "169-254-169-254", "second": "100-100-100-200", "third": "168-63-129-16"}
    connectors = [connector(name, f"http://mcp.{host}.test/latest/meta-data", transport="SSE") for name, host in hosts.items()]
    with gateway(tmp_path, *connectors, options=options, policy={"allowed": ["0.0.0.0/0", "169.254.0.0/16"]}) as running:
        told = {name: running.tools(name) for name in hosts}
    assert NEVER in told["first"], told
    assert "belongs to a cloud's metadata service, which is never allowed" in told["second"], told
    assert "belongs to a cloud's metadata service, which is never allowed" in told["third"], told
    assert not [message for message in told.values() if "169.254" in message], told


def test_a_name_that_changes_its_address_between_check_and_connect_reaches_nothing_else(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://mcp.127-0-0-1.127-0-0-2.test:{port}/mcp"
    policy = {"allowed": ["127.0.0.0/8"], "denied": ["127.0.0.2/32"]}
    with (
        Victim("127.0.0.2", port) as victim,
        Victim("127.0.0.1", port) as allowed,
        gateway(tmp_path, connector("a", url), policy=policy) as running,
    ):
        told = [running.tools("a") for _ in range(6)]
    assert not victim.seen
    assert allowed.seen
    assert any("is denied by networkPolicy" in message for message in told), told


def test_the_lists_of_a_namespace_hold_for_its_connectors_alone(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.2:{port}/mcp"
    policy = {"denied": ["127.0.0.0/8"], "namespaces": [{"namespaces": ["platform-*"], "allowed": ["127.0.0.2/32"]}]}
    connectors = (connector("a", url, namespace="platform-a"), connector("b", url, namespace="team"))
    with Victim("127.0.0.2", port) as internal, gateway(tmp_path, *connectors, policy=policy) as running:
        assert "is denied by networkPolicy" in running.tools("b")
        assert not internal.seen
        assert "HTTP 403" in running.tools("a")
        assert internal.seen


def test_resources_with_link_local_addresses_say_so_in_their_status(tmp_path: Path) -> None:
    (tmp_path / "connectors").mkdir()
    command = [sys.executable, *names_on_loopback.PROGRAM, "standalone", "--manifests", str(tmp_path / "connectors")]
    with ExitStack() as stack:
        standalone = stack.enter_context(_Standalone(command, tmp_path))
        running = stack.enter_context(closing(Running(standalone)))
        running.write("a.yaml", connector("a", "http://169.254.169.254/latest"))
        registry = connector("r", "http://registry.169-254-169-254.test/").replace("MCPConnector", "MCPRegistry")
        running.write("r.yaml", registry)
        running.until(lambda: running.condition("a", "Accepted").get("status") == "False")
        running.until(lambda: running.condition("r", "Synced").get("status") == "False")
        refused, synced = running.condition("a", "Accepted"), running.condition("r", "Synced")
    assert refused["reason"] == synced["reason"] == "AddressNotAllowed"
    assert NEVER in refused["message"]
    assert NEVER in synced["message"]
    assert "169.254" not in synced["message"]


class _Standalone(Standalone):
    def __init__(self, command: list[str], directory: Path) -> None:
        options = ["--port", "0", "--management-port", "0", "--log-format", "json"]
        Process.__init__(self, "standalone", [*command, *options], log_file=directory / "log")
        self.manifests = directory / "connectors"
        self.url, self.management = listening_addresses(self)


@pytest.mark.parametrize("status", [302, 307, 308])
def test_a_redirect_of_a_model_server_is_not_followed(tmp_path: Path, status: int) -> None:
    with (
        Victim("127.0.0.2") as victim,
        _redirecting(status, f"http://127.0.0.2:{victim.port}/latest") as url,
        running_gateway(tmp_path, "--upstream", url) as running,
    ):
        answer = httpx.post(f"{running.url}/chat/completions", json={"model": "m", "messages": []}, trust_env=False, timeout=60)
    assert answer.status_code == 502, answer.text
    assert not victim.seen


@contextmanager
def _redirecting(status: int, location: str) -> Iterator[str]:
    """A server that redirects every request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65_536)
                    head = f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    connection.sendall(head.encode())

        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def test_a_secret_that_names_its_hosts_is_sent_to_no_other(tmp_path: Path) -> None:
    metadata = {
        "name": "token",
        "labels": {"junctor.dev/credentials": "true"},
        "annotations": {"junctor.dev/credential-hosts": "*.acme.test"},
    }
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"token": "robbed"}}
    auth = {"bearer": {"secretKeyRef": {"name": "token", "key": "token"}}}
    (tmp_path / "connectors").mkdir()
    command = [sys.executable, *names_on_loopback.PROGRAM, "standalone", "--manifests", str(tmp_path / "connectors")]
    with ExitStack() as stack:
        thief = stack.enter_context(Victim("127.0.0.1"))
        running = stack.enter_context(closing(Running(stack.enter_context(_Standalone(command, tmp_path)))))
        running.write("secret.yaml", json.dumps(secret))
        for name, host in (("owner", "mcp.acme.test"), ("thief", "mcp.thief.test")):
            running.write(f"{name}.yaml", connector(name, f"http://{host}:{thief.port}/mcp", namespace="default", auth=auth))
        running.until(lambda: running.ready("owner"))
        running.until(lambda: running.condition("thief", "ResolvedRefs").get("reason") == "HostNotAllowed")
        running.client.get("/v1/connectors/thief/tools")
        assert not thief.seen
        running.client.get("/v1/connectors/owner/tools")
        assert b"Bearer robbed" in thief.seen[0]
