"""docs/errors.md: every row of its tables is what a real gateway answers."""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from starlette.responses import Response

from junctor.gateway.auth.key_file import entry_of
from tests.cluster.processes import gateway
from tests.support.attacks import RawConnection
from tests.support.errors_page import table
from tests.support.examples import examples, run
from tests.support.mcp_servers import Answer, ScriptedServer, error, result, serving, text_result
from tests.support.model_server import Call, Round
from tests.support.ports import free_port
from tests.support.running_gateway import RunningGateway, mcp_tool, respond, running_gateway


def hello(**fields: Any) -> dict[str, Any]:
    return {"model": "scripted", "input": "hi", **fields}


JSON = {"Content-Type": "application/json"}
GOOD = mcp_tool("a-good-one")
Row = tuple[int, str, str]
#: Requests for a response that are refused as they are. "a-good-one" exists, "strict-one" wants the caller's token, "own-key" forbids it.
BODIES: Mapping[Row, Any] = {
    (400, "invalid_json", ""): b"{",
    (400, "missing_required_parameter", "model"): {"input": "hi"},
    (400, "unknown_parameter", "tools[0].colour"): hello(tools=[GOOD | {"colour": "red"}]),
    (400, "invalid_type", "tools[0]"): hello(tools=["web_search"]),
    (400, "invalid_value", "temperature"): hello(temperature=9),
    (400, "unsupported_parameter", "store"): hello(store=True),
    (400, "unsupported_parameter", "tools[0].server_url"): hello(
        tools=[{"type": "mcp", "server_label": "demo", "server_url": "https://mcp.example.com"}]
    ),
    (400, "unsupported_parameter", "tools[0].type"): hello(tools=[{"type": "web_search"}]),
    (400, "invalid_value", "tools[0].connector_id"): hello(tools=[mcp_tool("nobody")]),
    (400, "invalid_value", "tools[1].server_label"): hello(tools=[GOOD, GOOD]),
    (400, "missing_required_parameter", "tools[0].authorization"): hello(tools=[mcp_tool("strict-one")]),
    (400, "invalid_value", "tools[0].authorization"): hello(tools=[mcp_tool("own-key", authorization="t")]),
    (400, "invalid_value", "tools[0].headers"): hello(tools=[mcp_tool("own-key", headers={"X-Team": "mine"})]),
    (400, "invalid_value", "tool_choice"): hello(tool_choice={"type": "mcp", "server_label": "demo"}),
    (404, "model_not_found", "model"): hello(model="no-such-model"),
    (413, "too_many_values", ""): b"[" + b"0," * 200_000 + b"0]",
    (413, "request_too_large", ""): b'"' + b"x" * (10 << 20) + b'"',
    (424, "http_error", "tools"): hello(tools=[mcp_tool("down")]),
}
#: What the model server answers instead of generating.
MODEL_SAYS: Mapping[Row, Round] = {
    (400, "context_length_exceeded", ""): Round(status=400, error="This model's maximum context length is 4096 tokens."),
    (429, "rate_limit_exceeded", ""): Round(status=429),
    (502, "server_error", ""): Round(status=500),
    (503, "server_error", ""): Round(status=503),
}
OTHER_PATHS: Mapping[Row, tuple[str, str]] = {
    (404, "not_found", "response_id"): ("GET", "/responses/resp_1"),
    (404, "connector_not_found", "id"): ("GET", "/connectors/nobody"),
    (404, "registry_not_found", "id"): ("GET", "/registries/nobody"),
    (404, "unknown_url", ""): ("POST", "/response"),
    (405, "method_not_allowed", ""): ("GET", "/responses"),
}
#: Requests whose headers are refused.
HEADERS: Mapping[Row, dict[str, str]] = {
    (403, "origin_not_allowed", ""): {**JSON, "Origin": "https://a-page.example"},
    (403, "host_not_allowed", ""): {**JSON, "Host": "another-name.example"},
    (415, "unsupported_media_type", ""): {"Content-Type": "text/plain"},
}
#: What the connection itself refuses, before there is a request.
RAW: Mapping[Row, bytes] = {
    (400, "", ""): b"not HTTP\r\n\r\n",
    (414, "url_too_long", ""): b"GET /" + b"x" * 17_000,
    (431, "headers_too_large", ""): b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n",
}
#: Rows with a test of their own here, and then those that need a cluster, a fault of the gateway, or its end, which other tests have.
ALONE: Sequence[Row] = [(401, "invalid_api_key", ""), (503, "no_connector_map", "")]
ELSEWHERE: Sequence[Row] = [
    (408, "request_timeout", ""),
    (429, "too_many_bytes_in_progress", ""),
    (503, "overloaded", ""),
    (500, "", ""),
    (503, "callers_unavailable", ""),
    (503, "", ""),
]


