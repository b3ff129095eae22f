"""Rounds, budgets, choices of tools, and what the model is told."""

import asyncio
from typing import Any

import openai
import pytest

from junctor.gateway.models.ports import ModelCall, ReasoningDelta, RoundEnd, RoundUsage, TextDelta
from junctor.gateway.responses.loop import LoopLimits
from junctor.gateway.tools.ports import ToolFailure, ToolOutcome, ToolSpec
from tests.unit.gateway.responses.fakes import GMAIL, FakeUpstream, Gateway, answer, call, calls, function, mcp
from tests.unit.gateway.tools.servers import FakeServer, fine, tool

READ = call("mcp__git__read", '{"x":1}')


async def respond(gateway: Gateway, **fields: Any) -> Any:
    return await gateway.client.responses.create(**{"model": "m", "input": "hi", "tools": [mcp()]} | fields)


def offered(upstream: FakeUpstream) -> list[tuple[list[str], str]]:
    return [([tool.name for tool in request.tools], request.tool_choice) for request in upstream.requests]


async def test_the_model_reads_what_it_did_before() -> None:
    upstream = FakeUpstream(calls(READ, before=[ReasoningDelta("hm"), TextDelta("Let "), TextDelta("me.")]), answer())
    await respond(Gateway(upstream, {GMAIL: FakeServer(tool("read"))}), instructions="Be brief.")
    first, second = upstream.requests
    assert [message.role for message in first.messages] == ["system", "user"]
    said, result = second.messages[2:]
    assert (said.role, said.content, said.reasoning, list(said.calls)) == ("assistant", "Let me.", "hm", [READ])
    assert (result.role, result.call_id, result.content) == ("tool", READ.call_id, "read{'x': 1}")
    assert upstream.closed == 2


async def test_after_ten_rounds_the_model_answers_without_tools() -> None:
    upstream = FakeUpstream(calls(READ))
    server = FakeServer(tool("read"))
    response = await respond(Gateway(upstream, {GMAIL: server}))
    assert offered(upstream) == [(["mcp__git__read"], "auto")] * 10 + [([], "auto")]
    assert (response.status, len(server.calls)) == ("completed", 10)
    assert len({message.call_id for message in upstream.requests[-1].messages if message.role == "tool"}) == 10


async def test_calls_beyond_max_tool_calls_are_skipped() -> None:
    upstream = FakeUpstream(calls(READ, call("mcp__git__read", call_id="2")), answer())
    server = FakeServer(tool("read"))
    response = await respond(Gateway(upstream, {GMAIL: server}), max_tool_calls=1, tools=[mcp(), function("f")])
    assert (response.status, response.max_tool_calls, len(server.calls)) == ("completed", 1, 1)
    assert [item.type for item in response.output] == ["mcp_list_tools", "mcp_call", "message"]
    assert "limit" in str(upstream.requests[1].messages[-1].content)
    assert offered(upstream)[1] == (["f"], "auto")


async def test_a_name_that_the_model_made_up_is_told_to_it() -> None:
    upstream = FakeUpstream(calls(call("mcp__git__wrong")), answer())
    response = await respond(Gateway(upstream, {GMAIL: FakeServer(tool("read"))}))
    assert [item.type for item in response.output] == ["mcp_list_tools", "message"]
    assert "mcp__git__read" in str(upstream.requests[1].messages[-1].content)


@pytest.mark.parametrize("arguments", ["{", "[]", ""])
@pytest.mark.parametrize("approval", ["always", "never"])
async def test_malformed_arguments_fail_the_call_and_reach_nobody(arguments: str, approval: str) -> None:
    upstream = FakeUpstream(calls(call("mcp__git__read", arguments)), answer())
    server = FakeServer(tool("read", path="string"))
    response = await respond(Gateway(upstream, {GMAIL: server}), tools=[mcp(require_approval=approval)])
    failed = response.output[1]
    assert (failed.type, failed.status, failed.arguments, failed.error.type) == (
        "mcp_call",
        "failed",
        arguments,
        "mcp_tool_execution_error",
    )
    assert response.status == "completed"
    assert not server.calls


