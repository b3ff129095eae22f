"""Requests within all limits that hold memory until they are answered: parsed bodies, results of tools, text that nobody reads."""

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from junctor.gateway.auth.key_file import entry_of
from tests.support.attacks import MIB, RawConnection, memory, post_head, reset_peak
from tests.support.hostile_mcp import hostile_server
from tests.support.hostile_model import HostileModel, hostile_model
from tests.support.model_server import Call, Round
from tests.support.running_gateway import ANSWER, RunningGateway, mcp_tool, running_gateway

#: MiB that the requests of one caller may take.
GROWTH = 200
JSON = {"Content-Type": "application/json"}


def delta(text: str) -> bytes:
    """A piece of an answer."""
    return b"data: %s\n\n" % json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode()


@pytest.fixture(scope="module")
def model() -> Iterator[HostileModel]:
    """The model server of `slow`."""
    with hostile_model() as server:
        yield server


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory, model: HostileModel) -> Iterator[RunningGateway]:
    """A gateway whose model takes its time, with keys for two callers."""
    directory = tmp_path_factory.mktemp("slow")
    keys = directory / "keys.yaml"
    keys.write_text(entry_of("attacker", "attacker", ()) + entry_of("other", "other", ()))
    with running_gateway(directory, "--upstream", model.url, "--callers", f"apikeys:{keys}", api_key="other") as gateway:
        yield gateway


def beginning_of_answer(gateway: RunningGateway, body: bytes, key: str) -> RawConnection:
    """Send a request; its connection, once the answer has begun."""
    connection = RawConnection(gateway.url)
    connection.send(post_head(gateway.url, "/v1/responses", len(body), Authorization=f"Bearer {key}") + body)
    return connection


def test_parsed_bodies_count_by_their_values(slow: RunningGateway, model: HostileModel) -> None:
    def silence() -> Iterator[bytes]:
        yield delta("a")
        time.sleep(3)

    model.answers(silence)
    function = {"type": "function", "name": "f", "parameters": {"type": "object", "x": [[]] * 90_000}}
    large = json.dumps({"model": "m", "input": "hi", "stream": True, "tools": [function]}, separators=(",", ":")).encode()
    small = json.dumps({"model": "m", "input": "hi", "stream": True}).encode()
    before = reset_peak(slow.process)
    with ThreadPoolExecutor(20) as threads:

        def head(body: bytes, key: str) -> bytes:
            with beginning_of_answer(slow, body, key) as connection:
                received = connection.receive(b"\r\n\r\n")
                time.sleep(2 * received.startswith(b"HTTP/1.1 200 "))
            return received

        heads = list(threads.map(head, [large] * 40, ["attacker"] * 40))
        others = head(small, "other")
    after = memory(slow.process)
    assert after.peak - before.now < GROWTH, f"{before} -> {after}"
    assert {received.split()[1] for received in heads} == {b"200", b"429"}
    assert others.startswith(b"HTTP/1.1 200 ")


async def test_results_of_tools_are_left_out_when_they_become_too_many(victim: RunningGateway) -> None:
    result = json.dumps({"content": [{"type": "text", "text": "x" * 1_000_000}]}).encode()
    with hostile_server(tools_call=lambda handler, request: handler.result(request, result)) as server:
        connector = await victim.connector(server.url)
        calls = Round(calls=[Call("mcp__demo__echo", {"number": number}) for number in range(80)])
        scripted = victim.plays(calls, ANSWER)
        before = reset_peak(victim.process)
        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
            body = {"model": scripted, "input": "hi", "tools": [mcp_tool(connector)]}
            answer = await http.post(f"{victim.url}/responses", json=body)
        after = memory(victim.process)
    assert after.peak - before.now < 300, f"{before} -> {after}"
    statuses = [item["status"] for item in answer.json()["output"] if item["type"] == "mcp_call"]
    assert statuses[0] == "completed"
    assert statuses.count("failed") > 20
    assert "its result is left out" in victim.asked(scripted)[1]["messages"][-1]["content"]


def test_a_model_waits_for_a_client_that_does_not_read(slow: RunningGateway, model: HostileModel) -> None:
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        piece = b"".join(map(delta, "abcdefgh")) * 128
        for _ in range(400):
            yield piece
            sent += 1

    model.answers(pieces)
    body = json.dumps({"model": "m", "input": "hi", "stream": True}).encode()
    before = reset_peak(slow.process)
    with beginning_of_answer(slow, body, "other") as connection:
        deadline, last = time.monotonic() + 30, -1
        while sent != last and time.monotonic() < deadline:
            last = sent
            time.sleep(1)
        after = memory(slow.process)
        assert sent < 400, "the model was not held up"
        assert after.peak - before.now < 40, f"{before} -> {after}"
        while sent == last:
            assert connection.socket.recv(MIB)


