"""From a patched resource to every gateway pod, beside a bare script that makes the same calls (`floor`), alternated in one run."""

import argparse
import asyncio
import json
import random
import time
from collections.abc import Awaitable
from datetime import datetime
from typing import Any

import httpx
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client import ApiClient, Configuration, CoreV1Api, CustomObjectsApi
from kubernetes.aio.watch import Watch

from junctor.api.names import CONNECTOR_PLURAL, GROUP, VERSION
from junctor.kube.client import object_path
from tests.bench.system import MAP, NAMESPACE, TEAM, System, connectors, is_ready, percentile, result, running_system, say, watch

CONNECTORS = 1000
GATEWAYS = 10
BURST = 500


class ReadyTimes:
    """When each generation of each connector was seen Ready by a watch (wall clock), and when any event was seen."""

    def __init__(self) -> None:
        self.ready: dict[tuple[str, int], float] = {}
        self.started = asyncio.Event()

    async def follow(self, system: System) -> None:
        version = [version async for _, version in system.api.list(connectors())][-1]
        self.started.set()
        async for event in watch(system, connectors(), resourceVersion=version):
            body = event["object"]
            if is_ready(body):
                self.ready.setdefault((body["metadata"]["name"], body["metadata"]["generation"]), time.time())


class Reader:
    """A client that reads the catalog all the time, on every gateway in turn."""

    def __init__(self) -> None:
        self.requests = 0
        self.failed = 0

    async def run(self, system: System) -> None:
        number = 0
        while True:
            address = system.addresses[number % len(system.addresses)]
            number += 1
            try:
                response = await system.http.get(f"http://{address}:8321/v1/connectors", params={"limit": 5})
                self.failed += response.status_code != 200 or len(response.json()["data"]) != 5
            except httpx.HTTPError:
                self.failed += 1
            self.requests += 1
            await asyncio.sleep(0.05)


async def change(system: System, name: str, text: str, times: ReadyTimes) -> tuple[float, float]:
    """Patch one connector; milliseconds until the last gateway had swapped its map, and until the status said Ready."""
    before = max([(await system.serving(address))["sequence"] for address in system.addresses])
    patched = await system.api.merge_patch(connectors(name), {"spec": {"description": text}})
    returned = time.time()
    key = (name, patched["metadata"]["generation"])
    applied: dict[str, float] = {}
    await asyncio.sleep(0.1)  # asking sooner would take time away from what is measured
    while len(applied) < len(system.addresses):
        for address in system.addresses:
            if address not in applied:
                serving = await system.serving(address)
                if serving["sequence"] > before:
                    applied[address] = datetime.fromisoformat(serving["appliedAt"]).timestamp()
        if time.time() - returned > 30:
            raise TimeoutError(f"{name}: not served by all gateways after 30 s")
        await asyncio.sleep(0.02)
    while key not in times.ready:
        if time.time() - returned > 30:
            raise TimeoutError(f"{name}: not Ready after 30 s")
        await asyncio.sleep(0.02)
    return (max(applied.values()) - returned) * 1000, (times.ready[key] - returned) * 1000


class Floor:
    """The same work by a bare script on the official client: patch, see the event, create a shard, replace a head, ten times GET both.

    The patch touches an annotation, which the operator sees and has nothing to do for.
    """

    def __init__(self, system: System, shard_text: str) -> None:
        self.system = system
        self.text = shard_text
        self.seen: dict[str, asyncio.Event] = {}
        self.number = 0
        self.head: Any = {}

    async def start(self) -> asyncio.Task[None]:
        configuration = Configuration()
        await kubernetes_config.load_kube_config(str(self.system.control_plane.kubeconfig), client_configuration=configuration)
        self.client = ApiClient(configuration)
        self.core, self.custom = CoreV1Api(self.client), CustomObjectsApi(self.client)
        listed: Any = await self.custom.list_namespaced_custom_object(GROUP, VERSION, TEAM, CONNECTOR_PLURAL, limit=1)
        head: Any = {"metadata": {"name": "floor-head"}, "data": {"n": "0"}}
        self.head = await _json(self.core.create_namespaced_config_map_without_preload_content(NAMESPACE, head))

        async def follow() -> None:
            where = (GROUP, VERSION, TEAM, CONNECTOR_PLURAL)
            version = listed["metadata"]["resourceVersion"]
            async for event in Watch().stream(self.custom.list_namespaced_custom_object, *where, resource_version=version):
                number = (event["object"]["metadata"].get("annotations") or {}).get("floor")
                if number is not None:
                    self.seen.setdefault(number, asyncio.Event()).set()

        return asyncio.create_task(follow())

    async def close(self) -> None:
        await self.client.rest_client.close()

    async def run(self, connector: str) -> float:
        self.number += 1
        number = str(self.number)
        seen = self.seen.setdefault(number, asyncio.Event())
        patch = {"metadata": {"annotations": {"floor": number}}}
        await self.custom.patch_namespaced_custom_object(
            GROUP, VERSION, TEAM, CONNECTOR_PLURAL, connector, patch, _content_type="application/merge-patch+json"
        )
        returned = time.time()
        await seen.wait()
        name = f"floor-shard-{number}"
        shard: Any = {"metadata": {"name": name}, "immutable": True, "data": {"connectors.json": self.text}}
        await _json(self.core.create_namespaced_config_map_without_preload_content(NAMESPACE, shard))
        self.head["data"] = {"n": number}
        self.head = await _json(self.core.replace_namespaced_config_map_without_preload_content("floor-head", NAMESPACE, self.head))

        async def read() -> None:
            await _json(self.core.read_namespaced_config_map_without_preload_content("floor-head", NAMESPACE))
            await _json(self.core.read_namespaced_config_map_without_preload_content(name, NAMESPACE))

        await asyncio.gather(*(read() for _ in self.system.addresses))
        elapsed = (time.time() - returned) * 1000
        await self.core.delete_namespaced_config_map(name, NAMESPACE)
        return elapsed


