"""What the tasks that read registries begin with in a new process."""

from typing import Any

import pytest

from junctor.api.conditions import Finding, Reason
from junctor.connectormap.head import RegistryRecord
from tests.support.fake_registry import Stall, Status
from tests.unit.reconcile.fakes import until
from tests.unit.reconcile.reading import Reading, reading


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
