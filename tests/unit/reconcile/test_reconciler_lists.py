"""The loop and LISTs: one that fails empties no map, and a loss is held until it is known to be one."""

import asyncio

import pytest

from junctor.connectormap.head import SHARD_KEY
from junctor.connectormap.messages import Acknowledgement
from junctor.reconcile.ports import Unavailable
from tests.unit.reconcile.fakes import until
from tests.unit.reconcile.world import World


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
