"""A running system for tests: the chart's release, the real operator and gateways as its service accounts, pods on loopback addresses."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from junctor.api.names import API_VERSION, CREDENTIALS_LABEL
from tests.cluster.api import Api, Object, wait_for
from tests.cluster.controlplane import ControlPlane
from tests.cluster.pods import GatewayPod
from tests.cluster.processes import Process, gateway, operator
from tests.cluster.release import Release, install_release
from tests.cluster.resources import fresh_namespace
from tests.support.ports import free_subnet

CONNECTOR = f"{API_VERSION}/MCPConnector"
REGISTRY = f"{API_VERSION}/MCPRegistry"


@dataclass
class RunningGateway:
    """A gateway process and its pod object."""

    process: Process
    pod: GatewayPod

    @property
    def address(self) -> str:
        """Where it listens: the public port 8321, the management port 8322."""
        return self.pod.ip

    def connectors(self) -> dict[str, dict[str, Any]]:
        """The whole catalog by id, page by page."""
        found: dict[str, dict[str, Any]] = {}
        after: dict[str, str] = {}
        while True:
            page = httpx.get(
                f"http://{self.address}:8321/v1/connectors", params={"limit": "100", **after}, trust_env=False, timeout=60
            ).json()
            found |= {item["id"]: item for item in page["data"]}
            if not page["has_more"]:
                return found
            after = {"after": page["last_id"]}

    def revision(self) -> dict[str, Any]:
        """What it says about the map that it serves."""
        body: dict[str, Any] = httpx.get(f"http://{self.address}:8322/-/revision", trust_env=False, timeout=60).json()
        return body


class System:
    """One release with processes. team: a namespace for connectors, the only one that is looked at unless `values` says otherwise."""

    def __init__(self, control_plane: ControlPlane, api: Api, namespace: str, team: str, logs: Path) -> None:
        self.control_plane = control_plane
        self.api = api
        self.namespace = namespace
        self.team = team
        self.logs = logs
        self.stack = ExitStack()
        self.gateways: list[RunningGateway] = []
        self._subnet = free_subnet()
        self._hosts = 1
        self.release: Release
        self.operator: Process

    def start(self, *, gateways: int = 2, values: Mapping[str, Any] | None = None) -> Self:
        """Install the release and start everything."""
        self.release = install_release(
            self.control_plane, self.namespace, {"operator": {"namespaces": [self.team]}} if values is None else values
        )
        self.stack.callback(self.release.uninstall)
        self.operator = self.stack.enter_context(
            operator(
                self.release.operator_config,
                self.release.operator_kubeconfig,
                *self.release.operator_options,
                *("--health-port", "0", "--log-format", "text"),
                log_file=self.logs / f"operator-{self.namespace}.log",
            )
        )
        for _ in range(gateways):
            self.add_gateway()
        return self

    def add_gateway(self, name: str = "default", *, ready: bool = True) -> RunningGateway:
        """One more gateway process with its pod; returns when it serves a map."""
        process, address = self.start_gateway_process(name)
        process.wait_until_ready(f"http://{address}:8322/-/readyz")
        pod = GatewayPod.create(self.api, self.namespace, f"{name}-{len(self.gateways)}", address, gateway=name, ready=ready)
        self.gateways.append(RunningGateway(process, pod))
        return self.gateways[-1]

    def start_gateway_process(self, name: str = "default") -> tuple[Process, str]:
        """A gateway process on an address of its own, without a pod."""
        address = self.new_address()
        process = gateway(
            f"configmap:{self.namespace}/{self.release.maps[name]}",
            *("--management-host", address),
            host=address,
            kubeconfig=self.release.gateway_kubeconfigs[name],
            log_file=self.logs / f"gateway-{address}.log",
            name=f"gateway {address}",
        )
        return self.stack.enter_context(process), address

    def new_address(self) -> str:
        """An address on loopback that no other process of the system has."""
        self._hosts += 1
        return f"{self._subnet}.{self._hosts}"

    @property
    def map_name(self) -> str:
        """The first gateway's map."""
        return next(iter(self.release.maps.values()))

    # --- what users do ----------------------------------------------------------------------------------------------------------------

    def create(self, name: str, *, labels: Mapping[str, str] | None = None, **spec: Any) -> Object:
        """Create a connector; url is made from the name unless given."""
        metadata = {"name": name, "namespace": self.team, "labels": dict(labels or {})}
        return self.api.create(
            {
                "apiVersion": API_VERSION,
                "kind": "MCPConnector",
                "metadata": metadata,
                "spec": {"url": f"https://{name}.example.com/mcp"} | spec,
            }
        )

    def create_registry(self, name: str, url: str, *, namespace: str = "", **spec: Any) -> Object:
        """Create a registry, in the team's namespace unless another is named."""
        metadata = {"name": name, "namespace": namespace or self.team}
        return self.api.create({"apiVersion": API_VERSION, "kind": "MCPRegistry", "metadata": metadata, "spec": {"url": url} | spec})

    def patch(self, name: str, **spec: Any) -> Object:
        """Change fields of the spec; None removes one."""
        return self.api.patch(CONNECTOR, name, {"spec": spec}, self.team)

    def delete(self, name: str) -> None:
        """Delete a connector."""
        self.api.delete(CONNECTOR, name, self.team)

    def secret(self, name: str, values: Mapping[str, str], *, labelled: bool = True) -> Object:
        """Create a Secret, readable for the operator or not."""
        labels = {CREDENTIALS_LABEL: "true"} if labelled else {}
        metadata = {"name": name, "namespace": self.team, "labels": labels}
        return self.api.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(values)})

    # --- what users see ---------------------------------------------------------------------------------------------------------------

    def condition(self, name: str, kind: str, *, of: str = CONNECTOR) -> dict[str, Any]:
        """A condition of the present generation; empty before it is written."""
        body = self.api.get(of, name, self.team)
        for item in body.get("status", {}).get("conditions", ()):
            if item["type"] == kind and item.get("observedGeneration") == body["metadata"]["generation"]:
                found: dict[str, Any] = item
                return found
        return {}

    def wait_condition(
        self, name: str, kind: str, status: str, reason: str = "", timeout: float = 60.0, *, of: str = CONNECTOR
    ) -> dict[str, Any]:
        """Wait for a condition; gives it."""

        def shown() -> dict[str, Any] | None:
            found = self.condition(name, kind, of=of)
            return found if found.get("status") == status and (not reason or found.get("reason") == reason) else None

        def describe() -> str:
            return f"{kind} of {name} is {status} {reason}, it is {self.condition(name, kind, of=of)}\n{self.operator.tail(15)}"

        found = wait_for(shown, timeout, describe)
        assert found is not None
        return found

    def wait_ready(self, *names: str, of: str = CONNECTOR) -> None:
        """Wait until connectors, or resources of another kind, are Ready."""
        for name in names:
            self.wait_condition(name, "Ready", "True", of=of)

    def wait_served(self, *ids: str, timeout: float = 60.0) -> None:
        """Wait until every gateway serves exactly these ids."""
        wait_for(
            lambda: all(set(item.connectors()) == set(ids) for item in self.gateways),
            timeout,
            lambda: f"all gateways serve {ids}: {[set(item.connectors()) for item in self.gateways]}\n{self.operator.tail(15)}",
        )

    def head(self) -> Object:
        """The head ConfigMap of the first map."""
        return self.api.get("v1/ConfigMap", self.map_name, self.namespace)

    def events(self, namespace: str | None = None) -> list[Object]:
        """Kubernetes Events, of the team's namespace unless another is named."""
        return self.api.list("v1/Event", namespace or self.team)

    def delete_all(self) -> None:
        """Delete the team's connectors and registries and wait until no gateway serves any."""
        for kind in (CONNECTOR, REGISTRY):
            for body in self.api.list(kind, self.team):
                self.api.delete(kind, body["metadata"]["name"], self.team)
        self.wait_served()


@contextmanager
def new_system(control_plane: ControlPlane, api: Api, logs: Path, *, team_labels: Mapping[str, str] | None = None) -> Iterator[System]:
    """A system in two fresh namespaces, not started yet; stopped on leaving."""
    with fresh_namespace(api) as namespace, fresh_namespace(api, team_labels) as team:
        system = System(control_plane, api, namespace, team, logs)
        with system.stack:
            yield system
