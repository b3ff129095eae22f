"""Long work leaves the garbage collector as it was, and out of what it made."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from junctor.process import in_thread


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


async def test_collector_rests_until_the_last_work_is_done() -> None:
    first, second = threading.Event(), threading.Event()
    seen: list[bool] = []

    def wait_for(event: threading.Event) -> None:
        event.wait(20)
        seen.append(gc.isenabled())

    works = [asyncio.create_task(in_thread(partial(wait_for, event))) for event in (first, second)]
    first.set()
    await works[0]
    assert not gc.isenabled()
    second.set()
    await works[1]
    assert seen == [False, False]
    assert gc.isenabled()


async def test_collector_works_again_after_work_that_failed() -> None:
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)
    assert gc.isenabled()


@pytest.mark.parametrize(("many", "frozen"), [(50_000, True), (100, False)])
async def test_many_new_objects_are_out_of_the_collectors_sight_and_few_are_not(many: int, frozen: bool) -> None:
    gc.collect()
    made = await in_thread(lambda: [[number] for number in range(many)])
    assert len(made) == many
    assert (gc.get_freeze_count() > 0) is frozen
