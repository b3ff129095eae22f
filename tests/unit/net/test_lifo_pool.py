"""What is kept for the next use, and for how long."""

import pytest

from junctor.net.lifo_pool import LifoPool


class Pool:
    """A stack of numbers, and a clock."""

    def __init__(self, most: int = 10) -> None:
        self.now = 0.0
        self.made = 0
        self.closed: list[int] = []
        self.stack: LifoPool[int] = LifoPool(self._make, self._close, most=most, seconds=3.0, clock=lambda: self.now)

    def _make(self) -> int:
        self.made += 1
        return self.made

    async def _close(self, number: int) -> None:
        self.closed.append(number)


@pytest.fixture
def pool() -> Pool:
    return Pool()


async def test_the_last_one_used_is_used_again(pool: Pool) -> None:
    taken = [pool.stack.take() for _ in range(3)]
    for number in taken:
        await pool.stack.give(number)
    assert [pool.stack.take(), pool.stack.take()] == [3, 2]
    assert pool.made == 3


async def test_those_that_are_not_needed_are_closed(pool: Pool) -> None:
    taken = [pool.stack.take() for _ in range(3)]
    for pool.now, number in enumerate(taken):
        await pool.stack.give(number)
    pool.now = 4.5
    await pool.stack.give(pool.stack.take())
    assert pool.closed == [1, 2]


async def test_no_more_than_so_many_are_kept() -> None:
    pool = Pool(most=2)
    for number in [pool.stack.take() for _ in range(3)]:
        await pool.stack.give(number)
    assert pool.closed == [1]


async def test_the_end_closes_all(pool: Pool) -> None:
    for number in [pool.stack.take() for _ in range(2)]:
        await pool.stack.give(number)
    used = pool.stack.take()
    await pool.stack.aclose()
    assert pool.closed == [1]
    await pool.stack.give(used)
    assert pool.closed == [1, 2]
