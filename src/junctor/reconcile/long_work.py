"""Work on many thousands of entries, which must not keep the loop from its other work.

Python's garbage collector stops every thread while it goes through all that lives: with a hundred thousand entries for a quarter of a
second, as often as many are made. Entries are never part of cycles, and are freed without it.
"""

import asyncio
import gc
from collections.abc import Callable
from typing import Final, TypeVar

#: From so many entries to look at, work is long.
MANY: Final = 2000
#: From so many new objects on, the garbage collector would notice them.
_MANY_OBJECTS: Final = 10_000

T = TypeVar("T")

_running = 0


async def in_thread(work: Callable[[], T]) -> T:
    """The result of long work, done in a thread while the garbage collector rests; many new objects stay out of its sight for good."""
    global _running
    _running += 1
    gc.disable()
    try:
        return await asyncio.to_thread(work)
    finally:
        _running -= 1
        # Not for a few: garbage in cycles that is there at that moment is never collected.
        if gc.get_count()[0] > _MANY_OBJECTS:
            gc.freeze()
        if not _running:
            gc.enable()
