"""What a misbehaving MCP server does to a request: a clear failure of that request, and nothing else."""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from junctor.connectormap.policy import Limits
from junctor.gateway.mcp import McpClientPool
from junctor.gateway.tools.ports import ToolFailure
from junctor.gateway.tools.server_errors import ListingFailed
from junctor.net.network_policy import OWN_MACHINE_POLICY
from tests.contract.failing_calls import QUICK, SECRET, closing, fails, talking, works
from tests.support.mcp_servers import ECHO_TOOL, ScriptedServer, answering, error, hang, result, serving, text_result
from tests.support.ports import free_port


async def test_a_refused_connection() -> None:
    async with closing(McpClientPool(OWN_MACHINE_POLICY)) as pool:
        client = pool.from_params(f"http://127.0.0.1:{free_port()}/mcp")
        with pytest.raises(ListingFailed, match="refuses connections") as caught:
            await client.list_tools()
        assert caught.value.status == 502
        assert await fails(client) == ToolFailure("http", "the server refuses connections", 502)


@pytest.mark.parametrize("status", [401, 403, 405, 413, 429, 500, 503])
async def test_the_http_status_of_a_refusal_is_kept(status: int) -> None:
    server = ScriptedServer({"tools/list": answering(status), "tools/call": answering(status)})
    async with talking(server) as client:
        with pytest.raises(ListingFailed, match=f"HTTP {status}") as caught:
            await client.list_tools()
        assert caught.value.status == status
        assert (await fails(client)) == ToolFailure("http", f"the server answered HTTP {status}", status)
        server.answers.clear()
        assert await works(client)
        assert server.asked("initialize") == 1


@pytest.mark.parametrize("status", [401, 500])
async def test_a_refusal_of_the_handshake_gives_its_status(status: int) -> None:
    server = ScriptedServer(dict.fromkeys(("server/discover", "initialize"), answering(status)))
    async with talking(server) as client:
        with pytest.raises(ListingFailed) as caught:
            await client.list_tools()
        assert caught.value.status == status
        assert (await fails(client)).code == status


async def test_a_json_rpc_error_is_a_protocol_failure_with_its_code() -> None:
    async def refuse(request: dict[str, Any]) -> Response:
        return error(request, -32602, "no such thing", 400)

    async with talking(ScriptedServer({"tools/call": refuse})) as client:
        assert await fails(client) == ToolFailure("protocol", "no such thing", -32602)


async def test_a_server_that_never_answers_a_call_costs_that_call_only() -> None:
    server = ScriptedServer({"tools/call": hang})
    async with talking(server, QUICK) as client:
        assert await fails(client) == ToolFailure("http", "the server did not answer in time", 504)
        server.answers.clear()
        assert await works(client)
        assert server.asked("initialize") == 1


async def test_a_server_that_never_answers_the_handshake_is_given_up_at_the_connect_deadline() -> None:
    async with talking(ScriptedServer(dict.fromkeys(("server/discover", "initialize"), hang)), QUICK) as client:
        with pytest.raises(ListingFailed) as caught:
            await client.list_tools()
        assert caught.value.status == 504
        assert (await fails(client)).code == 504


async def test_a_json_body_of_5_mb_is_cut_off_and_the_session_lives() -> None:
    async def huge(request: dict[str, Any]) -> Response:
        return text_result(request, "x" * 5_000_000)

    server = ScriptedServer({"tools/call": huge})
    async with talking(server) as client:
        failure = await fails(client)
        assert (failure.kind, failure.code) == ("http", 502)
        assert "more than" in failure.message
        server.answers.clear()
        assert await works(client)


@pytest.mark.parametrize("size", [2_000_000, 6_000_000])
async def test_an_event_of_2_mb_is_refused_and_the_session_lives(size: int) -> None:
    async def huge(request: dict[str, Any]) -> Response:
        async def events() -> AsyncIterator[bytes]:
            yield b"data: " + text_result(request, "x" * size).body + b"\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    server = ScriptedServer({"tools/call": huge})
    async with talking(server) as client:
        failure = await fails(client)
        assert "more than" in (failure.message or failure.content[0]["text"])
        server.answers.clear()
        assert await works(client)


async def test_a_result_above_the_limit_of_the_connector_is_refused_with_both_numbers() -> None:
    async def large(request: dict[str, Any]) -> Response:
        return text_result(request, "x" * 2000)

    async with talking(ScriptedServer({"tools/call": large}), Limits(max_result_bytes=1000)) as client:
        failure = await fails(client)
        assert "2000 bytes, more than the 1000" in failure.content[0]["text"]


async def test_content_of_a_type_that_mcp_does_not_know_is_a_failed_call() -> None:
    async def odd(request: dict[str, Any]) -> Response:
        return result(request, {"content": [{"type": "smell"}]})

    async with talking(ScriptedServer({"tools/call": odd})) as client:
        failure = await fails(client)
        assert failure.kind == "protocol"
        assert "does not conform" in failure.message


