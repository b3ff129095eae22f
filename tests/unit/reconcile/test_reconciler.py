"""The loop from events to statuses: one pass at a time, nothing lost, nothing believed too early, nothing written without need."""

import asyncio
from dataclasses import replace

import pytest

from junctor.connectormap.head import HEAD_KEY, Head
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


async def test_secret_rotation_is_published_without_any_other_event() -> None:
    world = World()
    world.secret("token", value="one")
    world.apply("a", auth=bearer())
    async with world.running():
        await until(lambda: world.served == 1)
        world.secret("token", value="two")
        await until(lambda: any(b"two" in held.values() for held in world.objects.secrets.values()))
        await until(lambda: all(b"one" not in held.values() for held in world.objects.secrets.values()))


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
