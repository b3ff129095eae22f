"""What the long-running processes have in common: signals that stop them, and how the garbage collector treats large data.

Python's garbage collector stops every thread while it looks at all live objects: with a hundred thousand entries for a quarter of a second,
and as often as many new ones are made. Entries are never part of cycles and are freed without it, so large data is frozen: the collector
leaves frozen objects out.
"""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

#: Work on at least this many entries belongs in a thread.
MANY: Final = 2000
#: New objects from which the garbage collector's work would be noticed.
_MANY_OBJECTS: Final = 10_000
#: Growth of a collection after which it is frozen again.
_GROWTH: Final = 1.25

T = TypeVar("T")

_running = 0


def freeze_live_objects() -> None:
    """Collect garbage, then hide all that lives from the collector. Objects that become part of garbage cycles later are never freed."""
    gc.collect()
    gc.freeze()


class GrowthFreezer:
    """Freezes live objects when a collection has grown by a quarter. Not at every change, because of what freezing keeps alive."""

    def __init__(self) -> None:
        self._size = 0

    def size_changed(self, size: int) -> None:
        """Note the collection's size, and freeze when it is much larger than at the last time."""
        if size > self._size * _GROWTH:
            self._size = size
            freeze_live_objects()


async def in_thread(work: Callable[[], T]) -> T:
    """Do long work in a thread while the garbage collector is off. When it made many objects, they are frozen."""
    global _running
    _running += 1
    gc.disable()
    try:
        return await asyncio.to_thread(work)
    finally:
        _running -= 1
        # Few objects are not worth it: garbage in cycles that exists at that moment is never freed.
        if gc.get_count()[0] > _MANY_OBJECTS:
            gc.freeze()
        if not _running:
            gc.enable()


@contextlib.contextmanager
def stop_on_signals(stopping: asyncio.Event) -> Iterator[None]:
    """Set `stopping` at SIGTERM or SIGINT while the context lasts."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stopping.set)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
