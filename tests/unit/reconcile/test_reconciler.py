"""The loop from events to statuses: one pass at a time, nothing lost, nothing believed too early, nothing written without need."""

import asyncio
import time
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from junctor.connectormap.head import HEAD_KEY, SHARD_KEY, Head
from junctor.connectormap.messages import Acknowledgement
from junctor.reconcile.ports import StoredObject, Superseded, Unavailable
from tests.unit.planning.building import bearer
from tests.unit.reconcile.fakes import head_of, until
from tests.unit.reconcile.world import TIMING, World


async def test_connector_becomes_ready_once_every_pod_serves_it() -> None:
    world = World()
    world.pod("gw-0")
    world.apply("a")
    async with world.running():
        await until(lambda: world.ready("a"))
    assert world.served == 1
    assert {item["name"]: item["acknowledged"] for item in world.sink.statuses[-1].status["gateways"]} == {"default": 1}


async def test_first_change_after_quiet_is_published_at_once_and_a_burst_in_few_heads() -> None:
    world = World()
    async with world.running():
        await until(lambda: world.served == 0)
        await world.settled()
        world.objects.calls.clear()
        for number in range(200):
            world.apply(f"c-{number}")
            await asyncio.sleep(0)
        await until(lambda: world.served == 200)
    assert world.objects.calls.count("write_head") <= 8


async def test_passes_never_overlap() -> None:
    world = World(({"name": "one", "namespace": "junctor"}, {"name": "two", "namespace": "other"}))
    writing, most = dict.fromkeys(world.maps, 0), 0

    def writes_slowly(name: str) -> None:
        """Two passes at the same time would write two heads of one map at the same time."""
        objects = world.maps[name]
        write = objects.write_head

        async def write_head(text: str, expected: StoredObject | None) -> StoredObject:
            nonlocal most
            writing[name] += 1
            most = max(most, writing[name])
            await asyncio.sleep(0.01)
            try:
                return await write(text, expected)
            finally:
                writing[name] -= 1

        objects.write_head = write_head  # type: ignore[method-assign]

    for name in world.maps:
        writes_slowly(name)
    async with world.running():
        for number in range(20):
            world.apply(f"c-{number}")
            world.loop.request_refresh()
            await asyncio.sleep(0.005)
        await until(lambda: world.served == 20)
    assert most == 1


async def test_list_that_is_due_during_another_one_follows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    refresh = world.refresh

    async def slow() -> bool:
        complete = await refresh()
        await asyncio.sleep(0.2)
        return complete

    async with world.running():
        await until(lambda: world.refreshes == 1)
        await world.settled()
        monkeypatch.setattr(world, "refresh", slow)
        world.loop.request_refresh(again_after=[0.1])
        await until(lambda: world.refreshes == 3)


async def test_failed_list_never_empties_the_map() -> None:
    world = World()
    for number in range(3):
        world.apply(f"c-{number}")
    async with world.running():
        await until(lambda: world.served == 3)
        world.listable = False
        seen = world.refreshes
        world.loop.request_refresh()
        await until(lambda: world.refreshes > seen + 1)
        await world.settled()
        assert world.served == 3


async def test_new_operator_whose_first_list_fails_leaves_the_map_as_it_is() -> None:
    first = World()
    first.apply("a")
    async with first.running():
        await until(lambda: first.served == 1)
    second = World(listable=False, version=first.version)
    second.objects.copy_from(first.objects)
    async with second.running():
        await until(lambda: second.refreshes > 1)
        await second.settled()
    assert second.objects.writes == []


@pytest.mark.parametrize("damage", ["head deleted", "head broken", "shard deleted"])
async def test_missing_kind_and_damaged_map_together_are_not_an_empty_map(damage: str) -> None:
    first = World()
    first.apply("a")
    async with first.running():
        await until(lambda: first.served == 1)
    second = World(defined=False, version=first.version)
    second.objects.copy_from(first.objects)

    async def served(sequence: int) -> Acknowledgement:
        return Acknowledgement(max(sequence, 1), "sha256:")

    second.pods.answers["gw-0"] = served
    second.pod("gw-0")
    if damage == "head deleted":
        second.objects.delete_head()
    elif damage == "head broken":
        second.objects.edit_head("broken")
    else:
        second.objects.shards.clear()
    async with second.running():
        await until(lambda: second.refreshes > 2)
        assert second.objects.writes == []
        second.connectors = dict(first.connectors)
        second.defined = True
        second.version += 1
        second.loop.request_refresh()
        await until(lambda: second.served == 1)


async def test_removed_kind_holds_every_connector_and_is_followed_once_it_is_back() -> None:
    world = World()
    for number in range(3):
        world.apply(f"c-{number}")
    async with world.running():
        await until(lambda: world.served == 3)
        world.defined = False
        for number in range(3):
            world.delete(f"c-{number}")
        await until(lambda: world.definition_reads)
        await world.settled()
        assert world.served == 3
        world.defined = True
        world.apply("c-0", url="https://new.example.com/mcp")
        world.loop.request_refresh()
        await until(lambda: world.served == 1)


