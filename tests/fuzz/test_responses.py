"""Any body of a request for a response: a response, or an error of the caller's, and never a fault of the gateway's."""

import json
import warnings
from typing import Any

import httpx
from hypothesis import given
from hypothesis import strategies as st

from junctor.gateway.responses.loop import LoopLimits
from tests.support.fuzzing import mutated, replays, values
from tests.unit.gateway.responses.fakes import GMAIL, FakeUpstream, Gateway, answer, call, calls, function, mcp
from tests.unit.gateway.tools.servers import FakeServer, tool

APPROVAL = {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}
REQUESTED = {"type": "mcp_approval_request", "id": "mcpr_1", "arguments": "{}", "name": "fine", "server_label": "git"}
LISTED = {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "git", "tools": [{"name": "fine", "input_schema": {"type": "object"}}]}
CALLED = {"type": "mcp_call", "id": "mcp_1", "arguments": "{}", "name": "fine", "server_label": "git", "output": "x", "error": None}
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"}
ITEMS: list[dict[str, Any]] = [
    {"role": "user", "content": "hi"},
    {"role": "user", "content": [{"type": "input_text", "text": "hi"}, IMAGE]},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": []}]},
    {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "x"}]},
    {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "x"},
    *(LISTED, CALLED, REQUESTED, APPROVAL),
]
TEXT = {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}}
CHOICE = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "server_label": "git", "name": "fine"}]}
WHOLE: dict[str, Any] = {
    "model": "m",
    "input": ITEMS,
    "instructions": "Be brief.",
    "tools": [mcp(allowed_tools=["fine"], headers={"X-A": "b"}), function("f")],
    "tool_choice": CHOICE,
    "text": TEXT,
    "temperature": 0.5,
    "top_p": 1,
    "max_output_tokens": 100,
    "max_tool_calls": 3,
    "parallel_tool_calls": True,
    "metadata": {"a": "b"},
    "include": ["message.output_text.logprobs"],
    "reasoning": {"effort": "low"},
    "store": False,
    "stream": False,
    "truncation": "disabled",
    "user": "u",
}
SEEDS = [
    json.dumps(body).encode()
    for body in (
        WHOLE,
        WHOLE | {"stream": True, "stream_options": {"include_obfuscation": False}},
        *({"model": "m", "input": [item, ITEMS[0]]} for item in ITEMS),
        *(
            {"model": "m", "input": "hi", "tools": [mcp()], "tool_choice": choice}
            for choice in ("required", "none", {"type": "mcp", "server_label": "git"})
        ),
        {
            "model": "m",
            "input": "hi",
            "tools": [mcp(require_approval={"never": {"tool_names": ["fine"]}}, allowed_tools={"read_only": True})],
        },
    )
]
NAMES = sorted({*WHOLE, "previous_response_id", "conversation", "background", "prompt", *(name for item in ITEMS for name in item)})
LEAVES = [item["type"] for item in ITEMS if "type" in item] + [
    "m",
    "user",
    "mcp",
    "function",
    "auto",
    "git",
    GMAIL,
    "c1",
    10**400,
    "\ud800",
]
#: A body of known fields with values of any form.
shaken = st.builds(
    lambda base, changes: json.dumps(base | changes).encode(),
    st.sampled_from([WHOLE, {"model": "m", "input": "hi"}]),
    st.dictionaries(st.sampled_from(NAMES), values(NAMES, LEAVES), max_size=3),
)


def gateway() -> Gateway:
    rounds = [calls(call("mcp__git__fine"), call("f", "[")), answer()]
    return Gateway(FakeUpstream(*rounds), {GMAIL: FakeServer(tool("fine"), tool("asks"))}, limits=LoopLimits(rounds=3))


@replays("responses")
@given(data=mutated(SEEDS) | shaken)
async def test_any_body_is_answered(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway().app), base_url="http://gateway") as http:
            answered = await http.post("/v1/responses", content=data, headers={"Content-Type": "application/json"})
    assert answered.status_code == 200 or 400 <= answered.status_code < 500, answered.text
    if answered.headers["content-type"].startswith("text/event-stream"):
        assert answered.text.endswith("\n\n")
        assert "event: error" not in answered.text or "response.failed" in answered.text
    else:
        answered.json()