async def _json(call: Awaitable[Any]) -> Any:
    """The answer's JSON as it is, without the client's models."""
    return json.loads(await (await call).read())


async def burst(system: System) -> tuple[float, int]:
    """500 creates at concurrency 50: milliseconds from the last create until all gateways serve them, and the revisions published."""
    names = [f"burst-{number:04d}" for number in range(BURST)]
    head = await system.api.get(object_path("configmaps", NAMESPACE, MAP))
    before = json.loads(head["data"]["head.json"])["sequence"]
    await system.create(names, 50)
    last = time.time()
    while True:
        head = json.loads((await system.api.get(object_path("configmaps", NAMESPACE, MAP)))["data"]["head.json"])
        if head["connectors"] == CONNECTORS + BURST:
            serving = [await system.serving(address) for address in system.addresses]
            if all(item["sequence"] >= head["sequence"] for item in serving):
                break
        if time.time() - last > 60:
            raise TimeoutError("the burst did not converge in 60 s")
        await asyncio.sleep(0.05)
    applied = max(datetime.fromisoformat(item["appliedAt"]).timestamp() for item in serving)
    return max(0.0, applied - last) * 1000, head["sequence"] - before


async def shard_text(system: System) -> str:
    """The text of one of the map's shards."""
    head = json.loads((await system.api.get(object_path("configmaps", NAMESPACE, MAP)))["data"]["head.json"])
    shard = await system.api.get(object_path("configmaps", NAMESPACE, head["shards"][0]["name"]))
    text: str = shard["data"]["connectors.json"]
    return text


async def main(changes: int) -> None:
    async with running_system(GATEWAYS) as system:
        names = [f"connector-{number:04d}" for number in range(CONNECTORS)]
        say(f"creating {CONNECTORS} connectors")
        await system.create(names, 16)
        await system.until_served(CONNECTORS)
        await system.all_ready(CONNECTORS)
        times, reader = ReadyTimes(), Reader()
        floor = Floor(system, await shard_text(system))
        tasks = [asyncio.create_task(times.follow(system)), asyncio.create_task(reader.run(system)), await floor.start()]
        await times.started.wait()
        say(f"{changes} single changes, each followed by one round of the floor")
        applied, ready, floors = [], [], []
        for number in range(changes):
            served, said = await change(system, random.choice(names), f"change {number}", times)
            applied.append(served)
            ready.append(said)
            await asyncio.sleep(0.5)
            floors.append(await floor.run(random.choice(names)))
            await asyncio.sleep(random.uniform(0.3, 0.9))
            if (number + 1) % 20 == 0:
                say(
                    f"  {number + 1}: served p50 {percentile(applied, 0.5):.0f} ms p99 {percentile(applied, 0.99):.0f}, "
                    f"ready p99 {percentile(ready, 0.99):.0f}, floor p50 {percentile(floors, 0.5):.0f}"
                )
        say(f"a burst of {BURST} creates")
        await asyncio.sleep(2)
        converged, revisions = await burst(system)
        for task in tasks:
            task.cancel()
        await floor.close()
        floor_p50 = percentile(floors, 0.5)
        p50 = percentile(applied, 0.5)
        result(
            {
                "benchmark": "propagation",
                "connectors": CONNECTORS,
                "gateways": GATEWAYS,
                "changes": changes,
                "floor_p50_ms": floor_p50,
                "floor_p99_ms": percentile(floors, 0.99),
                "apply_to_served_p50_ms": p50,
                "apply_to_served_p99_ms": percentile(applied, 0.99),
                "ratio_to_floor_p50": p50 / floor_p50,
                "ready_status_p50_ms": percentile(ready, 0.5),
                "ready_status_p99_ms": percentile(ready, 0.99),
                "requests": reader.requests,
                "failed_requests": reader.failed,
                "burst_converged_ms": converged,
                "burst_revisions": revisions,
            }
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=300)
    asyncio.run(main(parser.parse_args().changes))
