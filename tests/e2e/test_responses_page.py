"""The examples of docs/responses.md are run as they stand: Python, JavaScript and curl, with MCP's reference server."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.examples import USER_TOKEN, examples, run
from tests.support.mcp_servers import everything, serving
from tests.support.model_server import Call, Round
from tests.support.recording import Recording, forwarding
from tests.support.running_gateway import RunningGateway

LANGUAGES = ("python", "js", "sh")

SAYS_HI = (Round(calls=[Call("mcp__demo__echo", {"message": "hi"})]), Round(text="The server said hi."))
ADDS_TOO = (Round(calls=[Call("mcp__demo__echo", {"message": "hi"}), Call("mcp__demo__get-sum", {"a": 1, "b": 2})]),)


@pytest.fixture
async def server() -> AsyncIterator[tuple[str, Recording]]:
    """The reference server: its address, and what it is asked."""
    async with everything() as url:
        recording = Recording(forwarding(url.removesuffix("/mcp")))
        async with serving(recording) as address:
            yield address, recording


async def run_example(number: int, language: str, directory: Path, gateway: RunningGateway, url: str, *rounds: Round) -> str:
    """The output of an example when the connector's server is at `url`."""
    text = examples("responses.md", language)[number]
    assert "connector_demo" in text
    return await run(text.replace("connector_demo", await gateway.connector(url)), language, directory, gateway, *rounds)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_first_call(shared_gateway: RunningGateway, server: tuple[str, Recording], tmp_path: Path, language: str) -> None:
    output = await run_example(0, language, tmp_path, shared_gateway, server[0], *SAYS_HI)
    assert "The server said hi." in output
    assert server[1].authorizations == {None}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_streaming(shared_gateway: RunningGateway, server: tuple[str, Recording], tmp_path: Path, language: str) -> None:
    output = await run_example(1, language, tmp_path, shared_gateway, server[0], *SAYS_HI)
    if language == "sh":
        events = re.findall(r"^event: (.*)$", output, re.M)
        assert (events[0], events[-1]) == ("response.created", "response.completed")
        assert output.endswith("data: [DONE]\n\n")
    else:
        assert output.strip() == "echo said: Echo: hi\nThe server said hi."


@pytest.mark.parametrize("language", LANGUAGES)
async def test_token_filter_and_approval(
    shared_gateway: RunningGateway, server: tuple[str, Recording], tmp_path: Path, language: str
) -> None:
    output = await run_example(2, language, tmp_path, shared_gateway, server[0], *ADDS_TOO)
    if language == "sh":
        assert re.findall(r'"type":"(mcp_\w+)"', output) == ["mcp_list_tools", "mcp_call", "mcp_approval_request"]
    else:
        assert output.splitlines() == ["echo said: Echo: hi", 'to be approved: get-sum {"a": 1, "b": 2}']
    assert server[1].authorizations == {f"Bearer {USER_TOKEN}"}
    assert USER_TOKEN not in output


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_example_is_run(language: str) -> None:
    assert len(examples("responses.md", language)) == 3
    assert len(examples("errors.md", language)) == (language == "python")