@pytest.mark.parametrize("schema", [{"type": "object", "properties": {}}, {"type": "object", "additionalProperties": False}])
async def test_a_tool_without_parameters_may_be_called_with_nothing(schema: dict[str, Any]) -> None:
    server = FakeServer(ToolSpec("read", "", schema))
    response = await respond(Gateway(FakeUpstream(calls(call("mcp__git__read", "")), answer()), {GMAIL: server}))
    assert (response.output[1].status, response.output[1].arguments) == ("completed", "{}")
    assert server.calls == [("read", {})]


async def test_a_tool_that_fails_is_told_to_the_model_and_fails_nothing_else() -> None:
    async def fails(name: str, arguments: Any) -> ToolOutcome:
        return ToolOutcome(None, ToolFailure("protocol", "no such repository", -32602), "Error: no such repository")

    upstream = FakeUpstream(calls(READ), answer())
    response = await respond(Gateway(upstream, {GMAIL: FakeServer(tool("read"), behaviour=fails)}))
    assert response.output[1].error.to_dict() == {"type": "mcp_protocol_error", "code": -32602, "message": "no such repository"}
    assert response.status == "completed"
    assert upstream.requests[1].messages[-1].content == "Error: no such repository"


async def test_calls_run_side_by_side_and_get_permits_in_the_order_of_the_model() -> None:
    begun: list[int] = []
    gates = [asyncio.Event() for _ in range(4)]

    async def waits(name: str, arguments: Any) -> ToolOutcome:
        begun.append(arguments["n"])
        if len(begun) == 2:
            gates[1].set()
        if arguments["n"] == 1:
            for gate in gates:
                gate.set()
        await gates[arguments["n"]].wait()
        return fine(str(arguments["n"]))

    made = [call("mcp__git__read", f'{{"n":{n}}}', f"c{n}") for n in range(4)]
    server = FakeServer(tool("read"), behaviour=waits)
    gateway = Gateway(FakeUpstream(calls(*made), answer()), {GMAIL: server}, limits=LoopLimits(parallel_calls=2))
    response = await respond(gateway)
    assert begun == [0, 1, 2, 3]
    assert [item.output for item in response.output[1:-1]] == ["0", "1", "2", "3"]


async def test_one_call_at_a_time_when_the_caller_wants_it_so() -> None:
    upstream = FakeUpstream(calls(READ, call("mcp__git__read", call_id="2")), answer())
    server = FakeServer(tool("read"))
    response = await respond(Gateway(upstream, {GMAIL: server}), parallel_tool_calls=False)
    assert len(server.calls) == 1
    assert response.parallel_tool_calls is False
    assert upstream.requests[0].parallel_tool_calls is False


async def test_max_output_tokens_bounds_all_rounds_together() -> None:
    def spent(tokens: int) -> RoundEnd:
        return RoundEnd("tool_calls", [READ], RoundUsage(1, tokens))

    upstream = FakeUpstream([spent(60)], [spent(40)])
    response = await respond(Gateway(upstream, {GMAIL: FakeServer(tool("read"))}), max_output_tokens=100)
    assert [request.max_output_tokens for request in upstream.requests] == [100, 40]
    assert (response.status, response.incomplete_details.reason, response.usage.output_tokens) == ("incomplete", "max_output_tokens", 100)


async def test_calls_of_the_caller_get_ids_that_differ() -> None:
    upstream = FakeUpstream(calls(call("f", call_id="0"), call("f", call_id="0"), ModelCall("", "f", "{}")))
    response = await respond(Gateway(upstream), tools=[function("f")])
    assert len({item.call_id for item in response.output}) == 3
    assert all(item.call_id for item in response.output)


BOTH = [mcp(), function("f")]


