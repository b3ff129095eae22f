"""Two teams at one gateway, with API keys of their own: what one of them may use does not exist for the other."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from junctor.gateway.auth.key_file import entry_of
from tests.support.mcp_servers import sdk_server, serving
from tests.support.running_gateway import ANSWER, ECHO, RunningGateway, calls_of, mcp_tool, respond, running_gateway

#: Whose keys there are, and their groups. The key is the name.
CALLERS = {"alice": ("team-a",), "bob": ("team-b",), "root": ("team-a", "team-b")}
TEAM_B = {"subjects": [{"kind": "Group", "name": "team-b"}]}


def write_keys(file: Path, callers: dict[str, tuple[str, ...]]) -> None:
    new = file.with_suffix(".new")
    new.write_text("".join(entry_of(name, name, groups) for name, groups in callers.items()))
    new.replace(file)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "keys.yaml"
    write_keys(file, CALLERS)
    return file


@pytest.fixture
def gateway(tmp_path: Path, key_file: Path) -> Iterator[RunningGateway]:
    with running_gateway(tmp_path, "--callers", f"apikeys:{key_file}", api_key="root") as gateway:
        yield gateway


@pytest.fixture
async def server() -> AsyncIterator[str]:
    async with serving(sdk_server().streamable_http_app()) as url:
        yield url


async def ask(gateway: RunningGateway, who: str, path: str) -> httpx.Response:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {who}"}, trust_env=False, timeout=60) as http:
        return await http.get(f"{gateway.url}/{path}")


async def listed(gateway: RunningGateway, who: str) -> list[str]:
    return [item["id"] for item in (await ask(gateway, who, "connectors")).json()["data"]]


async def use(gateway: RunningGateway, who: str, connector_id: str, *, stream: bool = False) -> Any:
    """The calls of a response that uses a connector, or the error as it was sent."""
    async with gateway.client(api_key=who) as client:
        request: dict[str, Any] = {"model": gateway.plays(ECHO, ANSWER), "input": "hi", "tools": [mcp_tool(connector_id)]}
        try:
            return [call.name for call in calls_of(await respond(client, stream=stream, **request))]
        except openai.BadRequestError as refused:
            return refused.response.content


async def test_each_team_finds_and_uses_its_own(gateway: RunningGateway, server: str) -> None:
    everybodys = await gateway.connector(server, connectorID="everybodys")
    of_a = await gateway.connector(server, connectorID="of-a", access={"subjects": [{"kind": "Group", "name": "team-a"}]})
    of_bob = await gateway.connector(
        server, connectorID="of-bob", access={"subjects": [{"kind": "User", "name": who} for who in ("bob", "root")]}
    )
    assert await listed(gateway, "alice") == [everybodys, of_a]
    assert await listed(gateway, "bob") == [everybodys, of_bob]
    assert await use(gateway, "alice", of_a) == await use(gateway, "bob", of_bob) == await use(gateway, "bob", everybodys) == ["echo"]
    assert (await ask(gateway, "alice", f"connectors/{of_a}/tools")).json()["data"]
    assert "did you mean 'of-bob'?" in (await ask(gateway, "bob", "connectors/of-bo")).json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_the_other_team_gets_the_answers_of_an_id_that_does_not_exist(gateway: RunningGateway, server: str, stream: bool) -> None:
    await gateway.connector(server, connectorID="wiki-public")
    paths = ["connectors", "connectors?search=wiki", *(f"connectors/{rest}" for rest in ("wiki-secret", "wiki-secret/tools", "wiki-secre"))]

    async def answers(who: str) -> list[Any]:
        found = [await ask(gateway, who, path) for path in paths]
        used = [await use(gateway, who, connector_id, stream=stream) for connector_id in ("wiki-secret", "wiki-secre")]
        return [*((answer.status_code, answer.content) for answer in found), *used]

    before = await answers("alice")
    await gateway.connector(server, connectorID="wiki-secret", access=TEAM_B)
    assert await answers("alice") == before
    assert await answers("bob") != before


async def test_a_caller_who_joins_a_group_may_use_its_connectors_at_once(gateway: RunningGateway, server: str, key_file: Path) -> None:
    connector_id = await gateway.connector(server, access=TEAM_B)
    assert await listed(gateway, "alice") == []
    write_keys(key_file, CALLERS | {"alice": ("team-a", "team-b")})
    assert await use(gateway, "alice", connector_id) == ["echo"]
    write_keys(key_file, CALLERS)
    assert await listed(gateway, "alice") == []


async def test_who_is_not_asked_is_nobody(tmp_path: Path, server: str) -> None:
    with running_gateway(tmp_path) as gateway:
        for name, access in {"of-b": TEAM_B, "of-anonymous": {"subjects": [{"kind": "User", "name": "anonymous"}]}}.items():
            spec = {"url": f"{server}/mcp", "access": access}
            manifest = {"apiVersion": "junctor.dev/v1alpha1", "kind": "MCPConnector", "metadata": {"name": name}, "spec": spec}
            (tmp_path / "manifests" / f"{name}.yaml").write_text(json.dumps(manifest))
        everybodys = await gateway.connector(server)
        assert await listed(gateway, "alice") == [everybodys]
        assert "with 3 connectors" in gateway.process.log()