async def test_deletion_that_was_seen_is_followed_at_once() -> None:
    world = World()
    for number in range(40):
        world.apply(f"c-{number}")
    async with world.running():
        await until(lambda: world.served == 40)
        for number in range(40):
            world.delete(f"c-{number}")
        await until(lambda: world.served == 0)
    assert world.sink.events == [] or all(event[2] != "ConnectorLossHeld" for event in world.sink.events)


async def test_deletions_wait_while_it_is_not_known_whether_the_kind_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.apply("a")
    async with world.running():
        await until(lambda: world.served == 1)
        asked = []

        async def unknown(kind: str) -> bool:
            asked.append(1)
            if len(asked) < 2:
                raise Unavailable("503")
            return True

        monkeypatch.setattr(world, "still_defined", unknown)
        world.delete("a")
        await until(lambda: asked)
        assert world.served == 1
        await until(lambda: world.served == 0)


async def test_loss_of_most_connectors_without_deletions_is_held_with_an_event_and_then_followed() -> None:
    world = World()
    for number in range(40):
        world.apply(f"c-{number}")
    async with world.running():
        await until(lambda: world.served == 40)
        world.vanish(*(f"c-{number}" for number in range(39)))
        await until(lambda: any(event[2] == "ConnectorLossHeld" for event in world.sink.events))
        await world.settled()
        assert world.served == 40
        world.clock.skipped += 60.0
        world.loop.wake()
        await until(lambda: world.served == 1)
    assert sum(event[2] == "ConnectorLossHeld" for event in world.sink.events) == 1


async def test_loss_that_turns_out_to_be_deletions_is_followed_at_once() -> None:
    world = World()
    for number in range(40):
        world.apply(f"c-{number}")
    async with world.running():
        await until(lambda: world.served == 40)
        gone = [dict(body) for body in world.connectors.values()]
        world.vanish(*list(world.connectors))
        await until(lambda: any(event[2] == "ConnectorLossHeld" for event in world.sink.events))
        for body in gone:  # the events come after the LIST
            if world.snapshot.observe_resource("MCPConnector", body, deleted=True):
                world.loop.wake()
        await until(lambda: world.served == 0)


async def test_connector_deleted_and_created_again_under_its_name_is_published_as_the_new_one() -> None:
    world = World()
    world.apply("a")
    async with world.running():
        await until(lambda: world.served == 1)
        world.delete("a")
        world.apply("a", uid="uid-again")
        await until(lambda: any("uid-again" in shard.data[SHARD_KEY] for shard in world.objects.shards.values()))
        await until(lambda: world.sink.statuses and world.sink.statuses[-1].resource.uid == "uid-again")


async def test_secret_rotation_is_published_without_any_other_event() -> None:
    world = World()
    world.secret("token", value="one")
    world.apply("a", auth=bearer())
    async with world.running():
        await until(lambda: world.served == 1)
        world.secret("token", value="two")
        await until(lambda: any(b"two" in held.values() for held in world.objects.secrets.values()))
        await until(lambda: all(b"one" not in held.values() for held in world.objects.secrets.values()))


async def test_status_is_written_once_for_a_change_that_pods_acknowledge_quickly() -> None:
    world = World()
    for number in range(5):
        world.pod(f"gw-{number}")
    async with world.running():
        await until(lambda: world.served == 0)
        world.apply("a")
        await until(lambda: world.ready("a"))
        await world.settled()
        assert len(world.sink.statuses) == 1
        world.apply("a", url="https://new.example.com/mcp")
        await until(lambda: len(world.sink.statuses) == 2)
        await world.settled()
    assert len(world.sink.statuses) == 2
    assert world.ready("a")


async def test_idle_system_calls_nothing_however_often_it_wakes() -> None:
    world = World()
    world.pod("gw-0")
    world.secret("token", value="one")
    world.apply("a", auth=bearer())
    async with world.running():
        await until(lambda: world.ready("a"))
        await world.settled()
        before = list(world.objects.calls), list(world.pods.asked), len(world.sink.attempts), len(world.sink.events)
        for _ in range(5):
            woken_at = time.monotonic()
            world.loop.wake()
            world.loop.wake_statuses()
            await until(partial(_has_passed_since, world, woken_at))
        await world.settled()
        assert before == (world.objects.calls, world.pods.asked, len(world.sink.attempts), len(world.sink.events))


def _has_passed_since(world: World, moment: float) -> bool:
    return time.monotonic() - (world.loop.seconds_since_pass or 0.0) > moment


async def test_full_list_of_an_unchanged_cluster_writes_nothing() -> None:
    world = World()
    world.pod("gw-0")
    world.apply("a")
    async with world.running():
        await until(lambda: world.ready("a"))
        await world.settled()
        writes, statuses, seen = list(world.objects.writes), len(world.sink.statuses), world.refreshes
        world.loop.request_refresh()
        await until(lambda: world.refreshes > seen)
        await world.settled()
        assert (world.objects.writes, len(world.sink.statuses)) == (writes, statuses)


