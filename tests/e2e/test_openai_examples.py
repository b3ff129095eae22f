"""What applications wrote for OpenAI's connectors runs here with another base_url: the strict openai client, real MCP servers.

The requests are those of OpenAI's guide and of OGX: a connector by its id, static (the platform has its credential) or with the user's
own `authorization`, each streamed and not.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai import AsyncOpenAI

from junctor.gateway.auth.key_file import entry_of
from tests.support.mcp_servers import LegacyOnly, everything, sdk_server, serving
from tests.support.model_server import Call, Round
from tests.support.recording import Recording, forwarding
from tests.support.running_gateway import RunningGateway, respond, running_gateway

STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
SERVERS = pytest.mark.parametrize("kind", ["sdk", "sdk-handshake", "everything"])
OPENAI_IDS = ("dropbox", "gmail", "googlecalendar", "googledrive", "microsoftteams", "outlookcalendar", "outlookemail", "sharepoint")
#: Ids of platforms: any text that an MCPConnector takes.
OWN_IDS = ("connector_github", "team-a.wiki", "kubernetes")
API_KEY, STATIC = "the-api-key-of-the-caller", "credential-of-the-platform"
TOKEN, OTHER_TOKEN = "ya29.users-own-token", "ya29.token-of-another"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that logs all it can and lets one caller in."""
    directory = tmp_path_factory.mktemp("examples")
    (directory / "keys.yaml").write_text(entry_of(API_KEY, "application", ()))
    with running_gateway(directory, "--callers", f"apikeys:{directory}/keys.yaml", "--log-level", "debug", api_key=API_KEY) as gateway:
        yield gateway


@pytest.fixture
async def client(gateway: RunningGateway) -> AsyncIterator[AsyncOpenAI]:
    async with gateway.client() as client:
        yield client


@asynccontextmanager
async def real_server(kind: str = "sdk") -> AsyncIterator[tuple[str, Recording]]:
    """An MCP server with the tool `echo`: its address, and what it is asked."""
    if kind == "everything":
        async with everything() as url:
            recording = Recording(forwarding(url.removesuffix("/mcp")))
            async with serving(recording) as address:
                yield address, recording
        return
    app = sdk_server().streamable_http_app()
    recording = Recording(LegacyOnly(app) if kind == "sdk-handshake" else app)
    async with serving(recording) as address:
        yield address, recording


def calls_echo(gateway: RunningGateway, *labels: str) -> str:
    """A model that calls echo of each server and answers."""
    calls = [Call(f"mcp__{label}__echo", {"message": f"hello {label}"}) for label in labels]
    return gateway.plays(Round(calls=calls), Round(text="Here is your summary."))


def assert_echoed(response: Any, *labels: str) -> None:
    """Lists first, then the calls with what the servers said, then the answer."""
    assert response.status == "completed"
    assert [item.type for item in response.output] == ["mcp_list_tools"] * len(labels) + ["mcp_call"] * len(labels) + ["message"]
    for call, label in zip(response.output[len(labels) : -1], labels, strict=True):
        assert (call.server_label, call.name, call.error, call.status) == (label, "echo", None, "completed")
        assert call.output == f"Echo: hello {label}"
    assert response.output_text == "Here is your summary."


# --- connector_id with authorization ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connector_id", [*(f"connector_{name}" for name in OPENAI_IDS), *OWN_IDS])
async def test_a_connector_with_the_users_token(gateway: RunningGateway, client: AsyncOpenAI, connector_id: str) -> None:
    async with real_server() as (address, server):
        await gateway.connector(address, connectorID=connector_id)
        for stream in (False, True):
            response = await respond(
                client,
                stream=stream,
                model=calls_echo(gateway, "Dropbox"),
                tools=[
                    {
                        "type": "mcp",
                        "server_label": "Dropbox",
                        "connector_id": connector_id,
                        "authorization": TOKEN,
                        "require_approval": "never",
                    }
                ],
                input="Summarize the Q2 earnings report.",
            )
            assert_echoed(response, "Dropbox")
    assert server.authorizations == {f"Bearer {TOKEN}"}


