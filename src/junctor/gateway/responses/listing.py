"""Lists the tools of all servers of a request concurrently, before anything is generated."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from junctor.gateway.tools.policy import ToolPolicy
from junctor.gateway.tools.ports import ToolServer
from junctor.gateway.tools.registry import ListedServer
from junctor.gateway.tools.server_errors import ListingFailed, ListingRefused


@dataclass(frozen=True, slots=True)
class DeclaredServer:
    """A server that a request declares, bound to its target and credentials but not contacted yet."""

    label: str
    server: ToolServer = field(repr=False)
    policy: ToolPolicy = field(default_factory=ToolPolicy)
    description: str = ""


async def list_servers(servers: Sequence[DeclaredServer], deadline: float) -> list[ListedServer]:
    """List all servers concurrently. deadline: seconds. Raises ListingRefused for the first failure and cancels the other listings."""
    tasks = [asyncio.create_task(_listed(server, deadline)) for server in servers]
    try:
        for task in asyncio.as_completed(tasks):
            await task
        return [task.result() for task in tasks]
    finally:
        for pending in tasks:
            pending.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _listed(declared: DeclaredServer, deadline: float) -> ListedServer:
    try:
        async with asyncio.timeout(deadline):
            tools = await declared.server.list_tools()
    except TimeoutError:
        raise ListingRefused(declared.label, ListingFailed(f"It did not answer within {deadline:g} seconds.", 504)) from None
    except ListingFailed as failure:
        raise ListingRefused(declared.label, failure) from failure
    return ListedServer(declared.label, declared.server, tools, declared.policy, declared.description)
