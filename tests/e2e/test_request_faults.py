"""Requests that cannot be served, to a real gateway process: a 400 or 401 that names the rule, before anybody is asked anything."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, Omit

from junctor.gateway.auth.key_file import entry_of
from tests.support.mcp_servers import ScriptedServer, serving
from tests.support.model_server import Round
from tests.support.running_gateway import RunningGateway, mcp_tool, respond, running_gateway

STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture
async def unasked(shared_gateway: RunningGateway) -> AsyncIterator[str]:
    """A connector whose server must not be asked anything."""
    server = ScriptedServer()
    async with serving(server.app()) as url:
        yield await shared_gateway.connector(url)
    assert server.requests == []


async def refused(client: AsyncOpenAI, **request: Any) -> dict[str, Any]:
    """The error of a request that is answered with 400 and an error as OpenAI words it."""
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(input="hi", **request)
    return error_of(caught.value)


def error_of(failed: openai.APIStatusError) -> dict[str, Any]:
    assert failed.response.headers["content-type"] == "application/json"
    error = failed.response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    return dict(error)


# --- tools --------------------------------------------------------------------------------------------------------------------------------

Tools = Callable[[Any], list[Any]]

TOOLS: dict[str, tuple[Tools, str, str]] = {
    "unknown connector": (lambda good: [good, mcp_tool("nobody", "other")], "tools[1].connector_id", "invalid_value"),
    "two targets": (lambda good: [good | {"server_url": "https://mcp.example.com"}], "tools[0].server_url", "invalid_value"),
    "no target": (lambda _: [{"type": "mcp", "server_label": "demo"}], "tools[0].connector_id", "missing_required_parameter"),
    "a tunnel": (lambda good: [good | {"tunnel_id": "t"}], "tools[0].tunnel_id", "unsupported_parameter"),
    "one label twice": (lambda good: [good, good], "tools[1].server_label", "invalid_value"),
    "labels differ in case": (lambda good: [good, good | {"server_label": "DEMO"}], "tools[1].server_label", "invalid_value"),
    "no label": (lambda _: [{"type": "mcp", "connector_id": "x"}], "tools[0].server_label", "missing_required_parameter"),
    "unknown field": (lambda good: [good | {"colour": "red"}], "tools[0].colour", "unknown_parameter"),
    "unknown field of a filter": (
        lambda good: [good | {"allowed_tools": {"names": ["echo"]}}],
        "tools[0].allowed_tools.names",
        "unknown_parameter",
    ),
    "approval of no known kind": (lambda good: [good | {"require_approval": "sometimes"}], "tools[0].require_approval", "invalid_value"),
    "unsupported type": (lambda good: [good, {"type": "web_search"}], "tools[1].type", "unsupported_parameter"),
    "no type": (lambda _: [{"server_label": "demo"}], "tools[0].type", "missing_required_parameter"),
}


@STREAM
@pytest.mark.parametrize("case", TOOLS)
async def test_tools_that_are_not_valid(shared_gateway: RunningGateway, client: AsyncOpenAI, unasked: str, case: str, stream: bool) -> None:
    tools, param, code = TOOLS[case]
    model = shared_gateway.plays(Round(text="never"))
    error = await refused(client, model=model, tools=tools(mcp_tool(unasked)), stream=stream)
    assert (error["param"], error["code"]) == (param, code)
    assert error["message"]
    assert shared_gateway.asked(model) == []


async def test_ids_near_to_an_unknown_one_are_suggested(shared_gateway: RunningGateway, client: AsyncOpenAI) -> None:
    await shared_gateway.connector("https://mcp.example.com", connectorID="github_issues")
    for wanted in ("github_isues", "git_hub_issues", "GitHub_issues"):
        error = await refused(client, model="any", tools=[mcp_tool(wanted)])
        assert (error["param"], error["code"]) == ("tools[0].connector_id", "invalid_value")
        assert "did you mean 'github_issues'" in error["message"]


# --- server_url ---------------------------------------------------------------------------------------------------------------------------


@STREAM
async def test_server_url_is_refused_by_name_of_the_rule_and_nothing_is_resolved(
    shared_gateway: RunningGateway, client: AsyncOpenAI, stream: bool
) -> None:
    server = ScriptedServer()
    model = shared_gateway.plays(Round(text="never"))
    async with serving(server.app()) as url:
        there, nowhere = url.replace("127.0.0.1", "localhost"), "http://nowhere.invalid"
        errors = [
            await refused(
                client, model=model, stream=stream, tools=[{"type": "mcp", "server_label": "demo", "server_url": f"{base}/mcp?key=s3cret"}]
            )
            for base in (there, nowhere, "http://169.254.169.254")
        ]
    # The same words for each, so that the answer tells nothing about the name.
    assert errors == [errors[0]] * 3
    assert errors[0]["param"] == "tools[0].server_url"
    assert "server_url is disabled" in errors[0]["message"]
    assert "connector_id" in errors[0]["message"]
    assert not [word for word in ("127.0.0.1", "::1", "localhost", "s3cret") if word in errors[0]["message"]]
    assert server.requests == []
    assert shared_gateway.asked(model) == []


# --- callers ------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that knows one key."""
    directory = tmp_path_factory.mktemp("guarded")
    (directory / "keys.yaml").write_text(entry_of("the-right-key", "alice", ()))
    with running_gateway(directory, "--callers", f"apikeys:{directory}/keys.yaml") as gateway:
        yield gateway


KEYS: dict[str, Any] = {"none": Omit(), "empty": "Bearer", "wrong": "Bearer wrong", "scheme": "Basic dGhlLXJpZ2h0LWtleQ=="}


@STREAM
@pytest.mark.parametrize("key", KEYS)
async def test_without_a_valid_key_nothing_is_read(guarded: RunningGateway, key: str, stream: bool) -> None:
    model = guarded.plays(Round(text="hello"))
    # The connector does not exist: who may not call does not learn that.
    request: dict[str, Any] = {"model": model, "input": "hi", "tools": [mcp_tool("nobody")]}
    async with guarded.client() as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.responses.create(**request, stream=stream, extra_headers={"Authorization": KEYS[key]})
    assert error_of(caught.value)["code"] == "invalid_api_key"
    assert caught.value.response.headers["www-authenticate"] == "Bearer"
    assert guarded.asked(model) == []
    async with guarded.client(api_key="the-right-key") as client:
        assert (await respond(client, stream=stream, model=model, input="hi")).output_text == "hello"


# --- what needs a store -------------------------------------------------------------------------------------------------------------------


@STREAM
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"store": True}, "store"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": False, "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
    ],
)
async def test_what_needs_a_store_is_refused_and_says_so(
    shared_gateway: RunningGateway, client: AsyncOpenAI, fields: dict[str, Any], param: str, stream: bool
) -> None:
    model = shared_gateway.plays(Round(text="never"))
    error = await refused(client, model=model, stream=stream, **fields)
    assert (error["param"], error["code"]) == (param, "unsupported_parameter")
    assert "stores no responses yet" in error["message"]
    assert shared_gateway.asked(model) == []


@STREAM
@pytest.mark.parametrize("fields", [{}, {"store": False}], ids=["omitted", "false"])
async def test_store_is_echoed_as_false(shared_gateway: RunningGateway, client: AsyncOpenAI, fields: dict[str, Any], stream: bool) -> None:
    response = await respond(client, stream=stream, model=shared_gateway.plays(Round(text="hello")), input="hi", **fields)
    assert (response.model_extra or {})["store"] is False
    assert response.previous_response_id is None