@pytest.mark.parametrize("body", ["\udcff", "{", "[]", "null", '{"jsonrpc": "2.0"}'])
async def test_a_body_that_is_no_utf_8_or_no_json_rpc_is_a_failed_call(body: str) -> None:
    async def broken(_: dict[str, Any]) -> Response:
        return Response(body.encode(errors="surrogateescape"), media_type="application/json")

    server = ScriptedServer({"tools/call": broken})
    async with talking(server) as client:
        assert await fails(client) == ToolFailure("protocol", "the server's answer is not valid JSON-RPC", -32700)
        server.answers.clear()
        assert await works(client)


async def test_another_content_type_is_a_failed_call() -> None:
    server = ScriptedServer({"tools/call": answering(200, "<html>", content_type="text/html")})
    async with talking(server) as client:
        assert "text/html" in (await fails(client)).message


async def test_a_compressed_answer_that_was_not_asked_for_is_refused() -> None:
    server = ScriptedServer({"tools/call": answering(200, "{}", content_type="application/json", content_encoding="gzip")})
    async with talking(server) as client:
        assert "compressed" in (await fails(client)).message


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
async def test_a_connection_cut_within_an_answer_costs_that_call_only_and_it_is_not_repeated(kind: str) -> None:
    async def cut(_: dict[str, Any]) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b'{"jsonrpc": ' if kind == "application/json" else b": hello\n\n"
            raise ConnectionError

        return StreamingResponse(body(), media_type=kind)

    server = ScriptedServer({"tools/call": cut}, with_sessions=True)
    async with talking(server) as client:
        failure = await fails(client)
        assert (failure.kind, failure.code) == ("http", 502)
        assert server.asked("tools/call") == 1
        server.answers.clear()
        assert await works(client)
        assert server.asked("initialize") == 1


async def test_a_redirect_to_another_origin_is_not_followed_and_gets_no_credential() -> None:
    seen: list[Request] = []

    async def elsewhere(request: Request) -> Response:
        seen.append(request)
        return Response()

    async with serving(Starlette(routes=[Route("/mcp", elsewhere, methods=["POST", "GET"])])) as other:

        async def redirect(_: dict[str, Any]) -> Response:
            return RedirectResponse(f"{other}/mcp?token=x", 307)

        async with talking(ScriptedServer({"tools/call": redirect})) as client:
            failure = await fails(client)
    assert failure.code == 502
    assert "redirects" in failure.message
    assert not seen


async def test_cookies_of_a_server_are_not_carried_from_one_client_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")

    async def with_cookie(request: dict[str, Any]) -> Response:
        return result(request, {"tools": [ECHO_TOOL]}, {"set-cookie": "who=one"})

    server = ScriptedServer({"tools/list": with_cookie})
    async with serving(server.app()) as url, closing(McpClientPool(OWN_MACHINE_POLICY)) as pool:
        for token in ("one", "two"):
            async with pool.from_params(f"{url}/mcp", token) as client:
                await client.list_tools()
                assert await works(client)
    assert not any("cookie" in headers for _, headers, _ in server.requests)


async def test_credentials_are_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = ScriptedServer({"tools/call": answering(500, SECRET)}, with_sessions=True)
    async with talking(server) as client:
        await client.list_tools()
        await fails(client)
        assert SECRET not in repr(client)
    ours = [record.getMessage() for record in caplog.records if record.name.split(".")[0] in ("junctor", "mcp", "httpx2", "httpcore2")]
    assert not any(SECRET in message or "session-" in message for message in ours)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_hundreds_of_failures_leave_no_descriptor_and_no_task() -> None:
    async def cut(_: dict[str, Any]) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"{"
            raise ConnectionError

        return StreamingResponse(body(), media_type="application/json")

    released = asyncio.Event()

    async def late(_: dict[str, Any]) -> Response:
        await released.wait()
        return Response()

    server = ScriptedServer()
    ways = [late, cut, answering(401), answering(500), answering(200, "{", content_type="application/json")]
    limits = Limits(connect_timeout=0.1, call_timeout=0.1)
    unused = free_port()  # keeps a descriptor of its own
    async with serving(server.app()) as url:
        before = (_descriptors(), len(asyncio.all_tasks()))
        pool = McpClientPool(OWN_MACHINE_POLICY)
        for number in range(200):
            server.answers = {("initialize", "tools/call")[number % 2]: ways[number % len(ways)]}
            target = f"{url}/mcp" if number % 7 else f"http://127.0.0.1:{unused}/mcp"
            client = pool.from_params(target, limits=limits)
            await fails(client)
        await pool.close()
        released.set()
        async with asyncio.timeout(60):
            while (_descriptors(), len(asyncio.all_tasks())) != before:  # noqa: ASYNC110  # nothing tells when a socket is gone
                await asyncio.sleep(0.02)


async def test_a_result_is_read_as_json_whatever_the_order_of_its_fields() -> None:
    async def upside_down(request: dict[str, Any]) -> Response:
        value = {"result": {"content": [{"text": "well", "type": "text"}]}, "id": request["id"], "jsonrpc": "2.0"}
        return Response(json.dumps(value), media_type="application/json; charset=utf-8")

    async with talking(ScriptedServer({"tools/call": upside_down})) as client:
        assert await works(client)
