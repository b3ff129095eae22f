"""Any answer of an MCP server, as JSON or as events: tools and outcomes, or ListingFailed, within seconds."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from junctor.connectormap.policy import Limits
from junctor.gateway.mcp import McpClient
from junctor.gateway.mcp.http_pools import HttpPools
from junctor.gateway.mcp.target import target_of_params
from junctor.gateway.tools.server_errors import ListingFailed
from junctor.net.network_policy import OWN_MACHINE_POLICY
from tests.support.fuzzing import JSON_TOKENS, kept, mutated, values
from tests.support.hostile_mcp import EVENTS, JSON, Handler, HostileServer, hostile_server

TOOL = {
    "name": "echo",
    "title": "Echo",
    "description": "d",
    "inputSchema": {"type": "object", "properties": {"a": {"type": "string"}}},
    "annotations": {"readOnlyHint": True},
    "_meta": {"x": 1},
}
CONTENT: list[dict[str, Any]] = [
    {"type": "text", "text": "x"},
    {"type": "image", "data": "AA==", "mimeType": "image/png"},
    {"type": "resource_link", "uri": "file:///a", "name": "a"},
    {"type": "resource", "resource": {"uri": "file:///a", "text": "x"}},
]
RESULTS: list[dict[str, Any]] = [
    {"protocolVersion": "2025-11-25", "capabilities": {"tools": {"listChanged": True}}, "serverInfo": {"name": "h", "version": "1"}},
    {"tools": [TOOL], "nextCursor": "c"},
    {"tools": [TOOL, TOOL | {"name": "b", "outputSchema": {"type": "object"}}]},
    {"content": CONTENT, "structuredContent": {"a": 1}, "isError": False},
    {"content": [], "isError": True},
]
NAMES = [
    *TOOL,
    "tools",
    "nextCursor",
    "content",
    "structuredContent",
    "isError",
    "text",
    "type",
    "capabilities",
    "_meta",
    "ttlMs",
    "resultType",
]
results = st.sampled_from(RESULTS) | values(NAMES, ["echo", "text", "object", "2025-11-25", "input_required", 1e300, "\ud800"])
shaken = st.builds(
    lambda base, more: {**base, **more}, st.sampled_from(RESULTS), st.dictionaries(st.sampled_from(NAMES), values(NAMES), max_size=2)
)
messages = st.builds(lambda result: b'{"jsonrpc":"2.0","id":%ID%,"result":' + json.dumps(result).encode() + b"}", results | shaken)
OTHERS = [
    b'{"jsonrpc":"2.0","id":%ID%,"error":{"code":-32601,"message":"no","data":{"supported":["2025-06-18"]}}}',
    b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}',
    b'{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{}}',
    b'[{"jsonrpc":"2.0","id":%ID%,"result":{}}]',
]
TOKENS = (*JSON_TOKENS, b"%ID%", b"data: ", b"\n\n", b"\r", b"id: 1\n", b"retry: 0\n", b"event: x\n", b":\n", b'"jsonrpc":"1.0",')
WHOLE = [b'{"jsonrpc":"2.0","id":%ID%,"result":' + json.dumps(result).encode() + b"}" for result in RESULTS] + OTHERS
bodies = messages | mutated([*WHOLE, *(b"event: message\nid: 1\ndata: " + body + b"\n\n" for body in WHOLE)], TOKENS)
#: One answer: status, whether as events, body.
answers = st.tuples(st.sampled_from([200, 200, 200, 200, 202, 204, 302, 400, 401, 404, 429, 500]), st.booleans(), bodies)
#: The connection is refused sooner, and calls end sooner, than a gateway's would: what is slow on purpose costs no time here.
LIMITS = Limits(connect_timeout=2.0, call_timeout=2.0)
#: Seconds, for connecting, listing and calling.
PATIENCE = 30.0
METHODS = ("server/discover", "initialize", "tools/list", "tools/call")
#: Each one needs a session of its own.
_SHARE = (settings.default or settings()).max_examples // 4


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with hostile_server() as server:
        yield server


def answering(status: int, as_events: bool, body: bytes) -> Any:
    def answer(handler: Handler, request: dict[str, Any]) -> None:
        whole = body.replace(b"%ID%", json.dumps(request.get("id")).encode())
        if as_events and not whole.startswith(b"event:"):
            whole = b"data: " + whole + b"\n\n"
        handler.send(whole, EVENTS if as_events else JSON, status=str(status))

    return answer


def replays_answers(test: Any) -> Any:
    for data, method in itertools.product(kept("mcp-answers"), METHODS):
        test = example(hostile={method: (200, data.startswith(b"event:"), data)})(test)
    return test


@replays_answers
@settings(max_examples=_SHARE)
@given(hostile=st.dictionaries(st.sampled_from(METHODS), answers, min_size=1))
async def test_any_answer_of_a_server_is_an_outcome(server: HostileServer, hostile: dict[str, tuple[int, bool, bytes]]) -> None:
    server.answers.clear()
    server.answers.update({method: answering(*answer) for method, answer in hostile.items()})
    server.asked.clear()
    pools = HttpPools(OWN_MACHINE_POLICY)
    client = McpClient(target_of_params(f"{server.url}/mcp", None, {}, LIMITS), pools)
    try:
        async with asyncio.timeout(PATIENCE):
            try:
                listing = await client.list_tools()
                repr(listing).encode()
            except ListingFailed as error:
                str(error).encode()
            outcome = await client.call_tool("echo", {})
            repr(outcome).encode()
    finally:
        await client.aclose()
        await pools.close()