def test_an_answer_of_too_many_items_ends(slow: RunningGateway, model: HostileModel) -> None:
    reasoning = b'data: {"choices":[{"index":0,"delta":{"reasoning":"a"}}]}\n\n'
    model.answers(lambda: (reasoning + delta("b"),) * 20_000)
    before = reset_peak(slow.process)
    headers = {**JSON, "Authorization": "Bearer other"}
    answer = httpx.post(f"{slow.url}/responses", json={"model": "m", "input": "hi"}, headers=headers, timeout=60, trust_env=False)
    assert answer.status_code == 502
    assert "items" in answer.json()["error"]["message"]
    assert memory(slow.process).peak - before.now < 40


def test_answers_that_nobody_reads_count(slow: RunningGateway, model: HostileModel) -> None:
    model.answers(lambda: (b" " * MIB,) * 20, "application/json")
    body = b'{"model": "m", "messages": []}'
    head = post_head(slow.url, "/v1/chat/completions", len(body), Authorization="Bearer attacker")
    before = reset_peak(slow.process)
    with ExitStack() as held:
        greedy = [held.enter_context(RawConnection(slow.url)) for _ in range(25)]
        for connection in greedy:
            connection.send(head + body)
        heads = [connection.socket.recv(4096) for connection in greedy]
        after = memory(slow.process)
    assert after.peak - before.now < 300, f"{before} -> {after}"
    assert {received.split()[1] for received in heads} <= {b"200", b"429"}


@pytest.mark.parametrize("kind", ["function_call", "mcp_call"])
async def test_arguments_of_earlier_calls_are_counted_before_they_are_parsed(victim: RunningGateway, kind: str) -> None:
    arguments = '{"a":[' + "[]," * 3_000_000 + "[]]}"
    name = {"name": "f", "arguments": arguments}
    call = {"call_id": "1", **name} if kind == "function_call" else {"id": "1", "server_label": "demo", "output": "", **name}
    output = [{"type": "function_call_output", "call_id": "1", "output": ""}] if kind == "function_call" else []
    before = reset_peak(victim.process)
    body = {"model": victim.plays(ANSWER), "input": [{"role": "user", "content": "hi"}, {"type": kind, **call}, *output]}
    answer = await asyncio.to_thread(httpx.post, f"{victim.url}/responses", json=body, timeout=60, trust_env=False)
    assert answer.status_code < 500
    assert memory(victim.process).peak - before.now < 100


async def test_one_server_under_many_labels_is_listed_within_bounds(victim: RunningGateway) -> None:
    tools = b",".join(b'{"name":"t%d","description":"%s","inputSchema":{"type":"object"}}' % (n, b"x" * 16_000) for n in range(240))
    with hostile_server(tools_list=lambda handler, request: handler.result(request, b'{"tools":[' + tools + b"]}")) as server:
        connector = await victim.connector(server.url)
        before = reset_peak(victim.process)
        body = {"model": victim.plays(ANSWER), "input": "hi", "tools": [mcp_tool(connector, f"label-{n}") for n in range(60)]}
        answer = await asyncio.to_thread(httpx.post, f"{victim.url}/responses", json=body, timeout=60, trust_env=False)
    assert answer.status_code == 400
    assert "list more than" in answer.json()["error"]["message"]
    assert memory(victim.process).peak - before.now < 100


@pytest.mark.parametrize("field", ["authorization", "headers"])
async def test_credentials_are_not_kept_whatever_their_size(victim: RunningGateway, field: str) -> None:
    with hostile_server() as server:
        connector = await victim.connector(server.url)
        before = reset_peak(victim.process)
        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
            for number in range(20):
                token = f"{number}-" + "x" * 9 * MIB
                own: dict[str, Any] = {field: token if field == "authorization" else {"x-note": token}}
                tool = mcp_tool(connector, **own)
                answer = await http.post(f"{victim.url}/responses", json={"model": "m", "input": "hi", "tools": [tool]})
                assert answer.status_code == 400
                assert answer.json()["error"]["param"] == f"tools[0].{field}"
    assert memory(victim.process).now - before.now < 100
