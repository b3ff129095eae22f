"""Servers of a registry, called through a real gateway process whose map a test writes by hand."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from junctor.connectormap.credentials import credential_object, credential_object_name
from junctor.connectormap.head import HEAD_KEY, SHARD_KEY
from tests.cluster.processes import gateway
from tests.support.mcp_servers import sdk_server, self_signed, serving
from tests.support.model_server import Call, ModelServer, Round
from tests.support.ports import free_port
from tests.support.recording import Recording
from tests.support.running_gateway import ANSWER, ECHO, RunningGateway, calls_of, mcp_tool, respond
from tests.support.waiting import until
from tests.unit.gateway.maps import MAP, bearer, discovered, head_of, layout_of, registry

PAGE = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text("utf-8")
WEATHER = "mcp::internal::io.github.acme/weather"
KEY, TOKEN = "3f7a000000000000.1b2c000000000000", "2f7a000000000000.1b2c000000000000"
SECRETS = {KEY: "hunter2", TOKEN: "s3cr3t"}
STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


class Gateway(RunningGateway):
    """A gateway on a map file."""

    def __init__(self, url: str, management: str, file: Path, model: ModelServer, process: Any) -> None:
        super().__init__(url, management, file.parent, model, process)
        self._file = file
        self._sequence = 0

    async def serve(self, *contents: Mapping[str, Any]) -> None:
        """Publish a map and wait until it is served."""
        self._sequence += 1
        write_map(self._file, self._sequence, *contents)
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            answer = await http.post(f"{self.management}/-/reload", json={"sequence": self._sequence})
        assert answer.status_code == 200, answer.text
        assert answer.json()["rejected"] == []

    async def get(self, path: str) -> Any:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            return (await http.get(f"{self.url}/{path}")).json()


def write_map(file: Path, sequence: int, *contents: Mapping[str, Any]) -> None:
    """The objects of a map with SECRETS, as `junctor render --with-credentials` prints them."""
    layout = layout_of(*contents, since=sequence)
    texts = {shard.ref.name: {SHARD_KEY: shard.text} for shard in layout.shards.values()}
    texts[MAP] = {HEAD_KEY: head_of(layout, sequence).to_text()}
    items = [{"kind": "ConfigMap", "metadata": {"name": name}, "data": data} for name, data in texts.items()]
    for key, value in SECRETS.items():
        name = credential_object_name(MAP, credential_object(key))
        items.append({"kind": "Secret", "metadata": {"name": name}, "stringData": {key: value}})
    new = file.with_suffix(".new")
    new.write_text(json.dumps({"kind": "List", "items": items}))
    new.rename(file)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("discovered")
    file = directory / "map.json"
    write_map(file, 0)
    port, management = free_port(), free_port()
    with (
        ModelServer() as model,
        gateway(
            f"file:{file}", "--upstream", model.url, port=port, management_port=management, log_file=directory / "gateway.log"
        ) as process,
    ):
        process.wait_until_ready(f"http://127.0.0.1:{management}/-/readyz")
        yield Gateway(f"http://127.0.0.1:{port}/v1", f"http://127.0.0.1:{management}", file, model, process)


@pytest.fixture
async def client(shared: Gateway) -> AsyncIterator[AsyncOpenAI]:
    async with shared.client() as client:
        yield client


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    return self_signed(tmp_path)


@pytest.fixture
async def server(certificate: tuple[Path, Path]) -> AsyncIterator[tuple[str, Recording]]:
    """A server that a private authority vouches for; its MCP address, and what reached it."""
    app = Recording(sdk_server().streamable_http_app())
    async with serving(app, tls=certificate) as url:
        yield f"{url}/mcp", app


@pytest.fixture
def trusting(certificate: tuple[Path, Path]) -> dict[str, Any]:
    """A registry that trusts the private authority, and private addresses."""
    return registry(tls={"caBundle": certificate[0].read_text()}, addresses="any")


@STREAM
async def test_a_discovered_server_is_called_with_what_it_inherits(
    shared: Gateway, client: AsyncOpenAI, server: tuple[str, Recording], trusting: dict[str, Any], stream: bool
) -> None:
    url, seen = server
    parts = [{"name": "X-Api-Key", "parts": ["Token ", {"credential": KEY}]}, {"name": "X-Plain", "value": "red"}]
    await shared.serve(trusting, discovered(url=url, headers=parts, auth=bearer(TOKEN), hosts=["127.0.0.?"], description="Weather"))
    response = await respond(client, stream=stream, model=shared.plays(ECHO, ANSWER), tools=[mcp_tool(WEATHER)], input="hi")
    assert [(call.name, call.server_label, call.output) for call in calls_of(response)] == [("echo", "demo", "Echo: hi")]
    assert response.tools[0].to_dict()["connector"] == WEATHER
    for kept in seen.requests:
        assert (kept.headers["x-api-key"], kept.headers["x-plain"], kept.headers["authorization"]) == (
            "Token hunter2",
            "red",
            "Bearer s3cr3t",
        )
    assert not [secret for secret in SECRETS.values() if secret in response.to_json() + shared.process.log()]


async def test_the_callers_own_token_replaces_that_of_the_registry(
    shared: Gateway, client: AsyncOpenAI, server: tuple[str, Recording], trusting: dict[str, Any]
) -> None:
    url, seen = server
    await shared.serve(trusting, discovered(url=url, auth=bearer(TOKEN), hosts=["127.0.0.1"]))
    tools = [mcp_tool(WEATHER, authorization="mine")]
    assert calls_of(await client.responses.create(model=shared.plays(ECHO, ANSWER), tools=tools, input="hi"))
    assert seen.authorizations == {"Bearer mine"}


async def test_its_tools_are_listed(shared: Gateway, server: tuple[str, Recording], trusting: dict[str, Any]) -> None:
    await shared.serve(trusting | {"tools": {"denied": ["slow"]}}, discovered(url=server[0]))
    listed = await shared.get(f"connectors/{WEATHER}/tools")
    assert [tool["name"] for tool in listed["data"]] == ["echo", "add", "fails", "grow"]


async def test_a_changed_registry_counts_for_its_servers_from_the_next_request_on(
    shared: Gateway, client: AsyncOpenAI, server: tuple[str, Recording], trusting: dict[str, Any]
) -> None:
    await shared.serve(trusting, discovered(url=server[0]))
    before = await client.responses.create(model=shared.plays(ECHO, ANSWER), tools=[mcp_tool(WEATHER)], input="hi")
    assert calls_of(before)[0].error is None
    await shared.serve(trusting | {"tools": {"allowed": ["add"]}}, discovered(url=server[0]))
    after = await client.responses.create(model=shared.plays(ECHO, ANSWER), tools=[mcp_tool(WEATHER)], input="hi")
    assert [tool.name for item in after.output if item.type == "mcp_list_tools" for tool in item.tools] == ["add"]
    await shared.serve(trusting | {"tls": {}}, discovered(url=server[0]))
    with pytest.raises(openai.APIStatusError, match="certificate is not valid"):
        await client.responses.create(model=shared.plays(ECHO, ANSWER), tools=[mcp_tool(WEATHER)], input="hi")


async def test_a_call_that_runs_while_its_registry_goes_comes_to_its_end(
    shared: Gateway, client: AsyncOpenAI, certificate: tuple[Path, Path], trusting: dict[str, Any]
) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()
    server = sdk_server()

    @server.tool()
    async def wait() -> str:
        """End when told."""
        begun.set()
        await may_end.wait()
        return "done"

    async with serving(server.streamable_http_app(), tls=certificate) as url:
        await shared.serve(trusting, discovered(url=f"{url}/mcp"))
        model = shared.plays(Round(calls=[Call("mcp__demo__wait", {})]), ANSWER)
        running = asyncio.create_task(client.responses.create(model=model, tools=[mcp_tool(WEATHER)], input="hi"))
        await until(begun.is_set)
        await shared.serve()
        assert (await shared.get("connectors"))["data"] == (await shared.get("registries"))["data"] == []
        may_end.set()
        assert [(call.output, call.error) for call in calls_of(await running)] == [("done", None)]


@pytest.mark.parametrize(
    ("fields", "shared_fields", "told"),
    [
        ({"auth": bearer(TOKEN), "hosts": ["*.acme.com"]}, {}, "HostNotAllowed"),
        ({"auth": bearer(TOKEN)}, {}, "HostNotAllowed"),
        ({}, {"addresses": "public"}, "address not public"),
        ({}, {"available": False, "reason": "UnresolvedRefs"}, "UnresolvedRefs"),
        ({"available": False, "reason": "ConfigurationRequired"}, {}, "ConfigurationRequired"),
    ],
)
async def test_what_may_not_be_reached_gets_nothing(
    shared: Gateway,
    client: AsyncOpenAI,
    server: tuple[str, Recording],
    trusting: dict[str, Any],
    fields: dict[str, Any],
    shared_fields: dict[str, Any],
    told: str,
) -> None:
    url, seen = server
    await shared.serve(trusting | shared_fields, discovered(url=url, **fields))
    with pytest.raises(openai.APIStatusError, match=told) as caught:
        await client.responses.create(model=shared.plays(ANSWER), tools=[mcp_tool(WEATHER)], input="hi")
    assert caught.value.status_code == 424
    assert not seen.requests


async def test_the_catalog_is_as_the_page_shows_it(shared: Gateway) -> None:
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.S)]
    connector = next(item for item in shown if item.get("object") == "connector")
    registries = next(item for item in shown if item.get("data", [{}])[0].get("object") == "registry")
    entry = registry(
        registry={"id": "internal", "url": "https://registry.acme.com"},
        tools=connector["tools"],
        approval=connector["approval"],
        origin={**connector["origin"], "uid": "u", "generation": 1},
    )
    await shared.serve(entry, discovered(title=connector["title"], description=connector["description"]))
    assert await shared.get(f"connectors/{WEATHER}") == connector
    assert await shared.get("registries") == registries
    assert await shared.get("registries/internal") == registries["data"][0]
    assert (await shared.get("connectors?registry_id=internal"))["data"] == [connector]


@pytest.mark.parametrize(
    ("connector_id", "near"),
    [("mcp::internal::io.github.acme/wether", f"did you mean {WEATHER!r}"), ("mcp::internal", "there is no connector 'mcp::internal'")],
)
async def test_an_id_that_is_no_server_is_refused_with_near_ones(
    shared: Gateway, client: AsyncOpenAI, trusting: dict[str, Any], connector_id: str, near: str
) -> None:
    await shared.serve(trusting, discovered())
    with pytest.raises(openai.BadRequestError, match=near) as caught:
        await client.responses.create(model=shared.plays(ANSWER), tools=[mcp_tool(connector_id)], input="hi")
    assert caught.value.param == "tools[0].connector_id"
