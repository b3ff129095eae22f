"""Admission of reviews: rate, turns, and what becomes of those that do not wait any longer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from junctor.gateway.auth import review_admission
from junctor.gateway.auth.review_admission import NotAdmitted, ReviewAdmission


class Senders:
    """Asks for turns; `order` has the senders in the order of their turns."""

    def __init__(self, admission: ReviewAdmission) -> None:
        self._admission = admission
        self.order: list[str] = []
        self.end = asyncio.Event()

    async def send(self, sender: str) -> None:
        async with self._admission.admit(sender):
            self.order.append(sender)
            await self.end.wait()

    @asynccontextmanager
    async def sending(self, senders: str) -> AsyncIterator[list["asyncio.Task[None]"]]:
        tasks = [asyncio.create_task(self.send(sender)) for sender in senders]
        await asyncio.sleep(0)
        yield tasks
        self.end.set()
        await asyncio.gather(*tasks, return_exceptions=True)


def unlimited(**limits: int) -> Senders:
    return Senders(ReviewAdmission(per_second=1e9, burst=10**9, **limits))


async def test_senders_take_turns() -> None:
    senders = unlimited(concurrent=1, waiting=100)
    async with senders.sending("aaaaabbc"):
        senders.end.set()
    assert "".join(senders.order) == "aabcabaa"


async def test_the_busiest_sender_loses_when_too_many_wait() -> None:
    senders = unlimited(concurrent=1, waiting=3)
    async with senders.sending("aaaabc") as tasks:
        done, _ = await asyncio.wait(tasks[:4], return_when=asyncio.FIRST_COMPLETED)
        assert done <= set(tasks[1:4])
    failures = [task.exception() for task in tasks]
    assert [type(failure) for failure in failures] == [type(None), type(None), NotAdmitted, NotAdmitted, type(None), type(None)]


async def test_no_more_than_the_burst_is_admitted_at_once_and_the_rest_as_time_goes_by() -> None:
    senders = Senders(ReviewAdmission(per_second=50, burst=3, concurrent=100, waiting=100))
    began = asyncio.get_running_loop().time()
    async with senders.sending("abcdefgh") as tasks:
        assert senders.order == ["a", "b", "c"]
        senders.end.set()
        await asyncio.gather(*tasks)
        assert asyncio.get_running_loop().time() - began > 4.9 / 50
    assert "".join(senders.order) == "abcdefgh"


async def test_a_review_that_has_waited_for_too_long_is_not_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_admission, "_PATIENCE", 0.01)
    senders = unlimited(concurrent=1)
    async with senders.sending("ab") as (_, late):
        with pytest.raises(NotAdmitted):
            await late


async def test_the_turn_of_a_cancelled_review_is_free_for_the_next() -> None:
    senders = unlimited(concurrent=1)
    async with senders.sending("abc") as (first, second, third):
        first.cancel()
        await asyncio.sleep(0)
        second.cancel()  # its turn came in this moment
        for _ in range(5):
            await asyncio.sleep(0)
        assert not third.done()
    assert senders.order == ["a", "c"]


async def test_a_review_that_is_cancelled_in_the_moment_of_its_turn_takes_no_turn() -> None:
    senders = unlimited(concurrent=1)
    async with senders.sending("abc") as (first, second, _):
        first.cancel()
        second.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
    assert senders.order == ["a", "c"]
    assert first.cancelled()
    assert second.cancelled()
