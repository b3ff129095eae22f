"""The endpoint: what is looked up, what is echoed, and how a response travels."""

import asyncio
import json
from typing import Any

import httpx
import openai
import pytest

from junctor.gateway.models.ports import RoundAccepted, TextDelta
from junctor.gateway.responses.loop import LoopLimits
from junctor.gateway.tools.ports import ToolOutcome
from tests.unit.gateway.responses.fakes import GMAIL, FakeUpstream, Gateway, RawExchange, Step, answer, call, calls, function, mcp
from tests.unit.gateway.tools.servers import FakeServer, tool

#: What Open Responses wants of every response: there and not null, and there.
NOT_NULL = (
    "id object created_at status model output tools tool_choice truncation parallel_tool_calls text top_p presence_penalty "
    "frequency_penalty top_logprobs temperature store background service_tier metadata"
)
THERE = (
    "completed_at incomplete_details previous_response_id instructions error reasoning usage max_output_tokens max_tool_calls "
    "safety_identifier prompt_cache_key user"
)


async def post(gateway: Gateway, **fields: Any) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway.app), base_url="http://gateway") as client:
        return await client.post("/v1/responses", json={"model": "m", "input": "hi"} | fields)


async def refusal(gateway: Gateway, **fields: Any) -> dict[str, Any]:
    response = await post(gateway, **fields)
    error: dict[str, Any] = response.json()["error"]
    return {"status": response.status_code, **error}


async def test_a_response_has_every_field() -> None:
    response = (await post(Gateway(FakeUpstream()))).json()
    assert all(response[name] is not None for name in NOT_NULL.split())
    assert all(name in response for name in THERE.split())
    assert response["id"].startswith("resp_")
    assert (response["store"], response["status"], response["service_tier"]) == (False, "completed", "default")
    assert response["output"][0]["content"] == [{"type": "output_text", "text": "Done.", "annotations": [], "logprobs": []}]


