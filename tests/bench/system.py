"""The whole system for benchmarks: a real control plane, the real operator, real gateway processes behind Pod objects."""

import asyncio
import json
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from junctor.api.names import API_VERSION, CONNECTOR_KIND, CONNECTOR_PLURAL, GATEWAY_LABEL, GROUP, VERSION
from junctor.kube.client import KubernetesApi, object_path
from junctor.net.formats import KubernetesObject
from tests.cluster.controlplane import ControlPlane
from tests.cluster.processes import Process, gateway, operator
from tests.cluster.release import Release, install_release
from tests.cluster.resources import install_crds

NAMESPACE: Final = "junctor"
TEAM: Final = "team-a"
MAP: Final = "junctor-connectors"


def say(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)


def result(values: dict[str, Any]) -> None:
    """The last line."""
    print(json.dumps({key: round(value, 2) if isinstance(value, float) else value for key, value in values.items()}), flush=True)


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def connector(name: str, description: str = "a connector of the benchmark") -> KubernetesObject:
    """A connector of about 450 bytes in the map."""
    return {
        "apiVersion": API_VERSION,
        "kind": CONNECTOR_KIND,
        "metadata": {"name": name, "namespace": TEAM},
        "spec": {
            "url": f"https://{name}.example.com/mcp",
            "title": f"Connector {name}",
            "description": description,
            "tools": {"denied": ["delete_everything"]},
        },
    }


def connectors(name: str | None = None) -> str:
    """Path of the connectors of the benchmark's team."""
    return object_path(CONNECTOR_PLURAL, TEAM, name, group=GROUP, version=VERSION)


@dataclass
class System:
    """What a benchmark works with. addresses: of the gateways; the public port is 8321, the management port 8322."""

    control_plane: ControlPlane
    release: Release
    api: KubernetesApi
    operator: Process
    gateways: list[Process]
    addresses: list[str]
    http: httpx.AsyncClient = field(repr=False)

    async def serving(self, address: str) -> dict[str, Any]:
        """What a gateway says at /-/revision."""
        body: dict[str, Any] = (await self.http.get(f"http://{address}:8322/-/revision")).json()
        return body

    async def until_served(self, count: int) -> None:
        """Wait until every gateway serves this number of connectors and the same revision."""
        while True:
            head = json.loads((await self.api.get(object_path("configmaps", NAMESPACE, MAP)))["data"]["head.json"])
            served = [await self.serving(address) for address in self.addresses]
            if head["connectors"] == count and all(item.get("sequence") == head["sequence"] for item in served):
                return
            await asyncio.sleep(0.2)

    async def create(self, names: list[str], concurrency: int) -> None:
        """Create connectors."""
        slots = asyncio.Semaphore(concurrency)

        async def one(name: str) -> None:
            async with slots:
                await self.api.create(connectors(), connector(name))

        await asyncio.gather(*map(one, names))

    async def all_ready(self, count: int) -> None:
        """Wait until this number of connectors is Ready at its generation."""
        while True:
            ready = 0
            async for items, _ in self.api.list(connectors()):
                ready += sum(map(is_ready, items))
            if ready == count:
                return
            await asyncio.sleep(0.5)


def is_ready(body: KubernetesObject) -> bool:
    """Whether the Ready condition is True at the object's generation."""
    return any(
        item["type"] == "Ready" and item["status"] == "True" and item.get("observedGeneration") == body["metadata"]["generation"]
        for item in body.get("status", {}).get("conditions", ())
    )


async def watch(system: System, path: str, **query: str) -> AsyncIterator[KubernetesObject]:
    """The events of a collection from now on, as `{"type", "object"}`."""
    configuration = system.api.configuration
    token = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    async with (
        httpx.AsyncClient(verify=context, timeout=None, trust_env=False) as client,  # a watch has no end
        client.stream(
            "GET", configuration.host + path, params={"watch": "true", **query}, headers={"Authorization": token or ""}
        ) as response,
    ):
        async for line in response.aiter_lines():
            yield json.loads(line)


async def _pod(api: KubernetesApi, name: str, address: str) -> None:
    labels = {GATEWAY_LABEL: "default"}
    spec = {"schedulingGates": [{"name": "junctor.dev/test"}], "containers": [{"name": "gateway", "image": "none"}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels}, "spec": spec}
    await api.create(object_path("pods", NAMESPACE), body)
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [ready]}
    await api.merge_patch(f"{object_path('pods', NAMESPACE, name)}/status", {"status": status})


@asynccontextmanager
async def running_system(gateways: int, *, lag_file: Path | None = None) -> AsyncIterator[System]:
    """Start everything and stop it at the end. lag_file: the operator writes there how late its loop is (probed_operator)."""
    async with AsyncExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="junctor-bench-")))
        say("starting the control plane")
        control_plane = stack.enter_context(ControlPlane())
        api = await KubernetesApi.connect(control_plane.kubeconfig)
        stack.push_async_callback(api.close)
        with control_plane.api() as admin:
            install_crds(admin)
            for namespace in (NAMESPACE, TEAM):
                admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        release = install_release(control_plane, NAMESPACE)
        say(f"starting the operator and {gateways} gateways as the chart's service accounts")
        control = stack.enter_context(
            operator(
                release.operator_config,
                release.operator_kubeconfig,
                *("--health-port", "0"),
                log_file=work / "operator.log",
                module="tests.bench.probed_operator" if lag_file else "junctor.cli.main",
                environment={"JUNCTOR_BENCH_LAG": str(lag_file)} if lag_file else None,
            )
        )
        addresses = [f"127.0.0.{number + 2}" for number in range(gateways)]
        processes: list[Process] = []
        for number, address in enumerate(addresses):
            process = gateway(
                release.map_source,
                "--management-host",
                address,
                kubeconfig=release.gateway_kubeconfig,
                host=address,
                log_file=work / f"gateway-{number}.log",
            )
            processes.append(stack.enter_context(process))
        for number, (process, address) in enumerate(zip(processes, addresses, strict=True)):
            process.wait_until_ready(f"http://{address}:8322/-/readyz")
            await _pod(api, f"gateway-{number}", address)
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=10.0, trust_env=False))
        yield System(control_plane, release, api, control, processes, addresses, http)
