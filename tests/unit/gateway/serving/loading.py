"""A loader, and what it serves."""

import asyncio
from datetime import UTC, datetime

from junctor.gateway.serving.map_loader import MapLoader
from junctor.gateway.serving.served_map import ServedMap
from junctor.net.clock import Clock
from tests.unit.gateway.maps import MemorySource


class FakeTime(Clock):
    """A clock that moves only by sleeping, and sleepers that a test wakes. Pauses are not spread."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.naps: asyncio.Queue[float] = asyncio.Queue()
        self.wake = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.naps.put_nowait(seconds)
        await self.wake.wait()
        self.wake.clear()
        self.seconds += seconds

    async def nap(self) -> float:
        """How long the loader sleeps, as soon as it does."""
        async with asyncio.timeout(5):
            return await self.naps.get()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds

    def spread(self, seconds: float, share: float) -> float:
        return seconds


async def loaded(source: MemorySource, sequence: int = 1) -> MapLoader:
    loader = MapLoader(source, clock=FakeTime())
    await loader.reload(sequence)
    return loader


def serving(loader: MapLoader) -> ServedMap:
    served = loader.served()
    assert served is not None
    return served
