"""MCP servers whose answers are small on the wire and large in memory, or many, or endless."""

from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI

from tests.support.attacks import bystander, cpu_seconds, memory, reset_peak
from tests.support.hostile_mcp import EVENTS, Handler, hostile_server, page, paged, result, same_tools
from tests.support.running_gateway import ANSWER, ECHO, RunningGateway, calls_of, mcp_tool, respond

#: MiB that one hostile server may cost.
MOST = 32
SIZE = 4_000_000


@pytest.fixture
async def client(victim: RunningGateway) -> Any:
    async with victim.client() as client:
        yield client


def tools(victim: RunningGateway, connector: str, times: int = 1) -> list[httpx.Response]:
    with httpx.Client(timeout=60, trust_env=False) as http:
        return [http.get(f"{victim.url}/connectors/{connector}/tools") for _ in range(times)]


async def warm_up(victim: RunningGateway, client: AsyncOpenAI) -> None:
    """Let the gateway do once what it does with every server, so that the memory of code and pools is not counted."""
    with hostile_server() as polite:
        connector = await victim.connector(polite.url)
        [listing] = tools(victim, connector)
        assert [tool["name"] for tool in listing.json()["data"]] == ["echo"]
        assert await said(victim, client, connector) == "well"


async def said(victim: RunningGateway, client: AsyncOpenAI, connector: str) -> Any:
    """What the model's call of `echo` gives: the output, or the error as text."""
    model = victim.plays(ECHO, ANSWER)
    [call] = calls_of(await respond(client, stream=False, model=model, tools=[mcp_tool(connector)], input="hi"))
    return call.output or str(call.error)