async def test_the_strict_client_takes_an_echo_of_everything() -> None:
    gateway = Gateway(FakeUpstream(), {GMAIL: FakeServer(tool("read"))}, url_server=FakeServer(tool("x")))
    url: Any = {"type": "mcp", "server_label": "web", "server_url": "https://u:p@mcp.example/x?key=hunter2", "allowed_tools": ["x"]}
    schema: Any = {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": True}
    response = await gateway.client.responses.create(
        model="m",
        input=[{"role": "user", "content": "hi"}],
        instructions="Be brief.",
        tools=[
            mcp(authorization="hunter2", headers={"x-key": "hunter2"}, require_approval={"never": {"read_only": True}}),
            url,
            function("f"),
        ],
        tool_choice={"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "server_label": "git"}]},
        text={"format": schema, "verbosity": "low"},
        reasoning={"effort": "low", "summary": "auto"},
        metadata={"k": "v"},
        include=["message.output_text.logprobs"],
        temperature=0,
        top_p=1,
        top_logprobs=0,
        truncation="disabled",
        store=False,
        user="u",
        safety_identifier="s",
        prompt_cache_key="p",
        prompt_cache_retention="24h",
        prompt_cache_options={"mode": "explicit"},
        service_tier="auto",
        max_tool_calls=3,
        max_output_tokens=100,
        background=False,
    )
    assert "hunter2" not in response.to_json()
    assert response.metadata == {"k": "v"}
    assert response.tools[1].server_url == "https://mcp.example/x"  # type: ignore[union-attr]
    assert gateway.bound == [
        (GMAIL, "hunter2", {"x-key": "hunter2"}),
        ("https://u:p@mcp.example/x?key=hunter2", None, {}),
    ]


@pytest.mark.parametrize("connector_id", [GMAIL, "connector_git", "mcp::internal::io.github.acme/files"])
async def test_the_strict_client_takes_the_echo_of_any_connector(connector_id: str) -> None:
    gateway = Gateway(FakeUpstream(), {connector_id: FakeServer(tool("read"))})
    async with gateway.client.responses.stream(model="m", input="hi", tools=[mcp(connector_id=connector_id)]) as stream:
        final = await stream.get_final_response()
    echo = final.tools[0].to_dict()
    assert echo.get("connector_id" if connector_id == GMAIL else "connector") == connector_id


async def test_a_bearer_token_among_the_headers_is_authorization() -> None:
    gateway = Gateway(FakeUpstream(), {GMAIL: FakeServer()})
    assert (await post(gateway, tools=[mcp(headers={"Authorization": "Bearer t", "x": "y"})])).status_code == 200
    assert gateway.bound == [(GMAIL, "t", {"x": "y"})]


async def test_an_unknown_connector_is_refused_with_near_ids() -> None:
    error = await refusal(Gateway(FakeUpstream(), {GMAIL: FakeServer()}), tools=[function("f"), mcp(connector_id="connector_gmial")])
    assert (error["status"], error["param"], error["code"]) == (400, "tools[1].connector_id", "invalid_value")
    assert "did you mean 'connector_gmail'?" in error["message"]


async def test_a_connector_that_is_not_available_is_a_424() -> None:
    gateway = Gateway(FakeUpstream(), {GMAIL: FakeServer()}, {GMAIL: {"available": False, "reason": "SecretNotFound"}})
    error = await refusal(gateway, tools=[mcp()], stream=True)
    assert (error["status"], error["type"]) == (424, "external_connector_error")
    assert "SecretNotFound" in error["message"]


@pytest.mark.parametrize(
    ("policy", "fields", "status", "param"),
    [
        ("Allow", {}, 200, None),
        ("Allow", {"authorization": "t"}, 200, None),
        ("Require", {"authorization": "t"}, 200, None),
        ("Require", {}, 400, "tools[0].authorization"),
        ("Forbid", {}, 200, None),
        ("Forbid", {"authorization": "t"}, 400, "tools[0].authorization"),
        ("Forbid", {"headers": {"authorization": "Bearer t"}}, 400, "tools[0].authorization"),
    ],
)
async def test_who_may_bring_authorization(policy: str, fields: dict[str, Any], status: int, param: str | None) -> None:
    gateway = Gateway(FakeUpstream(), {GMAIL: FakeServer()}, {GMAIL: {"callerAuthorization": policy}})
    response = await post(gateway, tools=[mcp(**fields)])
    assert response.status_code == status
    assert status == 200 or response.json()["error"]["param"] == param


async def test_the_ceiling_of_a_connector_holds() -> None:
    server = FakeServer(tool("read"), tool("write"))
    gateway = Gateway(FakeUpstream(calls(call("mcp__git__write")), answer()), {GMAIL: server}, {GMAIL: {"tools": {"denied": ["write"]}}})
    response = (await post(gateway, tools=[mcp()])).json()
    assert [tool["name"] for tool in response["output"][0]["tools"]] == ["read"]
    assert not server.calls
    error = await refusal(gateway, tools=[mcp()], tool_choice={"type": "mcp", "server_label": "git", "name": "write"})
    assert (error["status"], error["param"]) == (400, "tool_choice")


async def test_urls_of_callers_are_disabled_unless_a_port_takes_them() -> None:
    url = {"type": "mcp", "server_label": "web", "server_url": "https://mcp.example"}
    error = await refusal(Gateway(FakeUpstream()), tools=[url])
    assert (error["status"], error["param"]) == (400, "tools[0].server_url")
    assert "server_url is disabled" in error["message"]
    gateway = Gateway(FakeUpstream(), url_server=FakeServer())
    assert (await post(gateway, tools=[url])).status_code == 200

    refusing = Gateway(FakeUpstream(), url_server=FakeServer(), refuses_urls=True)
    assert (await refusal(refusing, tools=[url]))["param"] == "tools[0].server_url"


async def test_an_unknown_model_is_a_404() -> None:
    gateway = Gateway(FakeUpstream())
    with pytest.raises(openai.NotFoundError) as refused:
        await gateway.client.responses.create(model="other", input="hi")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff", b"[]"])
async def test_a_body_that_is_no_object_is_a_400(body: bytes) -> None:
    exchange = RawExchange(Gateway(FakeUpstream()).app, body)
    await exchange.run()
    assert exchange.status == 400


async def test_there_are_no_stored_responses() -> None:
    client = Gateway(FakeUpstream()).client
    for attempt in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(openai.NotFoundError, match="stores no responses"):
            await attempt("resp_1")


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "input": "hi", "tools": [mcp()]} | fields).encode()


