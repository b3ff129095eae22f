"""When the loop works: nothing that is marked is lost, a first change goes out at once, and a flood slows down to once a second."""

import asyncio
from collections.abc import Iterator

import pytest

from junctor.reconcile.wakeups import FIRST_GAP, LONGEST_GAP, QUIET, Dirty, DirtySet, Pacer
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


# --- the pace of publishing --------------------------------------------------------------------------------------------------------------


def test_first_change_waits_for_nothing() -> None:
    assert Pacer().delay(100.0) == 0.0


def test_second_change_waits_for_the_first_gap() -> None:
    pacer = Pacer()
    pacer.published(100.0)
    assert pacer.delay(100.0) == pytest.approx(FIRST_GAP)
    assert pacer.delay(100.0 + FIRST_GAP / 2) == pytest.approx(FIRST_GAP / 2)


def test_gaps_double_under_sustained_change_up_to_the_longest() -> None:
    pacer, now, gaps = Pacer(), 100.0, []
    for _ in range(8):
        gap = pacer.delay(now)
        gaps.append(gap)
        now += gap
        pacer.published(now)
    assert gaps == pytest.approx([0.0, 0.05, 0.1, 0.2, 0.4, 0.8, LONGEST_GAP, LONGEST_GAP])


def test_change_after_a_quiet_time_goes_out_at_once_and_starts_over() -> None:
    pacer, now = Pacer(), 100.0
    for _ in range(4):
        now += pacer.delay(now)
        pacer.published(now)
    now += QUIET
    assert pacer.delay(now) == 0.0
    pacer.published(now)
    assert pacer.delay(now) == pytest.approx(FIRST_GAP)


def test_delay_is_never_negative() -> None:
    pacer = Pacer()
    pacer.published(100.0)
    assert pacer.delay(100.9) == 0.0


def test_changes_slower_than_the_gap_never_wait() -> None:
    pacer, now, gaps = Pacer(), 100.0, []
    for _ in range(8):
        gaps.append(pacer.delay(now))
        pacer.published(now)
        now += 0.8
    assert gaps == [0.0] * 8
