"""Waiting for what nobody tells of: other processes, threads and servers."""

import asyncio
from collections.abc import Callable

_DEADLINE = 60.0


async def until(fact: Callable[[], object]) -> None:
    """Wait until `fact` is true; a test that has to wait for the deadline fails."""
    async with asyncio.timeout(_DEADLINE):
        while not fact():  # noqa: ASYNC110  # there is no event
            await asyncio.sleep(0.01)
