"""MCP servers that misbehave, as callers of a real gateway see them: an error that says so, for that request and nothing else."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import openai
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Mount, Route

from tests.support.faults import SAYS, faults, looping_cursor
from tests.support.gateways import Gateway, Manifests, bearer, gateway, tool
from tests.support.mcp_servers import ECHO_TOOL, Answer, ScriptedServer, error, result, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "s3cr3t-value-of-the-gateway"
WHERE: Mapping[str, tuple[str, ...]] = {"handshake": ("server/discover", "initialize"), "listing": ("tools/list",), "call": ("tools/call",)}
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])


@dataclass(frozen=True, slots=True)
class Hostile:
    """The gateway, its hostile servers by the name of the connector, what redirects led to, and endless bytes by connector."""

    gateway: Gateway
    servers: Mapping[str, ScriptedServer]
    elsewhere: list[Request]
    sent: Counter[str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hostile(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hostile]:
    """A gateway with a connector for each fault in each place; all have the same credential, and time limits of 1 s."""
    elsewhere: list[Request] = []

    async def record(request: Request) -> HttpResponse:
        elsewhere.append(request)
        return HttpResponse()

    manifests = Manifests(tmp_path_factory.mktemp("manifests"))
    manifests.token("shared", SECRET)
    sent: Counter[str] = Counter()
    async with serving(Starlette(routes=[Route("/{path:path}", record, methods=["GET", "POST", "DELETE"])])) as other:
        servers: dict[str, ScriptedServer] = {"well": ScriptedServer(), "changes": ScriptedServer()}
        servers["loops"] = ScriptedServer({"tools/list": looping_cursor})
        # A server for each test: what one has listed is not asked again.
        for (where, methods), fault, used in product(WHERE.items(), SAYS, ("plain", "streamed", "watched")):
            name = f"{where}.{fault}.{used}"
            servers[name] = ScriptedServer(dict.fromkeys(methods, faults(other, partial(count, sent, name))[fault]))
        async with serving(Starlette(routes=[Mount(f"/{name}", app=server.app()) for name, server in servers.items()])) as url:
            limits = {"connectTimeoutSeconds": 1, "callTimeoutSeconds": 1}
            for name in servers:
                manifests.connector(name, f"{url}/{name}/mcp", auth=bearer("shared"), limits=limits)
            async with gateway(manifests) as running:
                yield Hostile(running, servers, elsewhere, sent)


def count(sent: Counter[str], name: str, size: int) -> None:
    sent[name] += size


async def respond(hostile: Hostile, connector: str, *, stream: bool) -> Any:
    """The response to a request with this connector. Any: an item is read by the fields of its type."""
    asked: dict[str, Any] = {"model": "m", "tools": [tool(connector)], "input": "say hi"}
    async with asyncio.timeout(30):
        if not stream:
            return await hostile.gateway.client.responses.create(**asked)
        events = [event async for event in await hostile.gateway.client.responses.create(**asked, stream=True)]
    assert events[-1].type == "response.completed"
    return events[-1].response


def call_of(response: Any) -> Any:
    """The only call of a response."""
    [call] = [item for item in response.output if item.type == "mcp_call"]
    return call


@contextmanager
def answering(server: ScriptedServer, answers: Mapping[str, Answer]) -> Iterator[None]:
    """The server answers like this for a while."""
    usual, server.answers = server.answers, dict(answers)
    try:
        yield
    finally:
        server.answers = usual


async def assert_next_call_works(hostile: Hostile, connector: str) -> None:
    with answering(hostile.servers[connector], {}):
        assert call_of(await respond(hostile, connector, stream=False)).output == "well"


@STREAMED
@pytest.mark.parametrize("fault", SAYS)
async def test_a_fault_in_a_call_fails_that_call_and_the_model_reads_why(hostile: Hostile, fault: str, stream: bool) -> None:
    connector = f"call.{fault}.{'streamed' if stream else 'plain'}"
    response = await respond(hostile, connector, stream=stream)
    call = call_of(response)
    assert (response.status, call.output, call.status) == ("completed", None, "failed")
    assert re.search(SAYS[fault], str(call.error)), call.error
    assert re.search(SAYS[fault], hostile.gateway.model.bodies[-1]["messages"][-1]["content"])
    assert SECRET not in response.to_json() + hostile.gateway.process.log()
    await assert_next_call_works(hostile, connector)


@STREAMED
@pytest.mark.parametrize("where", ["handshake", "listing"])
@pytest.mark.parametrize("fault", SAYS)
async def test_a_fault_before_there_are_tools_is_a_424_that_names_the_server(
    hostile: Hostile, fault: str, where: str, stream: bool
) -> None:
    connector = f"{where}.{fault}.{'streamed' if stream else 'plain'}"
    asked = len(hostile.gateway.model.requests)
    with pytest.raises(openai.APIStatusError) as refused:
        await respond(hostile, connector, stream=stream)
    assert refused.value.status_code == 424
    assert refused.value.type == "external_connector_error"
    assert "'demo'" in refused.value.message
    assert re.search(SAYS[fault], refused.value.message)
    assert SECRET not in refused.value.message + hostile.gateway.process.log()
    assert len(hostile.gateway.model.requests) == asked
    await assert_next_call_works(hostile, connector)


@STREAMED
async def test_a_cursor_without_end_is_a_424_that_says_so(hostile: Hostile, stream: bool) -> None:
    with pytest.raises(openai.APIStatusError, match=r"never ends: a cursor came twice") as refused:
        await respond(hostile, "loops", stream=stream)
    assert refused.value.status_code == 424
    assert hostile.servers["loops"].asked("tools/list") <= 4


@STREAMED
async def test_a_tool_that_is_gone_when_it_is_called_is_a_failed_call(hostile: Hostile, stream: bool) -> None:
    async def other_tools(request: dict[str, Any]) -> HttpResponse:
        return result(request, {"tools": [{**ECHO_TOOL, "name": "another"}]})

    async def gone(request: dict[str, Any]) -> HttpResponse:
        return error(request, -32602, f"Unknown tool: {request['params']['name']}")

    await assert_next_call_works(hostile, "changes")
    with answering(hostile.servers["changes"], {"tools/list": other_tools, "tools/call": gone}):
        response = await respond(hostile, "changes", stream=stream)
    assert response.status == "completed"
    assert "Unknown tool: echo" in str(call_of(response).error)
    await assert_next_call_works(hostile, "changes")


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("fault", ["redirects-303", "redirects-307"])
async def test_nothing_is_sent_to_where_a_redirect_leads(hostile: Hostile, fault: str, where: str) -> None:
    connector = f"{where}.{fault}.watched"
    with suppress(openai.APIStatusError):
        await respond(hostile, connector, stream=False)
    redirected = [headers for method, headers, _ in hostile.servers[connector].requests if method in WHERE[where]]
    assert {headers.get("authorization") for headers in redirected} == {f"Bearer {SECRET}"}
    assert hostile.elsewhere == []


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("fault", ["endless-body", "endless-event"])
async def test_no_more_is_read_of_an_endless_answer_than_is_allowed(hostile: Hostile, fault: str, where: str) -> None:
    connector = f"{where}.{fault}.watched"
    with suppress(openai.APIStatusError):
        await respond(hostile, connector, stream=False)
    # The limit is 4 MiB for an answer; what sockets hold comes on top, once for each of the requests of a handshake.
    assert 0 < hostile.sent[connector] < 64 * 1024 * 1024
