"""The tasks that read registries: when they read, and how they follow changes."""

import asyncio

import pytest

from junctor.api.conditions import Reason, SkipReason
from tests.support.fake_registry import Stall, Status
from tests.unit.reconcile.fakes import until
from tests.unit.reconcile.reading import FastClock, reading


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