class Slow:
    """A tool that runs until it is told to end, or cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()

    async def __call__(self, name: str, arguments: Any) -> ToolOutcome:
        self.begun.set()
        await self.may_end.wait()
        return ToolOutcome("ok", None, "ok")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_away_cancels_its_calls(stream: bool) -> None:
    slow = Slow()
    server = FakeServer(tool("read"), behaviour=slow)
    gateway = Gateway(FakeUpstream(calls(call("mcp__git__read"), call("mcp__git__read", call_id="2"))), {GMAIL: server})
    exchange = RawExchange(gateway.app, body(stream=stream))
    serving = asyncio.create_task(exchange.run())
    await slow.begun.wait()
    exchange.gone.set()
    await serving
    assert server.cancelled == 2
    assert not exchange.ended


async def test_a_client_that_goes_away_ends_the_generation() -> None:
    upstream = FakeUpstream([TextDelta("Wel"), asyncio.Event()])
    exchange = RawExchange(Gateway(upstream).app, body(stream=True, tools=[]))
    serving = asyncio.create_task(exchange.run())
    await exchange.until(b"Wel")
    assert upstream.closed == 0
    exchange.gone.set()
    await serving
    assert upstream.closed == 1


async def test_silence_is_filled_with_comments() -> None:
    slow = Slow()
    gateway = Gateway(
        FakeUpstream(calls(call("mcp__git__read")), answer()), {GMAIL: FakeServer(tool("read"), behaviour=slow)}, keep_alive=0.001
    )
    exchange = RawExchange(gateway.app, body(stream=True))
    serving = asyncio.create_task(exchange.run())
    await exchange.until(b": keep-alive\n\n: keep-alive\n\n")
    slow.may_end.set()
    await serving
    assert exchange.headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert exchange.sent.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("rounds", "limits"),
    [
        ([], LoopLimits(silent_seconds=0, accepted_seconds=3600)),
        ([RoundAccepted()], LoopLimits(silent_seconds=3600, accepted_seconds=0)),
    ],
    ids=["silent", "accepted"],
)
async def test_a_model_server_that_keeps_silent_does_not_hold_the_stream_back(rounds: list[Step], limits: LoopLimits) -> None:
    silence = asyncio.Event()
    gateway = Gateway(FakeUpstream([*rounds, silence, *answer()]), {GMAIL: FakeServer(tool("read"))}, limits=limits)
    exchange = RawExchange(gateway.app, body(stream=True))
    serving = asyncio.create_task(exchange.run())
    async with asyncio.timeout(20):
        await exchange.until(b"mcp_list_tools.completed")
    silence.set()
    await serving
    assert exchange.sent.count(b"event: response.created\n") == 1
    assert exchange.sent.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_gateway_that_stops_ends_responses_properly(stream: bool) -> None:
    slow = Slow()
    server = FakeServer(tool("read"), behaviour=slow)
    gateway = Gateway(FakeUpstream(calls(call("mcp__git__read"))), {GMAIL: server})
    exchange = RawExchange(gateway.app, body(stream=stream))
    serving = asyncio.create_task(exchange.run())
    await slow.begun.wait()
    serving.cancel()
    await asyncio.wait([serving])
    assert server.cancelled == 1
    assert exchange.ended
    if stream:
        assert [frame.split(b"\n")[0] for frame in exchange.sent.strip().split(b"\n\n")[-3:]] == [
            b"event: error",
            b"event: response.failed",
            b"data: [DONE]",
        ]
    else:
        assert (exchange.status, exchange.headers[b"x-should-retry"]) == (503, b"false")
