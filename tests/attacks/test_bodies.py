"""Bodies that are small to send and large to hold, or that never end."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from junctor.gateway.auth.key_file import entry_of
from tests.support.attacks import MIB, RawConnection, bystander, memory, post_head, reset_peak
from tests.support.running_gateway import RunningGateway, running_gateway

SIZE = 99 * MIB // 10
#: MiB that a request may take: its text and one copy of it, twice.
GROWTH = 64
JSON = {"Content-Type": "application/json"}
PATHS = ("/responses", "/chat/completions")
AMPLIFIED = {
    "empty lists": b'{"model": "m", "input": [' + b"[]," * (SIZE // 3) + b"[]]}",
    "small objects": b'{"model": "m", "input": [' + b'{"":0},' * (SIZE // 7) + b"{}]}",
    "short strings": b'{"model": "m", "input": [' + b'"",' * (SIZE // 3) + b'""]}',
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", AMPLIFIED)
def test_json_of_many_values_is_refused_before_it_is_parsed(victim: RunningGateway, kind: str, path: str) -> None:
    before = reset_peak(victim.process)
    answer = httpx.post(victim.url + path, content=AMPLIFIED[kind], headers=JSON, timeout=60, trust_env=False)
    after = memory(victim.process)
    assert after.peak - before.now < GROWTH, f"{kind}: {before} -> {after}"
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_many_values")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("length", [5_000, 9 * MIB])
def test_deep_json_is_refused(victim: RunningGateway, length: int, path: str) -> None:
    answer = httpx.post(victim.url + path, content=b"[" * length, headers=JSON, timeout=60, trust_env=False)
    assert answer.status_code in (400, 413)
    assert answer.json()["error"]["code"] in ("invalid_json", "too_many_values")


def test_stalled_bodies_of_one_caller_leave_room_for_others(tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text(entry_of("attacker", "attacker", ()) + entry_of("other", "other", ()))
    with running_gateway(tmp_path, "--callers", f"apikeys:{keys}", api_key="other") as guarded:
        before = reset_peak(guarded.process)
        head = post_head(guarded.url, "/v1/responses", SIZE, Authorization="Bearer attacker")
        stalled = [RawConnection(guarded.url) for _ in range(40)]
        with bystander(f"{guarded.url}/connectors", headers={"Authorization": "Bearer other"}) as others:
            for connection in stalled:
                connection.send(head + b" " * (SIZE - 1))
            refused = [connection.receive(b"\r\n\r\n") for connection in stalled[4:]]
            answer = httpx.post(
                f"{guarded.url}/responses",
                json={"model": "m", "input": "x" * 5 * MIB},
                headers={"Authorization": "Bearer other"},
                timeout=60,
                trust_env=False,
            )
        after = memory(guarded.process)
        for connection in stalled:
            connection.close()
    assert after.peak - before.now < 200, f"{before} -> {after}"
    assert not others.failures
    assert {head.split()[1] for head in refused} == {b"429"}
    assert answer.json()["error"]["code"] != "overloaded"


async def test_a_body_that_falls_silent_is_answered_after_thirty_seconds(victim: RunningGateway) -> None:
    with RawConnection(victim.url) as public, RawConnection(victim.management) as management:
        public.send(post_head(victim.url, "/v1/responses", 100) + b"{")
        management.send(post_head(victim.management, "/-/reload", 100) + b"{")
        answers = await asyncio.gather(*(asyncio.to_thread(connection.receive) for connection in (public, management)))
    assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
    assert b"request_timeout" in answers[0]


def test_a_body_where_none_belongs_is_refused(victim: RunningGateway) -> None:
    answer = httpx.request("GET", f"{victim.url}/connectors", content=b"x" * 100, trust_env=False, timeout=60)
    assert answer.status_code == 400
    assert "GET takes no body" in answer.json()["error"]["message"]


def test_a_large_body_of_usual_shape_is_served(victim: RunningGateway) -> None:
    model = victim.plays()
    body = {"model": model, "messages": [{"role": "user", "content": 'say "\\" [{,' * 1000} for _ in range(400)]}
    answer = httpx.post(f"{victim.url}/chat/completions", content=json.dumps(body), headers=JSON, timeout=60, trust_env=False)
    assert answer.status_code != 413
    assert victim.asked(model)[0] == body
