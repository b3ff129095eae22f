"""Notices that a client closed its connection, for handlers that end their work when nobody waits for it."""

import asyncio
from typing import Any

from starlette.types import Receive


async def wait_for_disconnect(receive: Receive) -> None:
    """Return when the client has closed the connection. Call it once the body is read: it drops whatever else arrives."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def cancel_and_wait(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and return when all have ended. Their results and exceptions stay in the tasks."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
