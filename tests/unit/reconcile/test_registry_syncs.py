"""The tasks that read registries: when they read, what they begin with, and that nothing ends them but being unwanted."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from junctor.api.conditions import Finding, Reason, SkipReason
from junctor.api.endpoint import SecretKeyRef
from junctor.api.names import ACCEPT_SHRINK_ANNOTATION, SYNC_REQUESTED_ANNOTATION
from junctor.api.resources import RegistryResource
from junctor.api.sync_report import SyncReport
from junctor.connectormap.entry import Entry
from junctor.connectormap.head import RegistryRecord
from junctor.net.clock import Clock
from junctor.net.network_policy import OWN_MACHINE_POLICY
from junctor.reconcile.registry_memory import RegistryToSync
from junctor.reconcile.registry_syncs import RegistrySyncs
from junctor.registry.connection import HTTPRegistries
from junctor.registry.sync import RegistrySync
from tests.support.fake_registry import FakeRegistry, Stall, Status
from tests.support.registry_data import record, remote
from tests.unit.planning.building import bearer, registry
from tests.unit.reconcile.fakes import until

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


def tasks() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}


# --- begin and end ----------------------------------------------------------------------------------------------------------------------


async def test_wanted_registry_is_read_and_the_loop_is_woken() -> None:
    async with reading() as item:
        assert not item.begun()
        item.want()
        await until(item.is_synced)
        assert item.names() == ["a", "b", "c"]
        assert item.report.current
        assert (item.report.counts.found, item.report.counts.published, item.report.generation) == (3, 3, 1)
        assert item.report.last_sync == item.report.last_full_sync != ""
        assert item.woken


async def test_registry_is_read_once_however_often_it_is_wanted() -> None:
    async with reading() as item:
        for _ in range(5):
            item.want()
            await asyncio.sleep(0)
        await until(item.is_synced)
        item.want()
        await until(lambda: item.full_syncs() == 1)
        assert len([name for name in tasks() if name.startswith("registry")]) == 1


@pytest.mark.parametrize("stalled", [False, True])
async def test_unwanted_registry_is_let_go_of_and_no_task_remains(stalled: bool) -> None:
    async with reading() as item:
        if stalled:
            item.server.fault = lambda _: Stall()
        item.want()
        await until(lambda: item.server.requests if stalled else item.is_synced())
        item.syncs.set_registries({})
        assert not item.begun()
        await item.syncs.close()
        assert not {name for name in tasks() if name.startswith(("registry", "sync"))}


async def test_registry_that_is_wanted_again_begins_anew() -> None:
    async with reading() as item:
        item.want()
        await until(item.is_synced)
        item.syncs.set_registries({})
        item.want()
        await until(item.is_synced)
        assert item.full_syncs() == 2


# --- what a new process begins with -----------------------------------------------------------------------------------------------------


async def memory_of(item: Reading) -> dict[str, Any]:
    """What the status and the map of a first process remember."""
    item.want()
    await until(item.is_synced)
    report = item.report
    assert report.discovered is not None
    item.syncs.set_registries({})
    item.server.requests.clear()
    condition = {"type": "Synced", "status": "True", "reason": "Synced", "message": "3 of 3", "observedGeneration": 1}
    found = report.discovered
    return {
        "status": {"conditions": [condition], "lastSyncTime": report.last_sync, "lastFullSyncTime": report.last_full_sync, "discovered": 3},
        "record": RegistryRecord("internal", item.resource.uid, 3, found.watermark, found.digest),
        "published": found.entries,
    }


async def test_new_process_goes_on_where_the_last_one_was() -> None:
    async with reading() as item:
        remembered = await memory_of(item)
        item.server.fault = lambda _: Stall()
        item.want(**remembered)
        await until(item.begun)
        assert (item.names(), item.report.current, item.report.counts.found) == (["a", "b", "c"], True, 3)
        assert item.report.synced == Finding("True", Reason.SYNCED, "3 of 3")
        await until(lambda: item.server.requests)
        assert "updated_since" in item.server.requests[0].query


@pytest.mark.parametrize(
    "lost",
    [
        {"status": {}},
        {"record": None},
        {"published": {}},
        {"status": {"conditions": [{"type": "Synced", "status": "False", "reason": "SuspiciousShrink", "observedGeneration": 1}]}},
    ],
    ids=["the status", "the record", "a shard", "the last sync held back"],
)
async def test_new_process_that_lost_something_syncs_everything(lost: dict[str, Any]) -> None:
    async with reading() as item:
        item.want(**await memory_of(item) | lost)
        await until(lambda: item.full_syncs() == 1)


async def test_part_of_a_registry_is_not_current_now_and_after_a_restart() -> None:
    async with reading(sync={"pageSize": 1}) as item:
        item.server.fault = lambda asked: Status(404) if "cursor" in asked.query else None
        item.want()
        await until(lambda: item.reason() == "PartialSync")
        assert (item.names(), item.report.current) == (["a"], False)
        found = item.report.discovered
        assert found is not None
        item.syncs.set_registries({})
        record = RegistryRecord("internal", item.resource.uid, 1, filter_digest=found.digest)
        item.server.fault = lambda _: Stall()
        item.want(record=record, published=found.entries)
        await until(item.begun)
        assert (item.names(), item.report.current) == (["a"], False)


async def test_condition_of_another_generation_is_not_remembered() -> None:
    async with reading() as item:
        remembered = await memory_of(item)
        item.changed(2)
        item.server.fault = lambda _: Stall()
        item.want(**remembered)
        await until(item.begun)
        assert item.report.synced.reason is Reason.SYNCING


# --- changes ----------------------------------------------------------------------------------------------------------------------------


async def test_changed_rules_start_a_scan_that_is_under_way_again() -> None:
    async with reading() as item:
        item.server.fault = lambda _: Stall()
        item.want()
        await until(lambda: item.server.requests)
        item.server.fault = lambda _: None
        item.changed(2, filter={"include": ["io.acme/a"]})
        assert item.report.generation == 2
        await until(item.is_synced)
        assert (item.names(), item.report.current) == (["a"], True)
        assert item.report.counts.skipped[SkipReason.FILTERED].count == 2


async def test_changed_rules_are_not_current_before_they_were_followed() -> None:
    async with reading() as item:
        item.want()
        await until(item.is_synced)
        item.server.fault = lambda _: Stall()
        item.changed(2, allowInsecureURLs=True)
        assert (item.report.generation, item.report.current, item.report.synced.reason) == (2, False, Reason.SYNCING)
        assert item.names() == ["a", "b", "c"]


async def test_changed_template_does_not_ask_the_registry() -> None:
    async with reading() as item:
        item.want()
        await until(item.is_synced)
        before = len(item.server.requests)
        item.changed(2, connectorTemplate={"tools": {"readOnly": True}})
        assert (item.report.generation, item.report.current, item.report.synced.status) == (2, True, "True")
        assert len(item.server.requests) == before


async def test_annotation_asks_for_a_full_sync_and_is_told_as_handled() -> None:
    async with reading() as item:
        item.want()
        await until(item.is_synced)
        assert item.report.handled_request == ""
        item.server.rows = item.server.rows[:2]
        item.changed(requested="1")
        await until(lambda: item.report.handled_request == "1")
        assert (item.full_syncs(), item.names()) == (2, ["a", "b"])


async def test_annotation_that_fails_is_handled_by_the_next_full_sync() -> None:
    async with reading(FastClock()) as item:
        item.want()
        await until(item.is_synced)
        failing = [True]
        item.server.fault = lambda _: Status(404) if failing else None
        item.changed(requested="1")
        await until(lambda: item.reason() == "NotARegistry")
        assert item.report.handled_request == ""
        failing.clear()
        await until(lambda: item.report.handled_request == "1")


async def test_annotation_during_a_scan_asks_for_another() -> None:
    async with reading() as item:
        waiting = [True]
        item.server.fault = lambda asked: Stall() if waiting and asked.number == 1 else None
        item.want()
        await until(lambda: item.server.requests)
        item.changed(requested="1", sync={"timeoutSeconds": 5})
        await until(lambda: item.report.handled_request == "1")


# --- secrets ----------------------------------------------------------------------------------------------------------------------------


async def test_registry_whose_secret_is_missing_is_read_as_soon_as_it_is_there() -> None:
    async with reading(auth=bearer()) as item:
        item.server.manner.key = "right"
        item.want()
        await until(lambda: item.reason() == "UnresolvedRefs")
        assert "team-a/token" in item.report.synced.message
        assert not item.server.requests
        item.secrets["team-a/token/value"] = b"right"
        await until(item.is_synced)


async def test_registry_that_refuses_a_secret_is_read_as_soon_as_it_is_corrected() -> None:
    async with reading(auth=bearer()) as item:
        item.server.manner.key = "right"
        item.secrets["team-a/token/value"] = b"wrong"
        item.want()
        await until(lambda: item.reason() == "RegistryUnauthorized")
        assert "wrong" not in item.report.synced.message
        item.secrets["team-a/token/value"] = b"right"
        await until(item.is_synced)


# --- failures ---------------------------------------------------------------------------------------------------------------------------


async def test_pauses_after_failures_grow_up_to_the_interval() -> None:
    clock = FastClock()
    async with reading(clock, sync={"intervalSeconds": 60}) as item:
        item.server.fault = lambda _: Status(404)
        item.want()
        await until(lambda: len(clock.pauses) >= 7)
        for pause, wanted in zip(clock.pauses, [10, 20, 40, 60, 60, 60, 60], strict=False):
            assert wanted * 0.9 <= pause <= wanted * 1.1


async def test_registry_that_asks_for_patience_gets_it() -> None:
    clock = FastClock()
    async with reading(clock, sync={"intervalSeconds": 60}) as item:
        item.server.fault = lambda _: Status(429, headers={"Retry-After": "600"})
        item.want()
        await until(lambda: clock.pauses)
        assert item.reason() == "RegistryRateLimited"
        assert 540 <= clock.pauses[0] <= 660


async def test_failed_sync_keeps_what_is_known() -> None:
    async with reading() as item:
        item.want()
        await until(item.is_synced)
        told = item.report.last_sync
        item.server.fault = lambda _: Status(404)
        item.changed(requested="1")
        await until(lambda: item.reason() == "NotARegistry")
        assert (item.names(), item.report.current, item.report.last_sync, item.report.counts.found) == (["a", "b", "c"], True, told, 3)


async def test_crash_within_a_sync_is_told_and_the_next_one_comes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole, crashes = RegistrySync.full, [True]

    async def crashing(self: RegistrySync, *given: Any) -> Any:
        if crashes:
            raise ZeroDivisionError("secret-value")
        return await whole(self, *given)

    monkeypatch.setattr(RegistrySync, "full", crashing)
    async with reading(FastClock()) as item:
        item.want()
        await until(lambda: item.reason() == "RegistryError")
        assert item.report.synced.message == "internal error: ZeroDivisionError; see the operator's log"
        crashes.clear()
        await until(item.is_synced)
    assert "a sync failed unexpectedly" in caplog.text


async def test_syncs_that_break_off_begin_anew_with_what_is_known(caplog: pytest.LogCaptureFixture) -> None:
    async with reading(FastClock()) as item:
        broken: list[bool] = []

        def break_once() -> None:
            if item.is_synced() and not broken:
                item.server.fault = lambda _: Status(500)
                broken.append(True)
                raise RuntimeError("nobody thought of this")

        item.on_wake = break_once
        item.want()
        await until(lambda: "begin anew" in caplog.text)
        await until(lambda: item.begun() and bool(broken) and item.report.synced.status != "True")
        assert item.names() == ["a", "b", "c"]
