"""What a scripted model does: rounds, each one turn of the model, and the chunks that a turn is streamed as."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self


@dataclass(frozen=True, slots=True)
class Call:
    """A function call. arguments: an object, or the very text to be sent, perhaps malformed."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str = ""

    @property
    def text(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments, ensure_ascii=False)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(**value)


@dataclass(frozen=True, slots=True)
class Round:
    """One turn.

    finish_reason: instead of what vLLM would say. chunk: characters of one delta. split: bytes of one write, 0: an event is one write.
    delay: seconds before each chunk, for people who watch. status, error: an HTTP error (status given), or an error event after `after`
    chunks. retry_after: that header of an HTTP error. hang, drop: after so many chunks send nothing more, or break the connection.
    style: how calls are cut: `vllm` as vLLM 0.33 does, `together` all calls in one delta, `leftover` with the last piece of arguments in
    the chunk that has the finish_reason, `null` with null arguments in the first delta.
    """

    text: str = ""
    reasoning: str = ""
    calls: Sequence[Call] = ()
    finish_reason: str | None = None
    chunk: int = 8
    split: int = 0
    delay: float = 0.0
    status: int | None = None
    error: Mapping[str, Any] | str | None = None
    retry_after: str | None = None
    after: int = 0
    hang: int | None = None
    drop: int | None = None
    style: Literal["vllm", "together", "leftover", "null"] = "vllm"
    reasoning_field: Literal["reasoning", "reasoning_content", "both"] = "reasoning"
    usage: Mapping[str, Any] | None = None
    done: bool = True

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read a round; `calls` is a list of objects. Raises ValueError for what is no round."""
        known = {item.name for item in fields(cls)}
        if unknown := set(value) - known:
            raise ValueError(f"unknown in a round: {', '.join(sorted(unknown))}; possible: {', '.join(sorted(known))}")
        return cls(**{**value, "calls": tuple(Call.from_json(call) for call in value.get("calls", ()))})


def rounds_from_json(value: Any) -> list[Round]:
    """`{"rounds": [...]}` or the list alone."""
    rounds = value.get("rounds") if isinstance(value, Mapping) else value
    if not isinstance(rounds, list) or not rounds:
        raise ValueError('a script is {"rounds": [...]} with at least one round')
    return [Round.from_json(item) for item in rounds]


@dataclass(frozen=True, slots=True)
class Turn:
    """A round as it is played for one request: calls have ids, the finish reason is decided."""

    round: Round
    calls: Sequence[Call]
    finish_reason: str
    usage: Mapping[str, Any]

    def message(self) -> dict[str, Any]:
        """The message of an answer that is not streamed."""
        message: dict[str, Any] = {"role": "assistant", "content": self.round.text or None, "refusal": None}
        if self.round.reasoning:
            message |= _reasoning(self.round, self.round.reasoning)
        if self.calls:
            message["tool_calls"] = [_function(call.text, id=call.id, name=call.name) for call in self.calls]
        return message

    def deltas(self) -> Iterator[tuple[dict[str, Any], str | None]]:
        """(delta, finish_reason) of each chunk of a stream."""
        yield {"role": "assistant", "content": ""}, None
        for piece in _cut(self.round.reasoning, self.round.chunk):
            yield _reasoning(self.round, piece), None
        for piece in _cut(self.round.text, self.round.chunk):
            yield {"content": piece}, None
        last: dict[str, Any] = {}
        deltas = list(self._call_deltas())
        if self.round.style == "leftover" and deltas:
            last = {"tool_calls": deltas.pop()}
        for parts in deltas:
            yield {"tool_calls": parts}, None
        yield last, self.finish_reason

    def _call_deltas(self) -> Iterator[list[dict[str, Any]]]:
        heads = [
            {"index": index, **_function(None if self.round.style == "null" else "", id=call.id, name=call.name)}
            for index, call in enumerate(self.calls)
        ]
        if self.round.style == "together" and heads:
            yield heads
            heads = []
        for index, call in enumerate(self.calls):
            if heads:
                yield [heads[index]]
            for piece in _cut(call.text, self.round.chunk):
                yield [{"index": index, "function": {"arguments": piece}}]


def _function(arguments: str | None, *, id: str, name: str) -> dict[str, Any]:  # noqa: A002 - the field's name
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _reasoning(round_: Round, text: str) -> dict[str, Any]:
    names = ("reasoning", "reasoning_content") if round_.reasoning_field == "both" else (round_.reasoning_field,)
    return dict.fromkeys(names, text)


def _cut(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))
