"""When a registry is read next: intervals, pauses after failures, and requests by annotation."""

import asyncio
from datetime import UTC, datetime

import pytest

from junctor.api.conditions import Finding, Reason
from junctor.api.registry import Sync
from junctor.api.sync_report import Discovered, SyncCounts
from junctor.connectormap.entry import Entry
from junctor.net.clock import Clock
from junctor.reconcile.sync_schedule import PublicationGate, SyncRequests, SyncSchedule
from junctor.registry.sync import SyncResult

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SETTINGS = Sync(interval_seconds=60, full_interval_seconds=3600)


class StoppedClock(Clock):
    """A clock that only moves when a test or a wait moves it. Pauses are not spread."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(NOW.timestamp() + self.passed, UTC)

    def monotonic(self) -> float:
        return self.passed

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        if not event.is_set():
            self.passed += seconds

    def spread(self, seconds: float, share: float) -> float:
        return seconds


def result(complete: bool = True, *, full: bool = False, retry_after: float | None = None, full_sync_next: bool = False) -> SyncResult:
    """How a sync ended."""
    finding = Finding("True", Reason.SYNCED) if complete else Finding("False", Reason.REGISTRY_ERROR)
    return SyncResult(None, finding, complete, full, SyncCounts(), retry_after, full_sync_next)


async def pause_after(schedule: SyncSchedule, clock: StoppedClock, ended: SyncResult) -> float:
    """Wait for a sync, end it like this, and return the seconds until the next one."""
    await schedule.wait()
    schedule.finished(ended, SETTINGS)
    before = clock.passed
    await schedule.wait()
    passed = clock.passed - before
    schedule.sync_now()
    return passed


async def test_first_sync_is_due_at_once() -> None:
    clock = StoppedClock()
    await SyncSchedule(clock, 0.0).wait()
    assert clock.passed == 0.0


@pytest.mark.parametrize(
    ("ended", "pause"),
    [
        (result(), 60.0),
        (result(False), 10.0),
        (result(False, retry_after=5.0), 10.0),
        (result(False, retry_after=600.0), 600.0),
    ],
    ids=["complete", "failed", "the registry asks for less", "the registry asks for more"],
)
async def test_pause_after_a_sync(ended: SyncResult, pause: float) -> None:
    clock = StoppedClock()
    assert await pause_after(SyncSchedule(clock, 0.0), clock, ended) == pause


async def test_pauses_after_failures_double_up_to_the_interval_and_begin_anew_after_a_success() -> None:
    clock = StoppedClock()
    schedule = SyncSchedule(clock, 0.0)
    ended = [result(False)] * 5 + [result(), result(False)]
    assert [await pause_after(schedule, clock, item) for item in ended] == [10, 20, 40, 60, 60, 60, 10]


async def test_restart_forgets_failures_and_is_due_at_once() -> None:
    clock = StoppedClock()
    schedule = SyncSchedule(clock, 0.0)
    await pause_after(schedule, clock, result(False))
    assert schedule.is_failing
    schedule.sync_now(forget_failures=True)
    assert not schedule.is_failing
    before = clock.passed
    await schedule.wait()
    assert clock.passed == before


async def test_sync_that_is_requested_during_another_one_follows_it_at_once() -> None:
    clock = StoppedClock()
    schedule = SyncSchedule(clock, 0.0)
    await schedule.wait()
    schedule.sync_now()
    schedule.finished(result(), SETTINGS)
    await schedule.wait()
    assert clock.passed == 0.0


@pytest.mark.parametrize(
    ("ended", "passed", "is_due"),
    [
        (result(full=True), 3599.0, False),
        (result(full=True), 3600.0, True),
        (result(full=False), 0.0, True),
        (result(False, full=True), 0.0, True),
        (result(full=True, full_sync_next=True), 0.0, True),
    ],
    ids=["before the interval has passed", "after it", "incremental", "failed", "one that needs another"],
)
async def test_full_sync_is_due(ended: SyncResult, passed: float, is_due: bool) -> None:
    clock = StoppedClock()
    schedule = SyncSchedule(clock, 0.0)
    await schedule.wait()
    schedule.finished(ended, SETTINGS)
    clock.passed += passed
    assert schedule.full_sync_is_due is is_due


@pytest.mark.parametrize(
    ("requests", "handled", "are_new"),
    [
        (("", ""), ("", ""), False),
        (("1", ""), ("", ""), True),
        (("1", ""), ("1", ""), False),
        (("", ""), ("1", "abc"), False),
        (("1", "abc"), ("1", ""), True),
    ],
)
def test_requests_are_new_until_they_are_handled(requests: tuple[str, str], handled: tuple[str, str], are_new: bool) -> None:
    assert SyncRequests(*requests).are_new(SyncRequests(*handled)) is are_new


def found(servers: int, size: int) -> Discovered:
    """What a sync found: so many servers of so many bytes."""
    entries = [Entry.of({"id": f"mcp::internal::io.acme/{number}", "title": "t" * size}) for number in range(servers)]
    return Discovered("internal", "", "", {entry.id: entry for entry in entries}, frozenset())


async def test_the_next_sync_of_a_large_registry_waits_until_the_last_one_is_published() -> None:
    clock, large = StoppedClock(), found(100, 50_000)
    gate = PublicationGate(clock)
    waiting = asyncio.create_task(gate.wait(lambda: large))
    await asyncio.sleep(0)
    gate.pass_ended(0.0)  # its plan began before the sync ended
    for _ in range(3):
        await asyncio.sleep(0)
    assert not waiting.done()
    gate.planned = large
    gate.pass_ended(60.0)
    await waiting
    assert clock.passed == 60.0


async def test_a_small_registry_waits_only_for_its_rate() -> None:
    clock = StoppedClock()
    gate = PublicationGate(clock)
    await gate.wait(lambda: None)
    await gate.wait(lambda: found(2, 100))
    assert clock.passed == 0.0
    gate.pass_ended(5.0)
    await gate.wait(lambda: found(2, 100))
    assert clock.passed == 5.0
