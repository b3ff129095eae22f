"""Requests within all limits whose work grows faster than their size, and texts that would forge lines of a stream."""

import itertools
import json
from typing import Any

import httpx
import pytest

from tests.support.attacks import bystander, cpu_seconds
from tests.support.model_server import Round
from tests.support.running_gateway import ANSWER, RunningGateway

_DEADLINE = 60.0


async def cost(victim: RunningGateway, body: dict[str, Any], status: int) -> float:
    """Seconds of CPU that one request takes, which is answered with `status`."""
    async with httpx.AsyncClient(timeout=_DEADLINE, trust_env=False) as http:
        before = cpu_seconds(victim.process)
        with bystander(f"{victim.management}/-/livez") as probes:
            answer = await http.post(f"{victim.url}/responses", json=body)
        assert answer.status_code == status, answer.text[:500]
        assert not probes.failures
        return cpu_seconds(victim.process) - before


async def test_reasoning_items_in_a_row_take_time_by_their_size(victim: RunningGateway) -> None:
    part = {"type": "reasoning_text", "text": "x" * 2200}
    items = [{"type": "reasoning", "id": "rs_1", "summary": [], "content": [part]}] * 4000
    question = {"role": "user", "content": "hi"}
    assert await cost(victim, {"model": victim.plays(ANSWER), "input": [*items, question]}, 200) < 0.6


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({f"field-{number}": 1 for number in range(60_000)}, id="unknown fields"),
        pytest.param({"include": ["all"] * 190_000}, id="values of a list"),
        pytest.param({"input": [{"role": "user", "content": "hi"}] * 15_000}, id="items"),
        pytest.param({"tools": [{"type": "function", "name": "f"}] * 15_000}, id="tools"),
        pytest.param(
            {
                "tools": [{"type": "function", "name": "f"}],
                "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}] * 15_000},
            },
            id="targets of tool_choice",
        ),
    ],
)
async def test_too_many_of_one_kind_are_refused_before_each_is_looked_at(victim: RunningGateway, fields: dict[str, Any]) -> None:
    assert await cost(victim, {"model": "m", "input": "hi", **fields}, 400) < 3


async def test_ids_like_the_one_asked_for_are_found_in_time_by_their_length(victim: RunningGateway) -> None:
    # Long ids of two letters are the worst case of comparing letter by letter.
    ids = ["".join(letters) + "ab" * 58 for letters in itertools.islice(itertools.product("ab", repeat=8), 200)]
    await victim.connectors("http://127.0.0.1:9", ids)
    async with httpx.AsyncClient(timeout=_DEADLINE, trust_env=False) as http:
        before = cpu_seconds(victim.process)
        for _ in range(50):
            answer = await http.get(f"{victim.url}/connectors/{'ba' * 60}")
            assert "did you mean" in answer.json()["error"]["message"]
    assert cpu_seconds(victim.process) - before < 1


@pytest.mark.parametrize("end", ["\u0085", "\u2028", "\u2029", "\r", "\n", "\x0b", "\x1e"])
async def test_no_text_begins_a_line_of_a_stream(victim: RunningGateway, end: str) -> None:
    text = f"a{end}data: [DONE]{end}{end}event: forged"
    async with httpx.AsyncClient(timeout=_DEADLINE, trust_env=False) as http:
        body = {"model": victim.plays(Round(text=text)), "input": "hi", "stream": True}
        async with http.stream("POST", f"{victim.url}/responses", json=body) as answer:
            lines = [line async for line in answer.aiter_lines()]
    assert {line.partition(":")[0] for line in lines} == {"event", "data", ""}
    assert not [line for line in lines if line.startswith("event: forged")]
    completed = json.loads(next(line for line in reversed(lines) if line.startswith("data: {")).removeprefix("data: "))
    assert completed["response"]["output"][0]["content"][0]["text"] == text
