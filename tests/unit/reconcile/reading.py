"""The tasks that read registries, with a fake registry to read."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from junctor.api.endpoint import SecretKeyRef
from junctor.api.names import ACCEPT_SHRINK_ANNOTATION, SYNC_REQUESTED_ANNOTATION
from junctor.api.resources import RegistryResource
from junctor.api.sync_report import SyncReport
from junctor.connectormap.entry import Entry
from junctor.net.clock import Clock
from junctor.net.network_policy import OWN_MACHINE_POLICY
from junctor.reconcile.registry_memory import RegistryToSync
from junctor.reconcile.registry_syncs import RegistrySyncs
from junctor.registry.connection import HTTPRegistries
from tests.support.fake_registry import FakeRegistry
from tests.support.registry_data import record, remote
from tests.unit.planning.building import registry

ROWS = [record(f"io.acme/{name}", remotes=[remote(f"https://{name}.example.com/mcp")]) for name in "abc"]
ID = "mcp::internal::io.acme/"


class FastClock(Clock):
    """A clock on which every wait passes at once. pauses: the waits, in seconds."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self._passed = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return super().monotonic() + self._passed

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        self.pauses.append(seconds)
        self._passed += seconds
        await asyncio.sleep(0)


class Reading:
    """The syncs of one registry on a server of its own."""

    def __init__(self, server: FakeRegistry, clock: Clock, **spec: Any) -> None:
        self.server = server
        self.secrets: dict[str, bytes] = {}
        self.woken = 0
        self.on_wake: Callable[[], None] = lambda: None
        self.syncs = RegistrySyncs(HTTPRegistries(OWN_MACHINE_POLICY), self._wake, self._secret_value, clock)
        self.resource = self.changed(1, **spec)

    def _wake(self) -> None:
        self.woken += 1
        self.on_wake()

    def _secret_value(self, namespace: str, ref: SecretKeyRef, url: str) -> bytes | None:
        return self.secrets.get(f"{namespace}/{ref.name}/{ref.key}")

    def changed(self, generation: int = 1, *, requested: str = "", accepted: str = "", **spec: Any) -> RegistryResource:
        """The resource from now on."""
        annotations = {SYNC_REQUESTED_ANNOTATION: requested, ACCEPT_SHRINK_ANNOTATION: accepted}
        given = {key: value for key, value in annotations.items() if value}
        self.resource = registry(generation=generation, annotations=given, **{"url": self.server.url} | spec)
        return self.resource

    def want(self, **remembered: Any) -> None:
        self.syncs.set_registries({self.resource.uid: RegistryToSync(self.resource, **remembered)})

    def _reports(self) -> Mapping[str, SyncReport]:
        return self.syncs.reports({self.resource.uid: self.resource})

    def begun(self) -> bool:
        return self.resource.uid in self._reports()

    @property
    def report(self) -> SyncReport:
        return self._reports()[self.resource.uid]

    def is_synced(self) -> bool:
        return self.begun() and self.report.synced.status == "True"

    def reason(self) -> str:
        return str(self.report.synced.reason) if self.begun() else ""

    def full_syncs(self) -> int:
        """Lists from their first page without a filter by time."""
        return sum("updated_since" not in asked.query and "cursor" not in asked.query for asked in self.server.requests)

    def names(self) -> list[str]:
        entries: Mapping[str, Entry] = self.report.discovered.entries if self.report.discovered else {}
        return sorted(key.removeprefix(ID) for key in entries)


@asynccontextmanager
async def reading(clock: Clock | None = None, **spec: Any) -> AsyncIterator[Reading]:
    with FakeRegistry(ROWS) as server:
        item = Reading(server, clock or Clock(), **spec)
        try:
            yield item
        finally:
            await item.syncs.close()
