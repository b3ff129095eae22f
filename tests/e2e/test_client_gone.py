"""A client that goes away ends what was done for it: the tool call at its server, the generation at the model server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from openai import AsyncOpenAI
from starlette.responses import Response, StreamingResponse

from tests.support.mcp_servers import LegacyOnly, ScriptedServer, sdk_server, serving
from tests.support.model_server import Call, Round
from tests.support.running_gateway import ANSWER, ECHO, RunningGateway, calls_of, mcp_tool, respond
from tests.support.waiting import until

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])


async def happens(event: asyncio.Event) -> None:
    """Wait; long enough for any machine, and far below the 60 s after which a call ends by itself."""
    async with asyncio.timeout(60):
        await event.wait()


async def go_away(client: AsyncOpenAI, began: Callable[[], Awaitable[object]], *, stream: bool, **request: Any) -> None:
    """Send a request and leave when what it does has begun; a stream is left after an event was read."""
    if stream:
        events = await client.responses.create(**request, stream=True)
        async for _ in events:
            break
        await began()
        await events.close()
        return
    asked = asyncio.create_task(client.responses.create(**request))
    await began()
    asked.cancel()
    await asyncio.wait([asked])


@STREAMED
@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_the_tool_of_a_client_that_is_gone_is_cancelled(
    shared_gateway: RunningGateway, client: AsyncOpenAI, era: str, stream: bool
) -> None:
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def wait() -> str:
        """Wait for ever."""
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    server = sdk_server()
    server.add_tool(wait)
    app: Any = server.streamable_http_app()
    async with serving(LegacyOnly(app) if era == "legacy" else app) as url:
        tools = [mcp_tool(await shared_gateway.connector(url))]
        waits = shared_gateway.plays(Round(calls=[Call("mcp__demo__wait")]), ANSWER)
        await go_away(client, lambda: happens(began), stream=stream, model=waits, tools=tools, input="wait")
        await happens(cancelled)
        response = await respond(client, stream=stream, model=shared_gateway.plays(ECHO, ANSWER), tools=tools, input="say hi")
        assert [call.output for call in calls_of(response)] == ["Echo: hi"]


@STREAMED
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
async def test_a_server_that_ignores_the_cancellation_loses_the_connection_of_the_call(
    shared_gateway: RunningGateway, client: AsyncOpenAI, kind: str, stream: bool
) -> None:
    began, closed = asyncio.Event(), asyncio.Event()

    async def hang(_: dict[str, Any]) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b""
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                closed.set()

        return StreamingResponse(body(), media_type=kind)

    server = ScriptedServer({"tools/call": hang}, with_sessions=True)
    async with serving(server.app()) as url:
        tools = [mcp_tool(await shared_gateway.connector(url))]
        model = shared_gateway.plays(ECHO, ANSWER)
        await go_away(client, lambda: happens(began), stream=stream, model=model, tools=tools, input="say hi")
        await happens(closed)
        server.answers.clear()
        response = await respond(client, stream=stream, model=model, tools=tools, input="say hi")
        assert [call.output for call in calls_of(response)] == ["well"]
    assert server.asked("notifications/cancelled") == 1
    assert server.asked("initialize") == 1
    assert len(shared_gateway.asked(model)) == 3


@STREAMED
async def test_the_generation_of_a_client_that_is_gone_is_ended(shared_gateway: RunningGateway, client: AsyncOpenAI, stream: bool) -> None:
    model = shared_gateway.plays(Round(text="I think, and I think, and I think", hang=3))

    await go_away(client, lambda: until(lambda: shared_gateway.asked(model)), stream=stream, model=model, input="think")
    [request] = [request for request in shared_gateway.model.requests if request.body.get("model") == model]
    assert await asyncio.to_thread(request.ended.wait, 20)
    assert request.cut