@pytest.mark.parametrize(
    ("choice", "first", "later"),
    [
        (None, (["mcp__git__read", "mcp__git__write", "f"], "auto"), (["mcp__git__read", "mcp__git__write", "f"], "auto")),
        ("required", (["mcp__git__read", "mcp__git__write", "f"], "required"), (["mcp__git__read", "mcp__git__write", "f"], "auto")),
        (
            {"type": "mcp", "server_label": "git"},
            (["mcp__git__read", "mcp__git__write"], "required"),
            (["mcp__git__read", "mcp__git__write", "f"], "auto"),
        ),
        (
            {"type": "mcp", "server_label": "git", "name": "read"},
            (["mcp__git__read"], "mcp__git__read"),
            (["mcp__git__read", "mcp__git__write", "f"], "auto"),
        ),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "mcp", "server_label": "git", "name": "read"}]},
            (["mcp__git__read"], "required"),
            (["mcp__git__read"], "auto"),
        ),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}, {"type": "mcp", "server_label": "git"}]},
            (["mcp__git__read", "mcp__git__write", "f"], "auto"),
            (["mcp__git__read", "mcp__git__write", "f"], "auto"),
        ),
    ],
)
async def test_a_choice_is_forced_in_the_first_round_only(choice: Any, first: Any, later: Any) -> None:
    upstream = FakeUpstream(calls(READ), answer())
    fields = {} if choice is None else {"tool_choice": choice}
    await respond(Gateway(upstream, {GMAIL: FakeServer(tool("read"), tool("write"))}), tools=BOTH, **fields)
    assert offered(upstream) == [first, later]


@pytest.mark.parametrize(
    "choice", ["required", {"type": "mcp", "server_label": "git"}, {"type": "mcp", "server_label": "git", "name": "gone"}]
)
async def test_a_choice_that_leaves_nothing_to_choose_is_refused(choice: Any) -> None:
    upstream = FakeUpstream()
    with pytest.raises(openai.BadRequestError, match="tool_choice") as refused:
        await respond(Gateway(upstream, {GMAIL: FakeServer(tool("read"))}), tools=[mcp(allowed_tools=["other"])], tool_choice=choice)
    assert refused.value.param == "tool_choice"
    assert not upstream.requests


async def test_no_tools_when_the_choice_is_none() -> None:
    upstream = FakeUpstream(calls(READ), answer())
    server = FakeServer(tool("read"))
    response = await respond(Gateway(upstream, {GMAIL: server}), tools=BOTH, tool_choice="none")
    assert offered(upstream) == [([], "none")] * 2
    assert response.tool_choice == "none"
    assert not server.calls


@pytest.mark.parametrize("name", ["f", "auto"])
async def test_a_function_can_be_forced(name: str) -> None:
    upstream = FakeUpstream(calls(call(name)))
    response = await respond(Gateway(upstream), tools=[function(name), function("g")], tool_choice={"type": "function", "name": name})
    assert offered(upstream) == [([name], "f" if name == "f" else "required")]
    assert [item.name for item in response.output] == [name]


async def test_calls_outside_the_allowed_tools_are_suppressed() -> None:
    upstream = FakeUpstream(calls(call("mcp__git__write"), call("f")), answer())
    server = FakeServer(tool("read"), tool("write"))
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "server_label": "git", "name": "read"}]}
    response = await respond(Gateway(upstream, {GMAIL: server}), tools=BOTH, tool_choice=allowed)
    assert [item.type for item in response.output] == ["mcp_list_tools", "message"]
    assert not server.calls


async def test_a_list_that_the_caller_holds_already_is_not_sent_again() -> None:
    upstream = FakeUpstream(calls(READ), answer())
    server = FakeServer(tool("read", x="integer"))
    gateway = Gateway(upstream, {GMAIL: server})
    output = [item.to_dict() for item in (await respond(gateway)).output]
    again: Any = [{"role": "user", "content": "hi"}, *output, {"role": "user", "content": "Once more."}]
    assert [item.type for item in (await respond(gateway, input=again)).output] == ["message"]
    messages = upstream.requests[2].messages
    assert [message.role for message in messages] == ["user", "assistant", "tool", "assistant", "user"]
    assert messages[1].calls[0].name == "mcp__git__read"
    server.tools = (tool("read"),)
    assert [item.type for item in (await respond(gateway, input=again)).output] == ["mcp_list_tools", "message"]
