"""MCP servers that make the gateway work while nobody calls them, and callers who take the place of others in the pool of sessions."""

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from junctor.gateway.auth.key_file import entry_of
from tests.support.attacks import cpu_seconds
from tests.support.hostile_mcp import Handler, ends_at_once, hostile_server, result
from tests.support.running_gateway import ANSWER, ECHO, RunningGateway, calls_of, mcp_tool, respond, running_gateway
from tests.support.waiting import until

NOTE = b'data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}\n\n'


@pytest.fixture
async def client(victim: RunningGateway) -> AsyncIterator[AsyncOpenAI]:
    async with victim.client() as client:
        yield client


async def say(victim: RunningGateway, client: AsyncOpenAI, connector: str) -> str:
    """What the connector's tool gives: the output, or the error as text."""
    model = victim.plays(ECHO, ANSWER)
    [call] = calls_of(await respond(client, stream=False, model=model, tools=[mcp_tool(connector)], input="say hi"))
    return str(call.output or call.error)


async def say_or_fail(victim: RunningGateway, client: AsyncOpenAI, connector: str) -> str:
    """The same; empty when the server's tools cannot be listed."""
    with suppress(openai.APIStatusError):
        return await say(victim, client, connector)
    return ""


async def test_a_stream_that_ends_at_once_is_asked_for_at_a_pace(victim: RunningGateway, client: AsyncOpenAI) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(hostile_server(GET=ends_at_once)) for _ in range(20)]
        connectors = await asyncio.gather(*(victim.connector(server.url) for server in servers))
        assert await asyncio.gather(*(say(victim, client, connector) for connector in connectors)) == ["well"] * 20
        used = cpu_seconds(victim.process)
        await until(lambda: all(server.count("GET") >= 3 for server in servers))
        assert cpu_seconds(victim.process) - used < 1
    for server in servers:
        # Half of the pause of a second: the times are those at which a server's thread was awake.
        assert min(later - earlier for earlier, later in itertools.pairwise(server.asked["GET"])) > 0.5
    assert sum(server.count("initialize") for server in servers) == 20


class Flood:
    """Sends as much as the other side takes, until that closes the connection. ended: it did."""

    def __init__(self, chunk: bytes) -> None:
        self.chunk = chunk
        self.sent = 0
        self.ended = threading.Event()

    def __call__(self, handler: Handler, request: dict[str, Any]) -> None:
        try:
            handler.stream(self._chunks())
        finally:
            self.ended.set()

    def _chunks(self) -> Iterator[bytes]:
        while True:
            self.sent += 1
            yield self.chunk


PING = b'data: {"jsonrpc":"2.0","id":7,"method":"ping"}\n\n'
LARGE_NOTE = NOTE.replace(b"x", b"x" * 900_000)


@pytest.mark.parametrize("chunk", [NOTE * 50, PING, LARGE_NOTE, b":\n" * 30_000], ids=["notifications", "requests", "bytes", "comments"])
async def test_a_flood_of_what_nobody_asked_for_ends_the_session(victim: RunningGateway, client: AsyncOpenAI, chunk: bytes) -> None:
    flood = Flood(chunk)
    with hostile_server(GET=flood) as server:
        connector = await victim.connector(server.url)
        await say_or_fail(victim, client, connector)
        assert await asyncio.to_thread(flood.ended.wait, 20)
        del server.answers["GET"]
        assert server.count("reply") < 200
        # The connector works again after a pause.
        async with asyncio.timeout(60):
            while await say_or_fail(victim, client, connector) != "well":  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.1)


async def test_a_flood_within_an_answer_fails_the_call_and_repeated_ones_are_not_tried(victim: RunningGateway, client: AsyncOpenAI) -> None:
    flood = Flood(NOTE * 50)
    with hostile_server(tools_call=flood) as server:
        connector = await victim.connector(server.url)
        said = [await say(victim, client, connector) for _ in range(8)]
        assert all("nobody asked for" in text for text in said)
        assert "try again later" in said[-1]
        assert server.count("tools/call") <= 4


async def test_an_answer_after_many_notifications_is_given(victim: RunningGateway, client: AsyncOpenAI) -> None:
    def talkative(handler: Handler, request: dict[str, Any]) -> None:
        answer = result(request, b'{"content":[{"type":"text","text":"at last"}]}')
        handler.stream(iter([NOTE] * 200 + [b"data: " + answer + b"\n\n"]))

    with hostile_server(tools_call=talkative) as server:
        connector = await victim.connector(server.url)
        assert [await say(victim, client, connector) for _ in range(3)] == ["at last"] * 3


CHANGED = b'data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n\n'


async def test_a_server_whose_tools_always_change_is_not_asked_each_time(victim: RunningGateway) -> None:
    done = threading.Event()

    def changes(handler: Handler, _: dict[str, Any]) -> None:
        def events() -> Iterator[bytes]:
            while not done.is_set():
                yield CHANGED
                handler.wfile.flush()
                time.sleep(0.1)

        handler.stream(events())

    with hostile_server(GET=changes) as server:
        connector = await victim.connector(server.url)
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            for _ in range(40):
                assert (await http.get(f"{victim.url}/connectors/{connector}/tools")).status_code == 200
                await asyncio.sleep(0.05)
        done.set()
        assert 2 <= server.count("tools/list") < 10


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway with two callers, whose keys are `victim` and `attacker`."""
    keys = tmp_path / "keys.yaml"
    keys.write_text("".join(entry_of(name, name, ()) for name in ("victim", "attacker")))
    with running_gateway(tmp_path, "--callers", f"apikeys:{keys}", api_key="victim") as gateway:
        yield gateway


async def test_made_up_credentials_do_not_evict_the_sessions_of_others(shared: RunningGateway) -> None:
    with hostile_server() as server:
        connector = await shared.connector(server.url)
        async with shared.client() as victim, shared.client(api_key="attacker") as attacker:
            own = mcp_tool(connector, authorization="my-own-token")
            await victim.responses.create(model=shared.plays(ANSWER), tools=[own], input="hi")
            for number in range(9):
                # All of them are bound to their credentials before the last one is found to be wrong.
                tools = [mcp_tool(connector, f"label{n}", authorization=f"made-up-{number}-{n}") for n in range(127)]
                with pytest.raises(openai.BadRequestError):
                    await attacker.responses.create(model=shared.plays(ANSWER), tools=[*tools, mcp_tool("absent")], input="hi")
            listed = server.count("tools/list")
            await victim.responses.create(model=shared.plays(ANSWER), tools=[own], input="hi")
            assert server.count("tools/list") == listed
