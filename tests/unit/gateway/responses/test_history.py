"""Items of the input as the conversation that the model reads."""

from typing import Any

import pytest

from junctor.gateway.models.ports import ChatMessage, ModelCall
from junctor.gateway.responses.history import history
from junctor.gateway.tools.registry import visible_name

MCP_CALL = {"type": "mcp_call", "id": "mcp_1", "server_label": "git", "name": "re.ad", "arguments": "{}", "status": "completed"}
READ = ModelCall("mcp_1", "mcp__git__re_ad", "{}")


def call(call_id: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}", "id": f"fc_{call_id}", "status": "completed"}


def output(call_id: str, text: Any = "ok") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def reasoning(text: str) -> dict[str, Any]:
    return {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": text}],
        "encrypted_content": None,
    }


def said(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}


def made(call_id: str) -> ModelCall:
    return ModelCall(call_id, "f", "{}")


USER = ChatMessage("user", "hi")


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("hi", [USER]),
        ([{"role": "user", "content": "hi"}], [USER]),
        ([{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}], [USER]),
        (
            [
                {
                    "role": "user",
                    "content": [{"type": "input_text", "text": "hi"}, {"type": "input_image", "image_url": "data:x", "detail": "low"}],
                }
            ],
            [ChatMessage("user", [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}}])],
        ),
        (
            [{"role": "developer", "content": "d"}, {"role": "system", "content": "s"}],
            [ChatMessage("developer", "d"), ChatMessage("system", "s")],
        ),
        ([{"role": "assistant", "content": "a"}, said("b")], [ChatMessage("assistant", "a"), ChatMessage("assistant", "b")]),
        ([said("a"), {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "git", "tools": []}], [ChatMessage("assistant", "a")]),
        ([reasoning("think"), said("a")], [ChatMessage("assistant", "a", reasoning="think")]),
        ([reasoning("lost"), {"role": "user", "content": "hi"}], [USER]),
        (
            [reasoning("think"), said("a"), call("1"), call("2"), output("1"), output("2", [{"type": "input_text", "text": "x"}])],
            [
                ChatMessage("assistant", "a", (made("1"), made("2")), reasoning="think"),
                ChatMessage("tool", "ok", call_id="1"),
                ChatMessage("tool", "x", call_id="2"),
            ],
        ),
        (
            [call("1"), output("1"), call("2"), output("2")],
            [
                ChatMessage("assistant", None, (made("1"),)),
                ChatMessage("tool", "ok", call_id="1"),
                ChatMessage("assistant", None, (made("2"),)),
                ChatMessage("tool", "ok", call_id="2"),
            ],
        ),
        (
            [MCP_CALL | {"output": "done"}, call("2"), output("2"), said("a")],
            [
                ChatMessage("assistant", None, (READ, made("2"))),
                ChatMessage("tool", "done", call_id="mcp_1"),
                ChatMessage("tool", "ok", call_id="2"),
                ChatMessage("assistant", "a"),
            ],
        ),
        (
            [MCP_CALL | {"status": "incomplete"}],
            [ChatMessage("assistant", None, (READ,)), ChatMessage("tool", "Error: the outcome of this call is unknown", call_id="mcp_1")],
        ),
        (
            [MCP_CALL | {"error": "old"}],
            [ChatMessage("assistant", None, (READ,)), ChatMessage("tool", "Error: old", call_id="mcp_1")],
        ),
        (
            [MCP_CALL | {"error": {"type": "http_error", "code": 504, "message": "slow"}}],
            [ChatMessage("assistant", None, (READ,)), ChatMessage("tool", "Error: slow", call_id="mcp_1")],
        ),
        (
            [MCP_CALL | {"error": {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": "no"}]}}],
            [ChatMessage("assistant", None, (READ,)), ChatMessage("tool", "Error: no", call_id="mcp_1")],
        ),
    ],
)
def test_items_become_a_conversation(value: Any, want: list[ChatMessage]) -> None:
    assert history(value).messages(None, visible_name) == want


def test_instructions_come_first() -> None:
    assert history("hi").messages("Be brief.", visible_name) == [ChatMessage("system", "Be brief."), USER]


def test_listings_of_the_past_are_remembered() -> None:
    listed = {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "git", "tools": [{"name": "x", "input_schema": {}}]}
    assert history([{"role": "user", "content": "hi"}, listed]).listed == {"git": [{"name": "x", "input_schema": {}}]}
