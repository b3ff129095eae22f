"""Time and randomness as one object, which tests replace."""

import asyncio
import random
import time
from contextlib import suppress
from datetime import UTC, datetime


class Clock:
    """The system's clocks."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never run backwards, for pauses and durations."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await asyncio.sleep(seconds)

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Return when the event is set, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()

    def spread(self, seconds: float, share: float) -> float:
        """Lengthen or shorten a pause at random by up to `share` of it, so that many installations do not act at the same moment."""
        return seconds * random.uniform(1 - share, 1 + share)  # noqa: S311 - spreads requests, protects nothing
