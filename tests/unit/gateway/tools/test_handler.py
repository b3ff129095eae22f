from junctor.gateway.tools.handler import McpHandler, McpHandlerKind
from tests.unit.gateway.tools.servers import FakeServer


async def test_a_handler_calls_the_tool_by_the_servers_name() -> None:
    outcome = await McpHandler(McpHandlerKind.TOOL_CALL, "echo", FakeServer()).execute({"a": 1})
    assert outcome.output == "echo{'a': 1}"


async def test_for_a_resource_nothing_is_executed() -> None:
    server = FakeServer()
    outcome = await McpHandler(McpHandlerKind.READ_RESOURCE, "echo", server).execute({})
    assert outcome.failure is not None
    assert not server.calls
