"""Work on many thousands of entries, which must not keep the loop from its other work.

Python's garbage collector stops every thread while it goes through all that lives: with a hundred thousand entries for a quarter of a
second, as often as as many are made. Entries are never part of cycles, and are freed without it.
"""

import asyncio
import gc
from collections.abc import Callable
from typing import Final, TypeVar

#: From so many entries to look at, work is long.
MANY: Final = 2000

T = TypeVar("T")

_running = 0


async def in_thread(work: Callable[[], T]) -> T:
    """The result of long work, done in a thread while the garbage collector rests."""
    global _running
    _running += 1
    gc.disable()
    try:
        return await asyncio.to_thread(work)
    finally:
        _running -= 1
        if not _running:
            gc.enable()


def settle(made: int) -> None:
    """Take many new entries out of the garbage collector's sight. Not for a few: garbage in cycles that is there now is never collected."""
    if made > MANY:
        gc.freeze()
