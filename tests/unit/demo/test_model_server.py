"""The script of the demo's model server."""

from typing import Any

from junctor.demo.model_server import reply

TOOL = {"type": "function", "function": {"name": "order_status", "parameters": {"properties": {"order": {"type": "string"}}}}}


def request(*messages: dict[str, Any], tools: tuple[dict[str, Any], ...] = (TOOL,)) -> dict[str, Any]:
    return {"model": "demo-model", "messages": list(messages), "tools": list(tools)}


def test_question_with_a_number_calls_the_first_tool_with_it() -> None:
    message = reply(request({"role": "user", "content": "Where is order 1042?"}))
    assert message["tool_calls"][0]["function"] == {"name": "order_status", "arguments": '{"order": "1042"}'}


def test_result_of_the_tool_is_repeated() -> None:
    assert reply(request({"role": "tool", "content": "on its way"}))["content"] == "The order system says: on its way"


def test_question_without_a_tool_is_answered_with_text() -> None:
    assert "tool_calls" not in reply(request({"role": "user", "content": "Where is order 1042?"}, tools=()))
