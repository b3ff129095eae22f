"""The loop writes a status once for a change, and nothing without need."""

import asyncio
import time
from dataclasses import replace
from functools import partial
from typing import Any

from junctor.connectormap.messages import Acknowledgement
from tests.unit.planning.building import bearer
from tests.unit.reconcile.fakes import until
from tests.unit.reconcile.world import TIMING, World


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
