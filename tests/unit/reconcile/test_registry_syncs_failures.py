"""The tasks that read registries and what goes wrong: missing Secrets, pauses, and that nothing ends the tasks."""

from typing import Any

import pytest

from junctor.registry.sync import RegistrySync
from tests.support.fake_registry import Status
from tests.unit.planning.building import bearer
from tests.unit.reconcile.fakes import until
from tests.unit.reconcile.reading import FastClock, reading

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
