"""Chunks become events, and calls become whole."""

import math
from typing import Any

import pytest

from junctor.gateway.models.chat_turn import MAX_CALLS, ChatTurn, token_logprobs
from junctor.gateway.models.ports import ModelCall, ModelEvent, ReasoningDelta, RoundEnd, RoundUsage, TextDelta, UpstreamError


def chunk(delta: dict[str, Any] | None = None, finish: Any = None, **more: Any) -> dict[str, Any]:
    return {"model": "m", "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **more}


def part(index: int | None, arguments: Any = None, *, id: str | None = None, name: str | None = None) -> dict[str, Any]:  # noqa: A002
    head = {} if index is None else {"index": index}
    return {**head, **({"id": id} if id else {}), "function": {**({"name": name} if name else {}), "arguments": arguments}}


def calls(*parts: dict[str, Any]) -> dict[str, Any]:
    return chunk({"tool_calls": list(parts)})


def play(*chunks: dict[str, Any]) -> tuple[list[ModelEvent], RoundEnd]:
    turn = ChatTurn()
    return [event for each in chunks for event in turn.feed(each)], turn.end()


ONE = ModelCall("c1", "f", '{"a": 1}')
TWO = ModelCall("c2", "g", "{}")


@pytest.mark.parametrize(
    ("case", "chunks", "expected"),
    [
        ("id and name come once", [calls(part(0, "", id="c1", name="f")), calls(part(0, '{"a"')), calls(part(0, ": 1}"))], [ONE]),
        ("several in one delta", [calls(part(0, '{"a": 1}', id="c1", name="f"), part(1, "{}", id="c2", name="g"))], [ONE, TWO]),
        (
            "several opened, then filled in turns",
            [calls(part(0, "", id="c1", name="f"), part(1, "", id="c2", name="g")), calls(part(1, "{}")), calls(part(0, '{"a": 1}'))],
            [ONE, TWO],
        ),
        ("arguments null and empty", [calls(part(0, None, id="c1", name="f")), calls(part(0, "")), calls(part(0, '{"a": 1}'))], [ONE]),
        ("no arguments at all", [calls(part(0, None, id="c2", name="g"))], [ModelCall("c2", "g", "")]),
        (
            "leftover in the last chunk",
            [calls(part(0, '{"a"', id="c1", name="f")), chunk({"tool_calls": [part(0, ": 1}")]}, "tool_calls")],
            [ONE],
        ),
        ("id and name each time", [calls(part(0, '{"a"', id="c1", name="f")), calls(part(0, ": 1}", id="c1", name="f"))], [ONE]),
        ("another id, no name", [calls(part(0, '{"a"', id="c1", name="f")), calls(part(0, ": 1}", id="x"))], [ONE]),
        ("index 0 for each", [calls(part(0, '{"a": 1}', id="c1", name="f")), calls(part(0, "{}", id="c2", name="g"))], [ONE, TWO]),
        (
            "no index",
            [calls(part(None, '{"a"', id="c1", name="f")), calls(part(None, ": 1}")), calls(part(None, "{}", id="c2", name="g"))],
            [ONE, TWO],
        ),
        ("no id", [calls(part(0, "{}", name="g"))], [ModelCall("", "g", "{}")]),
        ("one id twice", [calls(part(0, "{}", id="c2", name="g"), part(1, "{}", id="c2", name="g"))], [TWO, TWO]),
        ("arguments as an object", [calls(part(0, {"a": 1}, id="c1", name="f"))], [ONE]),
        ("malformed arguments stay", [calls(part(0, '{"a', id="c1", name="f"))], [ModelCall("c1", "f", '{"a')]),
    ],
)
def test_calls_become_whole(case: str, chunks: list[dict[str, Any]], expected: list[ModelCall]) -> None:
    events, end = play(*chunks, chunk(finish="tool_calls"))
    assert (events, list(end.calls), end.finish_reason) == ([], expected, "tool_calls"), case


CALL = calls(part(0, '{"a": 1}', id="c1", name="f"))


@pytest.mark.parametrize(
    ("said", "with_call", "reason", "kept"),
    [
        ("stop", False, "stop", False),
        ("stop", True, "tool_calls", True),
        ("tool_calls", True, "tool_calls", True),
        ("tool_calls", False, "stop", False),
        ("function_call", False, "stop", False),
        ("length", False, "length", False),
        ("length", True, "length", False),
        ("content_filter", True, "content_filter", False),
        ("repetition", False, "repetition", False),
        (None, True, "tool_calls", True),
        (7, False, "stop", False),
    ],
)
def test_presence_of_calls_decides_the_finish_reason(said: Any, with_call: bool, reason: str, kept: bool) -> None:
    _, end = play(*([CALL] if with_call else []), chunk(finish=said))
    assert end.finish_reason == reason
    assert list(end.calls) == ([ONE] if kept else [])


@pytest.mark.parametrize("said", ["abort", "error"])
def test_model_server_that_gives_up_is_an_error(said: str) -> None:
    with pytest.raises(UpstreamError, match="gave up"):
        play(chunk({"content": "half"}), chunk(finish=said))


@pytest.mark.parametrize(
    ("delta", "events"),
    [
        ({"content": "a"}, [TextDelta("a")]),
        ({"content": ""}, []),
        ({"content": None}, []),
        ({"reasoning": "r"}, [ReasoningDelta("r")]),
        ({"reasoning_content": "r"}, [ReasoningDelta("r")]),
        ({"reasoning": "r", "reasoning_content": "r"}, [ReasoningDelta("r")]),
        ({"reasoning": None, "reasoning_content": "r"}, [ReasoningDelta("r")]),
        ({"reasoning": "r", "content": "a"}, [ReasoningDelta("r"), TextDelta("a")]),
        ({"refusal": "no"}, [TextDelta("no")]),
        ({"content": "\ud83d"}, [TextDelta("?")]),
        ({"content": 7, "tool_calls": {"0": 1}}, []),
    ],
)
def test_text_and_reasoning_come_as_they_are_sent(delta: dict[str, Any], events: list[ModelEvent]) -> None:
    assert play(chunk(delta))[0] == events


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4}, RoundUsage(3, 4)),
        ({"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}}, RoundUsage(3, 4, 2)),
        ({"completion_tokens_details": {"reasoning_tokens": 1}, "prompt_tokens_details": None}, RoundUsage(0, 0, 0, 1)),
        ({"prompt_tokens": None, "completion_tokens": "4"}, RoundUsage()),
        (None, RoundUsage()),
    ],
)
def test_usage_comes_in_a_chunk_without_choices(usage: Any, expected: RoundUsage) -> None:
    _, end = play(chunk({"content": "a"}), chunk(finish="stop"), {"choices": [], "usage": usage})
    assert end == RoundEnd("stop", (), expected, "m")