def as_events(handler: Handler, request: dict[str, Any]) -> None:
    handler.send(b'data: "\ndata: ' + result(request, page(b"[]," * (SIZE // 3))) + b"\n\n", EVENTS)


def in_another_character_set(handler: Handler, request: dict[str, Any]) -> None:
    body = b"data: " + result(request, page(b"[]," * (SIZE // 3))) + b"\n\n"
    handler.send(body.decode().encode("cp037"), f"{EVENTS}; charset=cp037")


def tiny_pieces(handler: Handler, request: dict[str, Any]) -> None:
    handler.stream((b" " for _ in range(500_000)), "application/json")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (paged(b"[]," * (SIZE // 3), 6), "more than 50000 values"),
        (paged(b'{"":{}},' * 5_000, 64), "more than 50000 values"),
        (paged(b'"%s",' % (b"x" * 1_000_000), 64), "more than 4194304 bytes"),
        (same_tools, "more than 50000 values"),
        (as_events, "more than 50000 values"),
        (in_another_character_set, "could not be listed"),
        (tiny_pieces, "pieces of a few bytes"),
    ],
    ids=["one tool", "many pages of values", "many pages of bytes", "one name", "events", "character set", "pieces"],
)
async def test_a_hostile_listing_costs_little_and_is_not_repeated_at_once(
    victim: RunningGateway, client: AsyncOpenAI, answer: Any, says: str
) -> None:
    await warm_up(victim, client)
    with hostile_server(tools_list=answer) as hostile, bystander(f"{victim.management}/-/livez") as probes:
        connector = await victim.connector(hostile.url)
        before, used = reset_peak(victim.process), cpu_seconds(victim.process)
        refused = tools(victim, connector, 20)
        assert [answer.status_code for answer in refused] == [424] * 20
        assert says in refused[0].json()["error"]["message"]
        assert refused[-1].json() == refused[0].json()
        assert memory(victim.process).peak < before.now + MOST
        # Two attempts at once, and one after each pause: 1 s, 2 s, 4 s.
        assert hostile.count("tools/list") <= 5
        assert cpu_seconds(victim.process) - used < 10
    assert not probes.failures


def empty_parts(handler: Handler, request: dict[str, Any]) -> None:
    handler.result(request, b'{"content":[%s]}' % b",".join([b'{"type":"text","text":""}'] * 80_000))


def few_empty_parts(handler: Handler, request: dict[str, Any]) -> None:
    handler.result(request, b'{"content":[%s]}' % b",".join([b'{"type":"text","text":""}'] * 1_001))


def structured(handler: Handler, request: dict[str, Any]) -> None:
    handler.result(request, b'{"content":[],"structuredContent":{"x":[%s0]}}' % (b"[]," * (2_100_000 // 3)))


def structured_error_page(handler: Handler, request: dict[str, Any]) -> None:
    body = b'{"error":{"code":1,"message":[%s0]}}' % (b"[]," * (2_000_000 // 3))
    handler.begin(status="500", Content_Length=str(len(body)))
    handler.wfile.write(body)
    handler.wfile.flush()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (empty_parts, "more than 104857 values"),
        (few_empty_parts, "more than 1000 parts"),
        (structured, "more than 104857 values"),
        (structured_error_page, "HTTP 500"),
    ],
    ids=["80,000 parts", "1,001 parts", "values", "error page"],
)
async def test_a_hostile_result_fails_its_call_and_costs_little(
    victim: RunningGateway, client: AsyncOpenAI, answer: Any, says: str
) -> None:
    await warm_up(victim, client)
    with hostile_server(tools_call=answer) as hostile, bystander(f"{victim.management}/-/livez") as probes:
        connector = await victim.connector(hostile.url)
        assert [listing.status_code for listing in tools(victim, connector)] == [200]
        before = reset_peak(victim.process)
        for _ in range(3):
            assert says in await said(victim, client, connector)
        assert memory(victim.process).peak < before.now + MOST
        del hostile.answers["tools/call"]
        assert await said(victim, client, connector) == "well"
    assert not probes.failures


LARGE_TOOLS = {
    "n" * 129: b'{"name":"%s","inputSchema":{"type":"object"}}' % (b"n" * 129),
    "described": b'{"name":"described","description":"%s","inputSchema":{"type":"object"}}' % (b"d" * 16_385),
    "long": b'{"name":"long","inputSchema":{"type":"object","x":"%s"}}' % (b"x" * 65_536),
    "wide": b'{"name":"wide","inputSchema":{"type":"object","x":[%s0]}}' % (b"0," * 5_000),
    "deep": b'{"name":"deep","inputSchema":{"type":"object","x":%s0%s}}' % (b"[" * 32, b"]" * 32),
}


async def test_a_tool_that_is_too_large_is_left_out_and_named(victim: RunningGateway, client: AsyncOpenAI) -> None:
    def answer(handler: Handler, request: dict[str, Any]) -> None:
        echo = b'{"name":"echo","inputSchema":{"type":"object"}}'
        hidden = LARGE_TOOLS["wide"].replace(b"wide", b"hidden\\u001b[2J")
        handler.result(request, b'{"tools":[%s]}' % b",".join([hidden, *LARGE_TOOLS.values(), echo]))

    with hostile_server(tools_list=answer) as hostile:
        connector = await victim.connector(hostile.url, tools={"denied": ["deep"]})
        listing = tools(victim, connector)[0].json()
        assert [tool["name"] for tool in listing["data"]] == ["echo"]
        assert {tool["name"].replace("\x1b", "ESC"): tool["reason"] for tool in listing["omitted"]} == {
            "hiddenESC[2J": "its input schema has more than 5000 values",
            "n" * 128: "its name has more than 128 characters",
            "described": "its description has more than 16384 bytes",
            "long": "its input schema has more than 65536 bytes",
            "wide": "its input schema has more than 5000 values",
        }
        assert await said(victim, client, connector) == "well"
    log = victim.process.log()
    assert "left out tools: 'hidden\\x1b[2J' because" in log.replace("\\\\", "\\")
    assert "\x1b" not in log
