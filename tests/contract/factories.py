"""The implementations that the contract tests run against. To have another one tested, add its factory here.

A factory gives `MapObjects` of a map that has no objects yet, and removes what it made on leaving.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from junctor.reconcile.ports import MapObjects
from junctor.standalone.adapters import MemoryMapObjects

Factory = Callable[[], AbstractAsyncContextManager[MapObjects]]


@asynccontextmanager
async def in_memory() -> AsyncIterator[MapObjects]:
    """What standalone uses."""
    yield MemoryMapObjects("junctor-connectors")


FACTORIES: list[Factory] = [in_memory]
