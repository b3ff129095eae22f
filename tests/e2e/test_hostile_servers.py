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
from openai import AsyncOpenAI
from openai.types.responses import Response
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Mount, Route

from tests.support.faults import SAYS, faults, looping_cursor
from tests.support.mcp_servers import ECHO_TOOL, Answer, ScriptedServer, error, result, serving
from tests.support.running_gateway import ANSWER, ECHO, RunningGateway, calls_of, mcp_tool, read_by_model, respond

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "s3cr3t-value-of-the-gateway"
WHERE: Mapping[str, tuple[str, ...]] = {"handshake": ("server/discover", "initialize"), "listing": ("tools/list",), "call": ("tools/call",)}
REDIRECTS = ("redirects-303", "redirects-307")
ENDS_BY_TIME = ("never-answers", "endless-comments")
ENDLESS = ("endless-body", "endless-event")
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])


@dataclass(frozen=True, slots=True)
class Hostile:
    """The gateway and its strict client, the hostile servers by connector, what redirects led to, and endless bytes by connector.

    model: calls `echo` and answers.
    """

    gateway: RunningGateway
    client: AsyncOpenAI
    model: str
    servers: Mapping[str, ScriptedServer]
    elsewhere: list[Request]
    sent: Counter[str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hostile(shared_gateway: RunningGateway) -> AsyncIterator[Hostile]:
    """A connector for each fault in each place; all have the same credential."""
    elsewhere: list[Request] = []

    async def record(request: Request) -> HttpResponse:
        elsewhere.append(request)
        return HttpResponse()

    sent: Counter[str] = Counter()
    shared_gateway.secret("hostile", SECRET)
    async with serving(Starlette(routes=[Route("/{path:path}", record, methods=["GET", "POST", "DELETE"])])) as other:
        servers: dict[str, ScriptedServer] = {"changes": ScriptedServer(), "loops": ScriptedServer({"tools/list": looping_cursor})}
        # A server for each test: what one has listed is not asked again.
        names = [f"{where}.{fault}.{used}" for where, fault, used in product(WHERE, SAYS, ("plain", "streamed"))]
        names += [f"{where}.{fault}.watched" for where, fault in product(WHERE, (*REDIRECTS, *ENDLESS))]
        for name in names:
            where, fault, _ = name.split(".")
            servers[name] = ScriptedServer(dict.fromkeys(WHERE[where], faults(other, partial(count, sent, name))[fault]))
        async with serving(Starlette(routes=[Mount(f"/{name}", app=server.app()) for name, server in servers.items()])) as url:
            auth = {"bearer": {"secretKeyRef": {"name": "hostile", "key": "token"}}}
            quick = {"connectTimeoutSeconds": 1, "callTimeoutSeconds": 1}
            limits = {name: quick if any(fault in name for fault in ENDS_BY_TIME) else {} for name in servers}
            await asyncio.gather(
                *(shared_gateway.connector(f"{url}/{name}", name=name, auth=auth, limits=limits[name]) for name in servers)
            )
            async with shared_gateway.client() as client:
                yield Hostile(shared_gateway, client, shared_gateway.plays(ECHO, ANSWER), servers, elsewhere, sent)


def count(sent: Counter[str], name: str, size: int) -> None:
    sent[name] += size


async def ask(hostile: Hostile, connector: str, *, stream: bool) -> Response:
    """The response to a request with this connector. The limit is for hangs only."""
    async with asyncio.timeout(60):
        return await respond(hostile.client, stream=stream, model=hostile.model, tools=[mcp_tool(connector)], input="say hi")


def call_of(response: Response) -> Any:
    """The only call of a response."""
    [call] = calls_of(response)
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
        assert call_of(await ask(hostile, connector, stream=False)).output == "well"


@STREAMED
@pytest.mark.parametrize("fault", SAYS)
async def test_a_fault_in_a_call_fails_that_call_and_the_model_reads_why(hostile: Hostile, fault: str, stream: bool) -> None:
    connector = f"call.{fault}.{'streamed' if stream else 'plain'}"
    response = await ask(hostile, connector, stream=stream)
    call = call_of(response)
    assert (response.status, call.output, call.status) == ("completed", None, "failed")
    assert re.search(SAYS[fault], str(call.error)), call.error
    assert re.search(SAYS[fault], read_by_model(hostile.gateway.model.bodies)[-1])
    assert SECRET not in response.to_json() + hostile.gateway.process.log()
    await assert_next_call_works(hostile, connector)


@STREAMED
@pytest.mark.parametrize("where", ["handshake", "listing"])
@pytest.mark.parametrize("fault", SAYS)
async def test_a_fault_before_there_are_tools_is_a_424_that_names_the_server(
    hostile: Hostile, fault: str, where: str, stream: bool
) -> None:
    connector = f"{where}.{fault}.{'streamed' if stream else 'plain'}"
    asked = len(hostile.gateway.asked(hostile.model))
    with pytest.raises(openai.APIStatusError) as refused:
        await ask(hostile, connector, stream=stream)
    assert refused.value.status_code == 424
    assert refused.value.type == "external_connector_error"
    assert "'demo'" in refused.value.message
    assert re.search(SAYS[fault], refused.value.message)
    assert SECRET not in refused.value.message + hostile.gateway.process.log()
    assert len(hostile.gateway.asked(hostile.model)) == asked
    await assert_next_call_works(hostile, connector)


@STREAMED
async def test_a_cursor_without_end_is_a_424_that_says_so(hostile: Hostile, stream: bool) -> None:
    with pytest.raises(openai.APIStatusError, match=r"never ends: a cursor came twice") as refused:
        await ask(hostile, "loops", stream=stream)
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
        response = await ask(hostile, "changes", stream=stream)
    assert response.status == "completed"
    assert "Unknown tool: echo" in str(call_of(response).error)
    await assert_next_call_works(hostile, "changes")


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("fault", REDIRECTS)
async def test_nothing_is_sent_to_where_a_redirect_leads(hostile: Hostile, fault: str, where: str) -> None:
    connector = f"{where}.{fault}.watched"
    with suppress(openai.APIStatusError):
        await ask(hostile, connector, stream=False)
    redirected = [headers for method, headers, _ in hostile.servers[connector].requests if method in WHERE[where]]
    assert {headers.get("authorization") for headers in redirected} == {f"Bearer {SECRET}"}
    assert hostile.elsewhere == []


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("fault", ENDLESS)
async def test_no_more_is_read_of_an_endless_answer_than_is_allowed(hostile: Hostile, fault: str, where: str) -> None:
    connector = f"{where}.{fault}.watched"
    with suppress(openai.APIStatusError):
        await ask(hostile, connector, stream=False)
    # The limit is 4 MiB for an answer; what sockets hold comes on top, once for each of the requests of a handshake.
    assert 0 < hostile.sent[connector] < 64 * 1024 * 1024