def assert_is(answer: httpx.Response, row: Row) -> None:
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    told = answer.json()["error"]
    assert (answer.status_code, told["code"] or "", told["param"] or "") == row
    assert told["message"]
    assert (told["type"] == "external_connector_error") == (row[0] == httpx.codes.FAILED_DEPENDENCY)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connectors(shared_gateway: RunningGateway) -> None:
    """The connectors that the requests name."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    for name in ("a-good-one", "down"):
        await shared_gateway.connector(nowhere, connectorID=name)
    await shared_gateway.connector(nowhere, connectorID="strict-one", callerAuthorization="Require")
    own: dict[str, Any] = {"callerAuthorization": "Forbid", "headers": [{"name": "X-Team", "value": "platform"}]}
    await shared_gateway.connector(nowhere, connectorID="own-key", **own)


def test_every_row_is_produced() -> None:
    shown = [(int(status), code, param) for status, code, param, *_ in table("Instead of a response")]
    assert sorted(shown) == sorted([*BODIES, *MODEL_SAYS, *OTHER_PATHS, *HEADERS, *RAW, *ALONE, *ELSEWHERE])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("row", BODIES, ids=str)
@pytest.mark.usefixtures("connectors")
def test_a_request_is_refused(shared_gateway: RunningGateway, row: Row, stream: bool) -> None:
    body = BODIES[row]
    sent: dict[str, Any] = {"content": body, "headers": JSON} if isinstance(body, bytes) else {"json": body | {"stream": stream}}
    assert_is(httpx.post(f"{shared_gateway.url}/responses", trust_env=False, timeout=30, **sent), row)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("row", MODEL_SAYS, ids=str)
def test_the_model_server_refuses(shared_gateway: RunningGateway, row: Row, stream: bool) -> None:
    model = shared_gateway.plays(MODEL_SAYS[row])
    answer = httpx.post(f"{shared_gateway.url}/responses", trust_env=False, timeout=60, json=hello(model=model, stream=stream))
    assert_is(answer, row)
    assert "x-should-retry" not in answer.headers


def test_another_refusal_of_the_model_server_is_passed_on(shared_gateway: RunningGateway) -> None:
    model = shared_gateway.plays(Round(status=422, error="seed must be positive"))
    answer = httpx.post(f"{shared_gateway.url}/responses", trust_env=False, timeout=60, json=hello(model=model))
    assert_is(answer, (422, "", ""))
    assert answer.json()["error"]["message"] == "seed must be positive"


@pytest.mark.parametrize("row", OTHER_PATHS, ids=str)
def test_another_path(shared_gateway: RunningGateway, row: Row) -> None:
    method, path = OTHER_PATHS[row]
    assert_is(httpx.request(method, shared_gateway.url + path, trust_env=False, timeout=60), row)


@pytest.mark.parametrize("row", HEADERS, ids=str)
def test_headers_are_refused(shared_gateway: RunningGateway, row: Row) -> None:
    body = json.dumps(hello())
    assert_is(httpx.post(f"{shared_gateway.url}/responses", content=body, headers=HEADERS[row], trust_env=False, timeout=60), row)


@pytest.mark.parametrize("row", RAW, ids=str)
def test_the_connection_refuses(shared_gateway: RunningGateway, row: Row) -> None:
    with RawConnection(shared_gateway.url) as connection:
        connection.send(RAW[row])
        head, _, body = connection.receive().partition(b"\r\n\r\n")
    assert b"\r\nx-request-id: req_" in head
    assert_is(httpx.Response(int(head.split()[1]), content=body), row)


@pytest.mark.usefixtures("connectors")
def test_the_tools_of_a_connector_that_wants_the_users_token(shared_gateway: RunningGateway) -> None:
    answer = httpx.get(f"{shared_gateway.url}/connectors/strict-one/tools", trust_env=False, timeout=60)
    assert_is(answer, (424, "http_error", "tools"))
    assert "needs the request's own authorization" in answer.json()["error"]["message"]


def test_no_key(tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text(entry_of("right", "application", ()))
    with running_gateway(tmp_path, "--callers", f"apikeys:{tmp_path}/keys.yaml") as guarded:
        answer = httpx.post(
            f"{guarded.url}/responses", json=hello(), headers={"Authorization": "Bearer wrong"}, trust_env=False, timeout=60
        )
    assert_is(answer, (401, "invalid_api_key", ""))


def test_no_map(tmp_path: Path) -> None:
    port, management = free_port(), free_port()
    options = ("--upstream", "http://127.0.0.1:1")
    with gateway(f"file:{tmp_path}", *options, log_file=tmp_path / "log", port=port, management_port=management) as process:
        process.wait_until_ready(f"http://127.0.0.1:{management}/-/livez")
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/responses", json=hello(tools=[GOOD]), trust_env=False, timeout=60)
    assert_is(answer, (503, "no_connector_map", ""))
    assert answer.headers["retry-after"] == "1"


async def test_the_example(shared_gateway: RunningGateway, tmp_path: Path) -> None:
    await shared_gateway.connector("http://127.0.0.1:1", connectorID="connector_demo")
    output = await run(examples("errors.md", "python")[0], "python", tmp_path, shared_gateway, Round())
    assert output.splitlines()[0] == "400 invalid_value tools[0].connector_id"
    assert "did you mean 'connector_demo'" in output


# --- calls --------------------------------------------------------------------------------------------------------------------------------


def http(status: int) -> Answer:
    async def answer(_: Any) -> Response:
        return Response(status_code=status)

    return answer


async def says_no(request: dict[str, Any]) -> Response:
    return result(request, {"content": [{"type": "text", "text": "no such issue"}], "isError": True})


async def wrong_arguments(request: dict[str, Any]) -> Response:
    return error(request, -32602, "message is required")


async def huge(request: dict[str, Any]) -> Response:
    return text_result(request, "x" * 5_000_000)


async def large(request: dict[str, Any]) -> Response:
    return text_result(request, "x" * 3000)


async def gibberish(_: Any) -> Response:
    return Response("<html>", media_type="application/json")


async def hang(_: Any) -> Response:
    await asyncio.Event().wait()
    raise AssertionError


#: What the server answers to a call with these arguments; the row that tells of it; the code.
CALLS: Mapping[str, tuple[Answer, str, tuple[str, str], int | None]] = {
    "the tool says so": (says_no, "{}", ("mcp_tool_execution_error", ""), None),
    "too large a result": (large, "{}", ("mcp_tool_execution_error", ""), None),
    "no JSON object": (says_no, "[1]", ("mcp_tool_execution_error", ""), None),
    "JSON-RPC error": (wrong_arguments, "{}", ("mcp_protocol_error", "of JSON-RPC"), -32602),
    "HTTP status": (http(403), "{}", ("http_error", "HTTP's"), 403),
    "no JSON-RPC": (gibberish, "{}", ("mcp_protocol_error", "of JSON-RPC"), -32700),
    "too large an answer": (huge, "{}", ("http_error", "502"), 502),
    "silent": (hang, "{}", ("http_error", "504"), 504),
}


def test_every_failure_is_produced() -> None:
    assert {(kind, code) for kind, code, _ in table("A tool call that failed")} == {row for _, _, row, _ in CALLS.values()}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("case", CALLS)
async def test_a_call_fails_and_the_response_goes_on(shared_gateway: RunningGateway, client: AsyncOpenAI, case: str, stream: bool) -> None:
    answer, arguments, (kind, _), code = CALLS[case]
    server = ScriptedServer({"tools/call": answer})
    model = shared_gateway.plays(Round(calls=[Call("mcp__demo__echo", arguments)]), Round(text="That did not work."))
    async with serving(server.app()) as url:
        connector_id = await shared_gateway.connector(url, limits={"callTimeoutSeconds": 1, "maxResultBytes": 1024})
        response = await respond(client, stream=stream, model=model, input="hi", tools=[mcp_tool(connector_id)])
    assert (response.status, response.output_text) == ("completed", "That did not work.")
    call = response.output[1]
    assert call.type == "mcp_call"
    assert (call.status, call.output) == ("failed", None)
    assert call.error is not None
    assert (call.error.type, getattr(call.error, "code", None)) == (kind, code)
    assert server.asked("tools/call") == (arguments == "{}")


# --- in a stream --------------------------------------------------------------------------------------------------------------------------


def test_an_error_in_a_stream_ends_it(shared_gateway: RunningGateway) -> None:
    model = shared_gateway.plays(Round(text="This breaks off in the middle.", error="out of memory", after=2))
    answer = httpx.post(f"{shared_gateway.url}/responses", json=hello(model=model, stream=True), trust_env=False, timeout=60)
    assert answer.status_code == httpx.codes.OK
    *_, told, last = [json.loads(data) for data in re.findall(r"^data: ({.*)$", answer.text, re.M)]
    assert (told["type"], told["error"].keys()) == ("error", {"message", "type", "param", "code"})
    assert (told["code"], told["error"]["code"]) == ("server_error", "server_error")
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")


# --- trying again -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ran", [False, True], ids=["nothing ran", "a tool ran"])
async def test_what_would_run_a_tool_again_is_not_repeated(shared_gateway: RunningGateway, ran: bool) -> None:
    server = ScriptedServer()
    rounds = [Round(calls=[Call("mcp__demo__echo", {})]), Round(status=500)] if ran else [Round(status=500)]
    model = shared_gateway.plays(*rounds)
    async with serving(server.app()) as url, shared_gateway.client(max_retries=2) as client:
        connector_id = await shared_gateway.connector(url)
        with pytest.raises(openai.InternalServerError) as caught:
            await client.responses.create(model=model, input="hi", tools=[mcp_tool(connector_id)])
    assert caught.value.response.headers.get("x-should-retry") == ("false" if ran else None)
    assert server.asked("tools/call") == ran
    assert len(shared_gateway.asked(model)) == (2 if ran else 3)
