"""The set of what the loop has to look at: nothing that is marked is lost, and a timer never hides an earlier one."""

import asyncio
from collections.abc import Iterator

import pytest

from junctor.reconcile.dirty import Dirty, DirtySet
from tests.unit.reconcile.fakes import until


@pytest.fixture
def dirty() -> Iterator[DirtySet]:
    made = DirtySet()
    yield made
    made.close()


async def test_waiting_ends_with_the_first_of_the_kinds(dirty: DirtySet) -> None:
    waiting = asyncio.create_task(dirty.wait(Dirty.MAPS | Dirty.CLEAN_UP))
    await asyncio.sleep(0)
    dirty.mark(Dirty.REFRESH)
    await asyncio.sleep(0)
    assert not waiting.done()
    dirty.mark(Dirty.CLEAN_UP)
    await waiting
    assert dirty.take(Dirty.MAPS | Dirty.CLEAN_UP) is Dirty.CLEAN_UP


async def test_kind_that_was_marked_before_anybody_waits_is_not_lost(dirty: DirtySet) -> None:
    dirty.mark(Dirty.MAPS)
    await dirty.wait(Dirty.MAPS)
    assert Dirty.MAPS in dirty


async def test_taken_kind_is_clean_and_the_others_are_not(dirty: DirtySet) -> None:
    dirty.mark(Dirty.MAPS | Dirty.REFRESH)
    assert dirty.take(Dirty.MAPS) is Dirty.MAPS
    assert Dirty.MAPS not in dirty
    assert Dirty.REFRESH in dirty


async def test_cancelled_wait_keeps_no_other_from_its_kind(dirty: DirtySet) -> None:
    waits = [asyncio.create_task(dirty.wait(Dirty.MAPS)) for _ in range(2)]
    await asyncio.sleep(0)
    waits[0].cancel()
    dirty.mark(Dirty.MAPS)
    await waits[1]


async def test_statuses_are_those_of_single_resources_until_all_are_marked(dirty: DirtySet) -> None:
    dirty.mark_status("a")
    dirty.mark_status("b")
    assert not dirty.all_statuses
    assert dirty.take_statuses() == frozenset({"a", "b"})
    dirty.mark_status("a")
    dirty.mark(Dirty.STATUSES)
    dirty.mark_status("b")
    assert dirty.all_statuses
    assert dirty.take_statuses() is None
    assert dirty.take_statuses() == frozenset()


async def test_which_statuses_are_dirty_stays_known_when_the_kind_is_taken(dirty: DirtySet) -> None:
    dirty.mark_status("a")
    dirty.take(Dirty.STATUSES)
    assert dirty.take_statuses() == frozenset({"a"})


@pytest.mark.parametrize("seconds", [(0.01, 3600.0), (3600.0, 0.01)], ids=["earlier first", "later first"])
async def test_earliest_timer_of_a_kind_counts(dirty: DirtySet, seconds: tuple[float, float]) -> None:
    for pause in seconds:
        dirty.mark_in(Dirty.MAPS, pause)
    await until(lambda: Dirty.MAPS in dirty)


async def test_timer_can_be_armed_again_once_it_fired(dirty: DirtySet) -> None:
    for _ in range(2):
        dirty.mark_in(Dirty.CLEAN_UP, 0.001)
        await dirty.wait(Dirty.CLEAN_UP)
        dirty.take(Dirty.CLEAN_UP)


async def test_closed_set_fires_no_timer(dirty: DirtySet) -> None:
    dirty.mark_in(Dirty.MAPS, 0.001)
    dirty.close()
    later = DirtySet()
    later.mark_in(Dirty.MAPS, 0.002)
    await later.wait(Dirty.MAPS)
    assert Dirty.MAPS not in dirty
