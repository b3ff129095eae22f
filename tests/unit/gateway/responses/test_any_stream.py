"""Whatever a model says and in whatever order tools end: a stream that OpenAI's strict client takes, and a body that says the same."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import openai
from hypothesis import given, settings
from hypothesis import strategies as st

from junctor.gateway.models.ports import ModelCall, ReasoningDelta, RoundEnd, RoundUsage, TextDelta, UpstreamError
from junctor.gateway.responses.loop import LoopLimits
from junctor.gateway.tools.ports import ToolFailure, ToolOutcome
from tests.unit.gateway.responses.fakes import GMAIL, FakeUpstream, Gateway, Step, function, mcp
from tests.unit.gateway.tools.servers import FakeServer, tool

NAMES = ["mcp__git__fine", "mcp__git__fails", "mcp__git__asks", "mcp__git__gone", "f"]

pieces = st.lists(st.one_of(st.builds(TextDelta, st.text(max_size=4)), st.builds(ReasoningDelta, st.text(max_size=4))), max_size=5)
model_calls = st.builds(
    ModelCall, st.sampled_from(["", "a", "b"]), st.sampled_from(NAMES[:2] * 3 + NAMES), st.sampled_from(["{}", '{"a":1}', "["])
)
usages = st.builds(RoundUsage, *[st.integers(0, 100)] * 4)
ends = st.builds(
    RoundEnd,
    st.sampled_from(["stop", "tool_calls", "stop", "tool_calls", "length", "content_filter"]),
    st.lists(model_calls, max_size=5),
    usages,
)


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    breaks = draw(st.integers(0, 9)) == 0
    return [*draw(pieces), UpstreamError("broke") if breaks else draw(ends)]


@dataclass
class Disorder:
    """Lets calls end in a drawn order: each waits for as many turns of the event loop as its number says."""

    turns: Sequence[int]
    count: int = 0

    async def __call__(self, name: str, arguments: Any) -> ToolOutcome:
        turns = self.turns[self.count % len(self.turns)]
        self.count += 1
        for _ in range(turns):
            await asyncio.sleep(0)
        if name == "fails":
            return ToolOutcome(None, ToolFailure("execution", content=[{"type": "text", "text": "no"}]), "Error: no")
        return ToolOutcome(name, None, name)


@settings(max_examples=60)
@given(
    rounds=st.lists(steps(), min_size=1, max_size=4),
    turns=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    parallel=st.integers(1, 3),
    budget=st.none() | st.integers(1, 4),
    wants_json=st.booleans(),
)
async def test_any_stream(rounds: list[list[Step]], turns: list[int], parallel: int, budget: int | None, wants_json: bool) -> None:
    def gateway() -> Gateway:
        server = FakeServer(tool("fine"), tool("fails"), tool("asks"), behaviour=Disorder(turns))
        return Gateway(FakeUpstream(*rounds), {GMAIL: server}, limits=LoopLimits(rounds=3, parallel_calls=parallel))

    fields: dict[str, Any] = {
        "model": "m",
        "input": "hi",
        "tools": [mcp(require_approval={"never": {"tool_names": ["fine", "fails"]}}), function("f")],
        "max_tool_calls": budget,
        "text": {"format": {"type": "json_object"}} if wants_json else {"format": {"type": "text"}},
    }
    streamed = await _streamed(gateway(), fields)
    whole = await _whole(gateway(), fields)
    if streamed is None or whole is None:
        assert streamed is None
        assert whole is None
        return
    assert _without_ids(streamed) == _without_ids(whole)
    checked: list[str] = []
    async with gateway().client.responses.stream(**fields) as stream:
        checked = [event.type async for event in stream]
    assert checked[-1] == f"response.{streamed.status}"


async def _streamed(gateway: Gateway, fields: dict[str, Any]) -> Any:
    """The response at the end of a stream; None when it broke."""
    events: list[Any] = []
    try:
        async for event in await gateway.client.responses.create(stream=True, **fields):
            events.append(event)
    except openai.APIError:
        return None
    finally:
        assert [event.sequence_number for event in events] == list(range(len(events)))
    added = [event.output_index for event in events if event.type == "response.output_item.added"]
    done = [event for event in events if event.type == "response.output_item.done"]
    final = events[-1].response
    assert added == list(range(len(final.output)))
    assert sorted(event.output_index for event in done) == added
    assert {event.output_index: event.item for event in done} == dict(enumerate(final.output))
    calls_done = [event.output_index for event in done if event.item.type == "mcp_call"]
    assert calls_done == sorted(calls_done)
    return final


async def _whole(gateway: Gateway, fields: dict[str, Any]) -> Any:
    try:
        return await gateway.client.responses.create(**fields)
    except openai.APIError:
        return None


def _without_ids(response: Any) -> Any:
    volatile = {"id", "created_at", "completed_at", "call_id"}

    def cleaned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: cleaned(inner) for key, inner in value.items() if key not in volatile}
        return [cleaned(inner) for inner in value] if isinstance(value, list) else value

    return cleaned(response.to_dict())
