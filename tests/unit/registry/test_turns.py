"""Turns: how many registries are read at once."""

import asyncio
from collections import Counter
from contextlib import suppress

from junctor.registry.turns import SyncTurns


class Turns(SyncTurns):
    """began: the namespaces whose turns began, in order. running: how many last."""

    def __init__(self) -> None:
        super().__init__()
        self.began: list[str] = []
        self.running: Counter[str] = Counter()
        self.end: dict[str, asyncio.Event] = {}

    async def take(self, namespace: str, name: str) -> None:
        async with self.turn(namespace):
            self.began.append(name)
            self.running[namespace] += 1
            try:
                await self.end.setdefault(name, asyncio.Event()).wait()
            finally:
                self.running[namespace] -= 1


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_namespace_never_has_all_turns_and_others_come_before_its_next_ones() -> None:
    turns = Turns()
    async with asyncio.TaskGroup() as group:
        for name in ("a1", "a2", "a3", "a4", "a5"):
            group.create_task(turns.take("a", name))
        await settled()
        assert turns.began == ["a1", "a2"]
        for name in ("b1", "b2", "c1"):
            group.create_task(turns.take(name[0], name))
        await settled()
        assert turns.began == ["a1", "a2", "b1"]
        turns.end["a1"].set()
        await settled()
        assert turns.running == {"a": 2, "b": 1} or turns.running == {"a": 1, "b": 1, "c": 1}
        while len(turns.began) < 8:
            for end in turns.end.values():
                end.set()
            await settled()
            assert turns.running.total() <= 3
            assert max(turns.running.values()) <= 2
        for end in turns.end.values():
            end.set()


async def test_a_sync_that_is_cancelled_gives_its_turn_or_its_place_back() -> None:
    turns = Turns()
    running = [asyncio.create_task(turns.take("a", name)) for name in ("a1", "a2")]
    waiting = [asyncio.create_task(turns.take("a", name)) for name in ("a3", "a4")]
    await settled()
    waiting[0].cancel()
    running[0].cancel()
    await settled()
    assert turns.began == ["a1", "a2", "a4"]
    for task in (*running, *waiting):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert not +turns.running
    last = asyncio.create_task(turns.take("a", "a5"))
    await settled()
    assert turns.began[-1] == "a5"
    turns.end["a5"].set()
    await last


async def test_scans_that_broke_off_are_forgotten_when_there_are_later_ones_or_a_large_one() -> None:
    turns, forgotten = SyncTurns(), []
    for owner in ("a", "b", "a", "c"):
        turns.keep_unfinished(owner, lambda owner=owner: forgotten.append(owner))  # type: ignore[misc]  # binds it now
    assert forgotten == ["b"]
    turns.forget_unfinished("c")
    assert forgotten == ["b", "a"]