async def test_pod_that_joins_writes_no_status() -> None:
    world = World()
    world.pod("gw-0")
    world.apply("a")
    async with world.running():
        await until(lambda: world.ready("a"))
        await world.settled()
        statuses = len(world.sink.statuses)
        world.pod("gw-1", address="10.0.0.2")
        await until(lambda: "gw-1" in {name for name, _ in world.pods.asked})
        await world.settled()
        assert len(world.sink.statuses) == statuses


async def test_pod_that_serves_a_higher_sequence_than_the_new_head_gets_a_higher_one() -> None:
    world = World()
    world.apply("a")

    async def stubborn(sequence: int) -> Acknowledgement:
        return Acknowledgement(max(41, sequence), "sha256:")

    world.pods.answers["gw-0"] = stubborn
    async with world.running():
        await until(lambda: world.served == 1)
        world.pod("gw-0")
        await until(lambda: head_of(world.objects).sequence == 42)
        await world.settled()
    assert head_of(world.objects).sequence == 42


async def test_gateway_whose_map_cannot_be_written_holds_up_no_other() -> None:
    world = World(({"name": "one", "namespace": "junctor"}, {"name": "two", "namespace": "other"}))

    def fault(call: str) -> None:
        if call == "write_head":
            raise Unavailable("403")

    world.maps["two"].fault = fault
    world.apply("a")
    async with world.running():
        await until(lambda: world.served == 1)
        await until(lambda: world.sink.last("a").get("Programmed") == ("False", "PublishFailed"))
        world.maps["two"].fault = lambda call: None
        await until(lambda: world.maps["two"].head is not None)
        await until(lambda: world.sink.last("a").get("Programmed") == ("True", "Programmed"))


async def test_object_of_the_map_that_somebody_removes_comes_back() -> None:
    world = World()
    world.apply("a")
    async with world.running():
        await until(lambda: world.served == 1)
        await world.settled()
        world.objects.delete_head()
        await until(lambda: world.objects.head is not None)
        world.objects.remove_shard(next(iter(world.objects.shards)))
        await until(lambda: world.objects.shards)


async def test_old_objects_are_removed_once_every_pod_acknowledged() -> None:
    world = World(timing=replace(TIMING, settle=0.05))
    world.pod("gw-0")
    gate = asyncio.Event()

    async def slow(sequence: int) -> Acknowledgement:
        if sequence > 1:
            await gate.wait()
        return Acknowledgement(sequence, "sha256:")

    world.pods.answers["gw-0"] = slow
    world.apply("a")
    async with world.running():
        await until(lambda: world.served == 1)
        await until(lambda: world.ready("a"))
        world.apply("a", url="https://new.example.com/mcp")
        await until(lambda: head_of(world.objects).sequence == 2)
        await world.settled()
        assert len(world.objects.shards) == 2
        gate.set()
        await until(lambda: len(world.objects.shards) == 1)


async def test_superseded_operator_ends_and_writes_no_more() -> None:
    world = World()
    world.apply("a")
    task = asyncio.create_task(world.loop.run())
    await until(lambda: world.served == 1)
    good = head_of(world.objects)
    theirs = Head(good.installation, 9, 2, good.revision, good.connectors, good.shards).to_text()
    world.objects.edit_head(theirs)
    with pytest.RaisesGroup(Superseded, flatten_subgroups=True):
        async with asyncio.timeout(20):
            await task
    assert world.objects.head is not None
    assert world.objects.head.data[HEAD_KEY] == theirs


async def test_cancelled_loop_leaves_no_task_behind() -> None:
    world = World(timing=replace(TIMING, survey=0.05))
    world.pods.answers["gw-0"] = _never
    world.pod("gw-0")
    world.apply("a")
    async with world.running():
        await until(lambda: world.served == 1)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def _never(sequence: int) -> Acknowledgement:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def test_gateways_of_one_pass_are_one_publication_for_the_pace() -> None:
    world = World(tuple({"name": f"g{number}", "namespace": f"n{number}"} for number in range(8)))
    async with world.running():
        world.apply("a")
        await until(lambda: all(objects.head is not None for objects in world.maps.values()))
        assert world.pacer.gap <= 0.2


def test_nothing_is_known_about_passes_before_the_first() -> None:
    assert World().loop.seconds_since_pass is None


async def test_own_older_status_that_comes_back_late_makes_no_second_write() -> None:
    world = World(timing=replace(TIMING, settle=0.05))
    world.pod("gw-0")
    gate = asyncio.Event()

    async def slow(sequence: int) -> Acknowledgement:
        if sequence > 1:
            await gate.wait()
        return Acknowledgement(sequence, "sha256:")

    world.pods.answers["gw-0"] = slow
    echoes: list[Any] = []
    world.sink.on_status = echoes.append
    async with world.running():
        await until(lambda: world.served == 0 and world.pods.asked_of("gw-0"))
        world.apply("a")
        await until(lambda: world.sink.last("a").get("Ready") == ("False", "AwaitingGateways"))
        gate.set()
        await until(lambda: world.ready("a"))
        for update in echoes:
            world._status_written(update)
            await world.settled()
    assert len(world.sink.statuses) == 2
