"""Names that the model sees, and what happens with what it calls."""

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from junctor.connectormap.view import EntryView
from junctor.gateway.models.ports import FunctionTool
from junctor.gateway.tools.policy import ConnectorPolicy, RequestedApproval, ToolFilter, ToolPolicy
from junctor.gateway.tools.registry import ListedServer, McpHandler, McpHandlerKind, ServerTool, ToolRegistry, assign_names
from tests.unit.gateway.tools.servers import FakeServer, tool

names = st.text(min_size=1, max_size=80)


def registry(*servers: ListedServer, functions: tuple[str, ...] = ()) -> ToolRegistry:
    return ToolRegistry.of(servers, [FunctionTool(name, "", {}) for name in functions])


def listed(label: str, server: FakeServer, policy: ToolPolicy | None = None, description: str = "") -> ListedServer:
    return ListedServer(label, server, server.tools, policy or ToolPolicy(), description)


def server_tool(found: ToolRegistry, name: str) -> ServerTool:
    chosen = found.find(name)
    assert isinstance(chosen, ServerTool)
    return chosen


def test_a_name_says_server_and_tool() -> None:
    found = registry(listed("git", FakeServer(tool("search"), tool("repo.read"))), functions=("search",))
    assert [tool.visible for tool in found.tools] == ["mcp__git__search", "mcp__git__repo_read"]
    assert server_tool(found, "mcp__git__repo_read").spec.name == "repo.read"
    assert found.functions[0].name == "search"
    assert found.find("mcp__git__made_up") is None


def test_names_that_clash_are_told_apart_whatever_the_order() -> None:
    clashing = [("a", "b.c"), ("a", "b_c"), ("a__b", "c"), ("a", "b__c"), ("x", "y")]
    names = assign_names(clashing)
    assert names == assign_names(clashing[::-1])
    assert len(set(names.values())) == len(clashing)
    assert names["x", "y"] == "mcp__x__y"
    assert all(re.fullmatch(r"mcp__a__b__?c__[0-9a-f]{10}", names[key]) for key in clashing[:-1])


def test_a_function_of_the_caller_keeps_its_name() -> None:
    found = registry(listed("git", FakeServer(tool("search"))), functions=("mcp__git__search",))
    assert isinstance(found.find("mcp__git__search"), FunctionTool)
    assert re.fullmatch(r"mcp__git__search__[0-9a-f]{10}", found.tools[0].visible)


@given(st.lists(st.tuples(names, names), unique=True, max_size=20), st.sets(st.sampled_from(["mcp__a__b", "x"])))
def test_every_name_is_possible_and_unique(tools: list[tuple[str, str]], taken: set[str]) -> None:
    assigned = assign_names(tools, taken)
    assert assigned.keys() == set(tools)
    assert len(set(assigned.values()) | taken) == len(tools) + len(taken)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name, re.ASCII) for name in assigned.values())


def test_calls_of_the_past_have_the_name_that_they_would_have_now() -> None:
    found = registry(listed("a", FakeServer(tool("b.c"), tool("b_c"))))
    assert {found.visible("a", "b.c"), found.visible("a", "b_c")} == {tool.visible for tool in found.tools}
    assert found.visible("gone", "t") == "mcp__gone__t"


async def test_a_call_reaches_the_server_under_its_own_name() -> None:
    server = FakeServer(tool("repo.read"))
    found = registry(listed("git", server))
    outcome = await found.call(found.tools[0], {"x": 1})
    assert server.calls == [("repo.read", {"x": 1})]
    assert outcome.output == "repo.read{'x': 1}"


async def test_the_policy_holds_when_offering_and_when_calling() -> None:
    server = FakeServer(tool("read", read_only=True), tool("write"), tool("drop"))
    policy = ToolPolicy(ConnectorPolicy.of(EntryView({"tools": {"denied": ["drop"]}})), ToolFilter(frozenset({"read", "drop"})))
    found = registry(listed("db", server, policy))
    assert [tool.spec.name for tool in found.tools] == ["read"]
    everything = registry(listed("db", server))
    for forbidden in (*everything.tools, replace(found.tools[0], spec=server.tools[2])):
        assert (await found.call(forbidden, {})).failure
    assert not server.calls


def test_what_the_model_is_offered() -> None:
    server = FakeServer(replace(tool("plain"), input_schema={}), tool("full", x="string"))
    policy = ToolPolicy(approval=RequestedApproval(None, never=ToolFilter(frozenset({"full"}))))
    plain, full = registry(listed("git", server, policy, "Our forge. ")).tools
    assert plain.function.parameters == {}
    assert full.function.parameters == {"type": "object", "properties": {"x": {"type": "string"}}}
    assert plain.function.description == "Does plain.\n\nServer git: Our forge."
    assert (plain.needs_approval, full.needs_approval) == (True, False)


async def test_a_handler_calls_the_tool_by_the_servers_name() -> None:
    outcome = await McpHandler(McpHandlerKind.TOOL_CALL, "echo", FakeServer()).execute({"a": 1})
    assert outcome.output == "echo{'a': 1}"


async def test_for_a_resource_nothing_is_executed() -> None:
    server = FakeServer()
    outcome = await McpHandler(McpHandlerKind.READ_RESOURCE, "echo", server).execute({})
    assert outcome.failure is not None
    assert not server.calls