def test_other_choices_are_left_out() -> None:
    events, _ = play(
        {"choices": [{"index": 1, "delta": {"content": "b"}}, {"index": 0, "delta": {"content": "a"}}, "x"]}, {"choices": None}
    )
    assert events == [TextDelta("a")]


def test_number_of_calls_is_bounded() -> None:
    with pytest.raises(UpstreamError, match="more than"):
        play(calls(*(part(index, "{}", id=f"c{index}", name="f") for index in range(MAX_CALLS + 1))))


def test_fields_of_logprobs_that_a_server_leaves_out_are_added() -> None:
    [token] = token_logprobs({"content": [{"token": "ö", "logprob": -0.5}]})
    assert token == {"token": "ö", "logprob": -0.5, "bytes": [195, 182], "top_logprobs": []}


def test_logprob_bytes_of_half_a_character_stay() -> None:
    [token] = token_logprobs(
        {"content": [{"token": "\ufffd", "logprob": -1, "bytes": [195], "top_logprobs": [{"token": "a", "logprob": -2}]}]}
    )
    assert (token["bytes"], token["top_logprobs"]) == ([195], [{"token": "a", "logprob": -2, "bytes": [97]}])


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"content": None},
        {"content": ["a"]},
        {"content": [{"token": 1, "logprob": -1.0}]},
        {"content": [{"token": "a", "logprob": -math.inf}]},
        {"content": [{"token": "a", "logprob": -(10**400)}]},
        {"content": [{"token": "a", "logprob": "-1"}]},
    ],
)
def test_logprobs_that_cannot_be_read_are_left_out(value: Any) -> None:
    assert token_logprobs(value) == ()
