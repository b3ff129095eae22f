"""A round as a request."""

from typing import Any

import pytest

from junctor.gateway.models.chat_request import chat_body
from junctor.gateway.models.ports import ChatMessage, FunctionTool, ModelCall, ModelRequest

F = FunctionTool("f", "does f", {})
SENT = {"type": "function", "function": {"name": "f", "description": "does f", "parameters": {"type": "object", "properties": {}}}}


def body(*messages: ChatMessage, **more: Any) -> dict[str, Any]:
    return chat_body(ModelRequest("m", messages or (ChatMessage("user", "hi"),), **more))


def test_least_request() -> None:
    assert body() == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("tools", "choice", "parallel", "sent"),
    [
        ((), "auto", True, {}),
        ((), "required", False, {}),
        ((F,), "none", False, {}),
        ((F,), "auto", True, {"tools": [SENT], "tool_choice": "auto"}),
        ((F,), "required", True, {"tools": [SENT], "tool_choice": "required"}),
        ((F,), "f", True, {"tools": [SENT], "tool_choice": {"type": "function", "function": {"name": "f"}}}),
        ((F,), "auto", False, {"tools": [SENT], "tool_choice": "auto", "parallel_tool_calls": False}),
    ],
)
def test_tools_and_choice(tools: tuple[FunctionTool, ...], choice: str, parallel: bool, sent: dict[str, Any]) -> None:
    made = body(tools=tools, tool_choice=choice, parallel_tool_calls=parallel)
    assert {key: made[key] for key in ("tools", "tool_choice", "parallel_tool_calls") if key in made} == sent


@pytest.mark.parametrize(("strict", "sent"), [(None, False), (False, False), (True, True)])
def test_strict_is_sent_only_when_wanted(strict: bool | None, sent: bool) -> None:
    assert ("strict" in body(tools=[FunctionTool("f", "", {}, strict)])["tools"][0]["function"]) is sent


def test_options_are_sent_but_do_not_win() -> None:
    made = body(options={"temperature": 0.5, "stream": False, "model": "other", "tools": []}, max_output_tokens=9)
    assert "tools" not in made
    assert (made["temperature"], made["stream"], made["model"], made["max_completion_tokens"]) == (0.5, True, "m", 9)


PARTS = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
CALL = ModelCall("c1", "f", '{"a": 1}')
SENT_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        (ChatMessage("developer", "x"), {"role": "system", "content": "x"}),
        (ChatMessage("system", PARTS), {"role": "system", "content": "a\nb"}),
        (ChatMessage("user", PARTS), {"role": "user", "content": PARTS}),
        (ChatMessage("user", None), {"role": "user", "content": ""}),
        (ChatMessage("tool", PARTS, call_id="c1"), {"role": "tool", "content": "a\nb", "tool_call_id": "c1"}),
        (
            ChatMessage("tool", [{"type": "image_url"}], call_id="c1"),
            {"role": "tool", "content": "[image_url: not shown]", "tool_call_id": "c1"},
        ),
        (ChatMessage("assistant", "x"), {"role": "assistant", "content": "x"}),
        (ChatMessage("assistant", [{"type": "refusal", "refusal": "no"}]), {"role": "assistant", "content": "no"}),
        (ChatMessage("assistant", "x", [CALL]), {"role": "assistant", "content": "x", "tool_calls": [SENT_CALL]}),
        (ChatMessage("assistant", None, [CALL]), {"role": "assistant", "content": None, "tool_calls": [SENT_CALL]}),
        (ChatMessage("assistant", "x", reasoning="r"), {"role": "assistant", "content": "x", "reasoning": "r"}),
    ],
)
def test_messages(message: ChatMessage, sent: dict[str, Any]) -> None:
    assert body(message)["messages"] == [sent]


@pytest.mark.parametrize(("written", "sent"), [("{}", "{}"), ('{"a', "{}"), ("[1]", "{}"), ("", "{}"), ("null", "{}")])
def test_arguments_that_are_no_object_are_not_sent_back(written: str, sent: str) -> None:
    [message] = body(ChatMessage("assistant", None, [ModelCall("c", "f", written)]))["messages"]
    assert message["tool_calls"][0]["function"]["arguments"] == sent
