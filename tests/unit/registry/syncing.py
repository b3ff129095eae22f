"""A RegistrySync with the real client on a registry of its own, and a clock that both go by."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from junctor.api.limits import DEFAULT_LIMITS
from junctor.api.sync_report import Discovered
from junctor.connectormap.entry import Entry
from junctor.net.clock import Clock
from junctor.registry.client import RegistryClient
from junctor.registry.sync import RegistrySync, SyncResult
from tests.support.entries import content_of
from tests.support.fake_registry import FakeRegistry
from tests.support.registry_data import PUBLISHED, Row, record, remote, servers
from tests.unit.registry.building import rules

NOW: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)
ID: Final = "mcp::internal::"


class _Sleepless(Clock):
    """A clock whose pauses nobody waits for."""

    async def sleep(self, seconds: float) -> None:
        pass


class Syncing(FakeRegistry):
    """sync: by `spec`. now: of the registry and of the sync; change it with `later`. accept_shrink: as the owner confirms it.

    room: how much the registry may have.
    """

    def __init__(self, rows: Iterable[Row] = (), *, page_size: int = 100, retries: int = 0, **spec: Any) -> None:
        super().__init__(rows)
        self.now = self.manner.date = NOW
        self.page_size = page_size
        self.retries = retries
        self.room = DEFAULT_LIMITS.registry.room
        self.sync = self.new_sync(**spec)

    def new_sync(self, memory: Discovered | None = None, **spec: Any) -> RegistrySync:
        """Another sync of the registry, as after a restart or a change of the spec."""
        self.accept_shrink = ""
        self.sync = RegistrySync(rules(**spec), memory, now=lambda: self.now, room=lambda: self.room)
        return self.sync

    def later(self, **passed: float) -> None:
        """Let time pass (minutes=20)."""
        self.now += timedelta(**passed)
        self.manner.date = self.now

    async def full(self) -> SyncResult:
        self.requests.clear()
        async with self._client() as client:
            return await self.sync.full(client, self.accept_shrink)

    async def incremental(self) -> SyncResult:
        self.requests.clear()
        async with self._client() as client:
            return await self.sync.incremental(client, self.accept_shrink)

    def _client(self) -> RegistryClient:
        return RegistryClient(self.url, page_size=self.page_size, retries=self.retries, clock=_Sleepless())

    @property
    def entries(self) -> Mapping[str, Entry]:
        """What is published, by connector id."""
        return self.sync.discovered.entries if self.sync.discovered else {}

    @property
    def names(self) -> list[str]:
        """The servers that may be called."""
        return sorted(key.removeprefix(ID) for key, entry in self.entries.items() if content_of(entry)["available"])

    def content(self, name: str) -> dict[str, Any]:
        """The entry of a server."""
        return content_of(self.entries[f"{ID}{name}"])

    def change(self, name: str, version: str = "1.0.0", **more: Any) -> None:
        """Publish a version now."""
        fields: dict[str, Any] = {
            "remotes": [remote(f"https://{name.split('/')[1]}.example.com/mcp")],
            "updated": self.now.timestamp(),
        } | more
        self.publish(record(name, version, **fields))


def usable(count: int) -> list[Row]:
    """So many servers with one version each, that are all published; their names are in their order."""
    return servers(count, mix=PUBLISHED, older=False)


def named(*names: str, **more: Any) -> list[Row]:
    """Servers with these names."""
    return [record(name, remotes=[remote(f"https://{name.split('/')[1]}.example.com/mcp")], **more) for name in names]
