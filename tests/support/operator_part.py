"""The operator's loop in a process of its own, without a cluster: `python -m tests.support.operator_part MANIFESTS REPORT`.

It is `junctor standalone` without the gateway, and keeps no more of the map than the operator does: an API server holds the texts. It
writes REPORT twice a second: {"bytes": all that was written to the map, "resources": the resources with their statuses}.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from junctor.api.configuration import GatewaySpec, OperatorConfiguration
from junctor.logs import configure_logging
from junctor.net.configuration import API_VERSION
from junctor.net.network_policy import OWN_MACHINE_POLICY
from junctor.process import freeze_live_objects
from junctor.reconcile.ports import StoredObject, Unavailable
from junctor.reconcile.reconciler import Reconciler
from junctor.reconcile.snapshot import Snapshot
from junctor.reconcile.stored_map import without_data
from junctor.registry.connection import HTTPRegistries
from junctor.standalone.adapters import InProcessSignal, MemoryMapObjects, MemoryStatusSink, StoreCluster, StoreObserver
from junctor.standalone.directory import ManifestDirectory
from junctor.standalone.objects import ObjectStore
from tests.cluster.processes import Process

NAME = "default"


class WrittenMap(MemoryMapObjects):
    """Counts the bytes of the shards and forgets them."""

    def __init__(self) -> None:
        super().__init__("map")
        self.bytes = 0

    async def create_shard(self, name: str, text: str) -> StoredObject:
        stored = await super().create_shard(name, text)
        self.bytes += len(text.encode())
        self._shards[name] = without_data(stored)
        return stored

    async def list_shards(self) -> Sequence[StoredObject]:
        if self._shards:
            raise Unavailable("the texts are not kept")
        return []


async def run(manifests: Path, report: Path) -> None:
    """Reconcile until killed."""
    gateway = GatewaySpec(name=NAME, namespace="operator", map="map")
    configuration = OperatorConfiguration(api_version=API_VERSION, kind="OperatorConfiguration", gateways=(gateway,))
    objects, store = WrittenMap(), ObjectStore()
    snapshot = Snapshot(configuration, await objects.installation_key())
    cluster, sink = StoreCluster(store, snapshot), MemoryStatusSink(store)
    reconciler = Reconciler(
        configuration, snapshot, cluster, {NAME: objects}, {NAME: InProcessSignal()}, sink, HTTPRegistries(OWN_MACHINE_POLICY)
    )
    directory = ManifestDirectory(manifests, store)
    await directory.scan()
    store.subscribe(StoreObserver(reconciler))
    freeze_live_objects()

    async def keep_reporting() -> None:
        while True:
            kinds = ("MCPConnector", "MCPRegistry")
            text = json.dumps({"bytes": objects.bytes, "resources": [dict(item) for kind in kinds for item in store.list(kind)]})
            report.with_suffix(".new").write_text(text)
            report.with_suffix(".new").rename(report)
            await asyncio.sleep(0.5)

    async with asyncio.TaskGroup() as group:
        for part in (reconciler.run(), directory.run(), keep_reporting()):
            group.create_task(part)


class OperatorPart(Process):
    """The process, its directory of manifests, and what it reports."""

    def __init__(self, directory: Path) -> None:
        self.manifests, self._report = directory / "manifests", directory / "report"
        self.manifests.mkdir()
        command = [sys.executable, "-m", "tests.support.operator_part", str(self.manifests), str(self._report)]
        super().__init__("operator part", command, log_file=directory / "log")

    def apply(self, kind: str, name: str, namespace: str = "team-a", annotations: dict[str, str] | None = None, **spec: Any) -> None:
        """Create or change a resource."""
        metadata = {"name": name, "namespace": namespace, "annotations": annotations or {}}
        body = {"apiVersion": "junctor.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
        path = self.manifests / f"{kind}-{name}.yaml"
        path.with_suffix(".new").write_text(json.dumps(body))
        path.with_suffix(".new").rename(path)

    def report(self) -> dict[str, Any]:
        """What it reported last; empty before that."""
        if not self._report.exists():
            return {"bytes": 0, "resources": []}
        found: dict[str, Any] = json.loads(self._report.read_text())
        return found

    def status(self, name: str) -> dict[str, Any]:
        """The status of a resource."""
        found = (item.get("status", {}) for item in self.report()["resources"] if item["metadata"]["name"] == name)
        return next(found, {})

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        """A condition of a resource; empty when it has none."""
        return next((item for item in self.status(name).get("conditions", ()) if item["type"] == kind), {})


if __name__ == "__main__":
    configure_logging("text", "info")
    uvloop.run(run(Path(sys.argv[1]), Path(sys.argv[2])))