@STREAM
@SERVERS
async def test_every_kind_of_server(gateway: RunningGateway, client: AsyncOpenAI, kind: str, stream: bool) -> None:
    async with real_server(kind) as (address, server):
        connector_id = await gateway.connector(address)
        tools: Any = [
            {
                "type": "mcp",
                "server_label": "google_calendar",
                "connector_id": connector_id,
                "authorization": TOKEN,
                "require_approval": "never",
                "allowed_tools": ["echo"],
            }
        ]
        model = calls_echo(gateway, "google_calendar")
        response = await respond(client, stream=stream, model=model, tools=tools, input="What is on my calendar for today?")
    assert_echoed(response, "google_calendar")
    assert [tool.name for tool in response.output[0].tools] == ["echo"]  # type: ignore[union-attr]
    assert server.authorizations == {f"Bearer {TOKEN}"}


@SERVERS
async def test_the_clients_own_reader_of_streams(gateway: RunningGateway, client: AsyncOpenAI, kind: str) -> None:
    async with real_server(kind) as (address, _):
        connector_id = await gateway.connector(address)
        tools: Any = [
            {
                "type": "mcp",
                "server_label": "drive",
                "connector_id": connector_id,
                "authorization": TOKEN,
                "require_approval": {"never": {"tool_names": ["echo"]}},
                "allowed_tools": {"tool_names": ["echo"]},
            }
        ]
        async with client.responses.stream(model=calls_echo(gateway, "drive"), tools=tools, input="Find the report.") as stream:
            text = [event.delta async for event in stream if event.type == "response.output_text.delta"]
            final = await stream.get_final_response()
    assert_echoed(final, "drive")
    assert "".join(text) == final.output_text


@STREAM
async def test_a_token_among_the_headers(gateway: RunningGateway, client: AsyncOpenAI, stream: bool) -> None:
    async with real_server() as (address, server):
        connector_id = await gateway.connector(address)
        tools: Any = [
            {
                "type": "mcp",
                "server_label": "gmail",
                "connector_id": connector_id,
                "headers": {"Authorization": f"Bearer {TOKEN}", "X-Team": "sales"},
                "require_approval": "never",
            }
        ]
        response = await respond(client, stream=stream, model=calls_echo(gateway, "gmail"), tools=tools, input="Any mail?")
    assert_echoed(response, "gmail")
    assert server.authorizations == {f"Bearer {TOKEN}"}
    assert {kept.headers.get("x-team") for kept in server.requests} == {"sales"}
    assert TOKEN not in response.to_json()


# --- static connectors --------------------------------------------------------------------------------------------------------------------


@STREAM
@SERVERS
async def test_a_static_connector(gateway: RunningGateway, client: AsyncOpenAI, kind: str, stream: bool) -> None:
    gateway.secret("platform", STATIC)
    async with real_server(kind) as (address, server):
        connector_id = await gateway.connector(address, auth={"bearer": {"secretKeyRef": {"name": "platform", "key": "token"}}})
        tools: Any = [{"type": "mcp", "server_label": "kubernetes", "connector_id": connector_id, "require_approval": "never"}]
        response = await respond(client, stream=stream, model=calls_echo(gateway, "kubernetes"), tools=tools, input="List my pods.")
    assert_echoed(response, "kubernetes")
    assert server.authorizations == {f"Bearer {STATIC}"}


# --- approvals, and going on --------------------------------------------------------------------------------------------------------------


@STREAM
async def test_without_require_approval_the_caller_is_asked_and_nothing_runs(
    gateway: RunningGateway, client: AsyncOpenAI, stream: bool
) -> None:
    async with real_server() as (address, server):
        connector_id = await gateway.connector(address)
        tools: Any = [{"type": "mcp", "server_label": "gmail", "connector_id": connector_id, "authorization": TOKEN}]
        response = await respond(client, stream=stream, model=calls_echo(gateway, "gmail"), tools=tools, input="Any mail?")
    assert response.status == "completed"
    request = response.output[-1]
    assert request.type == "mcp_approval_request"
    assert (request.server_label, request.name, request.arguments) == ("gmail", "echo", '{"message": "hello gmail"}')
    assert not [kept for kept in server.requests if b"tools/call" in kept.body]


