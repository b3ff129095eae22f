"""A stream tells each thing when it happens: what comes later here waits until the client has read what came before."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from openai import AsyncOpenAI

from tests.support.mcp_servers import sdk_server, serving
from tests.support.model_server import Call, Round
from tests.support.running_gateway import ANSWER, RunningGateway, mcp_tool

#: Seconds after which an event counts as held back; fewer than until the first comment that fills a silence.
HELD_BACK = 10


async def events_of(client: AsyncOpenAI, **request: Any) -> AsyncIterator[Any]:
    async with asyncio.timeout(HELD_BACK):
        return aiter(await client.responses.create(**request, input="hi", stream=True))


async def until(events: AsyncIterator[Any], *kinds: str) -> list[Any]:
    """Read on until each of these kinds of events came, in this order; those events."""
    found: list[Any] = []
    async with asyncio.timeout(HELD_BACK):
        while len(found) < len(kinds):
            event = await anext(events)
            if event.type == kinds[len(found)]:
                found.append(event)
    return found


async def test_a_call_is_told_before_its_tool_ends_and_after(shared_gateway: RunningGateway, client: AsyncOpenAI) -> None:
    server = sdk_server()
    may_end = {name: asyncio.Event() for name in ("first", "second")}

    @server.tool()
    async def waits(name: str) -> str:
        """Wait for the test."""
        await may_end[name].wait()
        return name

    both = Round(calls=[Call("mcp__demo__waits", {"name": name}) for name in may_end])
    async with serving(server.streamable_http_app()) as url:
        tools = [mcp_tool(await shared_gateway.connector(url))]
        # The model hangs after the first piece of its answer.
        model = shared_gateway.plays(both, Round(text="That is all.", hang=2))
        events = await events_of(client, model=model, tools=tools)
        _, *begun = await until(events, "response.created", *["response.mcp_call.in_progress", "response.mcp_call_arguments.done"] * 2)
        may_end["first"].set()
        [ended] = await until(events, "response.mcp_call.completed")
        assert ended.item_id == begun[0].item_id
        may_end["second"].set()
        [ended, delta] = await until(events, "response.mcp_call.completed", "response.output_text.delta")
        assert ended.item_id == begun[2].item_id
        assert delta.delta == "That is "


async def test_a_response_begins_before_its_model_says_anything(shared_gateway: RunningGateway, client: AsyncOpenAI) -> None:
    async with serving(sdk_server().streamable_http_app()) as url:
        tools = [mcp_tool(await shared_gateway.connector(url))]
        events = await events_of(client, model=shared_gateway.plays(Round(hang=0), ANSWER), tools=tools)
        await until(events, "response.created", "response.in_progress", "response.mcp_list_tools.completed")
