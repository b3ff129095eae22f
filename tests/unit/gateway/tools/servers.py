"""An MCP server that needs none."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from junctor.gateway.tools.ports import ToolListing, ToolOutcome, ToolSpec
from junctor.gateway.tools.server_errors import ListingFailed

Behaviour = Callable[[str, Mapping[str, Any]], Awaitable[ToolOutcome]]


def tool(name: str, *, read_only: bool | None = None, **properties: str) -> ToolSpec:
    return ToolSpec(
        name, f"Does {name}.", {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}}, read_only
    )


def fine(text: str) -> ToolOutcome:
    return ToolOutcome(text, None, text)


async def echo(name: str, arguments: Mapping[str, Any]) -> ToolOutcome:
    return fine(f"{name}{dict(arguments)}")


class FakeServer:
    """Records its calls. listing: an error to raise, or None for a listing that never ends."""

    def __init__(self, *tools: ToolSpec, behaviour: Behaviour = echo, error: ListingFailed | None = None, hangs: bool = False) -> None:
        self.tools = tools
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.cancelled = 0
        self._behaviour = behaviour
        self._error = error
        self._hangs = hangs

    async def list_tools(self) -> ToolListing:
        if self._hangs:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if self._error:
            raise self._error
        return ToolListing(self.tools)

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> ToolOutcome:
        self.calls.append((name, arguments))
        try:
            return await self._behaviour(name, arguments)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
