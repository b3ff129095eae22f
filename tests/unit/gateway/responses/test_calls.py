"""What becomes of the calls of one round."""

from dataclasses import replace
from typing import Any

import pytest

from junctor.gateway.models.ports import FunctionTool, ModelCall
from junctor.gateway.responses.calls import plan_calls
from junctor.gateway.responses.choice import OfferedTools
from junctor.gateway.tools.ports import ToolOutcome
from junctor.gateway.tools.registry import ListedServer, ToolRegistry
from tests.unit.gateway.tools.servers import FakeServer, tool

SERVER = FakeServer(tool("read"), tool("write", x="string"))
TOOLS = ToolRegistry.of([ListedServer("git", SERVER, SERVER.tools)], [FunctionTool("f", "", {})])
ALL = OfferedTools([*(tool.function for tool in TOOLS.tools), *TOOLS.functions])


def call(name: str, arguments: str = "{}", call_id: str = "1") -> ModelCall:
    return ModelCall(call_id, name, arguments)


DEEP = '{"a":' + "[" * 300 + "]" * 300 + "}"


@pytest.mark.parametrize("arguments", ["", "{", "[]", "null", '"x"', "1", '{"a": NaN}', '{"a": 1e400}', "[" * 100_000, DEEP])
def test_a_call_whose_arguments_are_no_object_is_never_executed(arguments: str) -> None:
    [planned] = plan_calls([call("mcp__git__write", arguments)], TOOLS, ALL, None).calls
    outcome = planned.failure
    assert isinstance(outcome, ToolOutcome)
    assert outcome.output is None
    assert outcome.failure
    assert outcome.failure.to_json()["content"][0]["text"] in outcome.for_model
    assert not planned.needs_approval


@pytest.mark.parametrize(("schema", "is_executed"), [({"type": "object", "properties": {}}, True), ({"type": "object"}, False)])
def test_a_tool_that_declares_no_parameters_may_be_called_with_nothing(schema: dict[str, Any], *, is_executed: bool) -> None:
    server = FakeServer(replace(tool("ping"), input_schema=schema))
    tools = ToolRegistry.of([ListedServer("git", server, server.tools)])
    [planned] = plan_calls([call("mcp__git__ping", "")], tools, OfferedTools([tools.tools[0].function]), None).calls
    assert (planned.failure is None) is is_executed
    assert planned.arguments == {}


def test_calls_are_sorted_by_who_executes_them() -> None:
    made = [call("mcp__git__read", '{"a": 1}', "1"), call("f", "{", "2"), call("made_up", call_id="3")]
    plan = plan_calls(made, TOOLS, ALL, None)
    assert [(planned.model.call_id, planned.arguments) for planned in plan.calls] == [("1", {"a": 1})]
    assert [function.call_id for function in plan.functions] == ["2"]
    assert "there is no tool 'made_up'; possible: f, mcp__git__read" in plan.answers["3"]
    assert plan.order == ["1", "2", "3"]


def test_the_budget_counts_calls_of_servers_only() -> None:
    plan = plan_calls([call("mcp__git__read", call_id="1"), call("mcp__git__read", call_id="2"), call("f", call_id="3")], TOOLS, ALL, 1)
    assert [planned.model.call_id for planned in plan.calls] == ["1"]
    assert "the limit of tool calls is reached" in plan.answers["2"]
    assert [function.call_id for function in plan.functions] == ["3"]


def test_what_is_not_offered_is_not_called() -> None:
    plan = plan_calls([call("mcp__git__read", call_id="1"), call("f", call_id="2")], TOOLS, OfferedTools(), None)
    assert not plan.calls
    assert not plan.functions
    assert plan.answers["1"] == "Error: tool 'mcp__git__read' may not be called now; answer without tools"