@STREAM
async def test_the_output_is_sent_back_as_input(gateway: RunningGateway, client: AsyncOpenAI, stream: bool) -> None:
    async with real_server() as (address, _):
        connector_id = await gateway.connector(address)
        never: Any = {"never": {"tool_names": ["echo"]}}
        tools: Any = [{"type": "mcp", "server_label": "drive", "connector_id": connector_id, "require_approval": never}]
        first = await respond(client, stream=stream, model=calls_echo(gateway, "drive"), tools=tools, input="Summarize it.")
        assert_echoed(first, "drive")
        items: Any = [{"role": "user", "content": "Summarize it."}, *first.output, {"role": "user", "content": "Shorter."}]
        model = gateway.plays(Round(), Round(), Round(text="Short."))
        second = await respond(client, stream=stream, model=model, tools=tools, input=items)
    # The list of tools is in the input, so it is not sent again.
    assert [item.type for item in second.output] == ["message"]
    assert [message["role"] for message in gateway.asked(model)[0]["messages"]] == ["user", "assistant", "tool", "assistant", "user"]


# --- where authorization goes -------------------------------------------------------------------------------------------------------------


@STREAM
async def test_authorization_reaches_its_own_server_and_nobody_else(gateway: RunningGateway, client: AsyncOpenAI, stream: bool) -> None:
    gateway.secret("platform", STATIC)
    own = {"bearer": {"secretKeyRef": {"name": "platform", "key": "token"}}}
    async with real_server() as (a, gmail), real_server("sdk-handshake") as (b, drive), real_server("everything") as (c, wiki):
        ids = [await gateway.connector(a, auth=own), await gateway.connector(b), await gateway.connector(c)]
        tools: Any = [
            {"type": "mcp", "server_label": label, "connector_id": connector_id, "require_approval": "never"}
            for label, connector_id in zip(("gmail", "drive", "wiki"), ids, strict=True)
        ]
        tools[0]["authorization"], tools[1]["authorization"] = TOKEN, OTHER_TOKEN
        model = calls_echo(gateway, "gmail", "drive", "wiki")
        told: list[str] = []
        if stream:
            async with client.responses.with_streaming_response.create(model=model, input="hi", tools=tools, stream=True) as raw:
                told.append(await raw.text())
        response = await respond(client, stream=stream, model=model, input="hi", tools=tools)
        assert_echoed(response, "gmail", "drive", "wiki")
        assert gmail.authorizations == {f"Bearer {TOKEN}"}
        # Afterwards, without the token: nothing of it is left, not even the session.
        before = len(gmail.requests)
        del tools[0]["authorization"], tools[1]["authorization"]
        assert_echoed(await respond(client, stream=stream, model=model, input="hi", tools=tools), "gmail", "drive", "wiki")
    assert {kept.headers.get("authorization") for kept in gmail.requests[before:] if kept.method == "POST"} == {f"Bearer {STATIC}"}
    assert drive.authorizations == {f"Bearer {OTHER_TOKEN}", None}
    assert wiki.authorizations == {None}
    assert not [kept for kept in (*drive.requests, *wiki.requests) if TOKEN in kept.text or STATIC in kept.text]
    assert not [kept for kept in (*gmail.requests, *wiki.requests) if OTHER_TOKEN in kept.text]
    assert " DEBUG " in gateway.process.log()
    asked = [f"{request.headers} {request.body}" for request in gateway.model.requests]
    nowhere = [*told, response.to_json(), *asked, gateway.process.log()]
    for secret in (TOKEN, OTHER_TOKEN, STATIC, API_KEY):
        assert not [text for text in nowhere if secret in text], "a secret was told to somebody whom it does not concern"
    assert not [kept for server in (gmail, drive, wiki) for kept in server.requests if API_KEY in kept.text]
