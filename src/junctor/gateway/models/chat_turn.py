"""The chunks of one streamed chat completion, put together."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from junctor.gateway.models.logprobs import token_logprobs
from junctor.gateway.models.ports import ModelCall, ModelEvent, ReasoningDelta, RoundEnd, RoundUsage, TextDelta, UpstreamError

MAX_CALLS: Final = 256


def _new_call_id() -> str:
    return f"call_{uuid4().hex[:24]}"


@dataclass(slots=True)
class _Call:
    """A call of which more may come."""

    call_id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class ChatTurn:
    """One turn of the model. Text and reasoning are given as they come, calls are kept until the end (RoundEnd)."""

    def __init__(self, *, parallel: bool = True, new_call_id: Callable[[], str] = _new_call_id) -> None:
        self._parallel = parallel
        self._new_call_id = new_call_id
        self._calls: list[_Call] = []
        self._at: dict[int, _Call] = {}
        self._finish_reason: str | None = None
        self._usage = RoundUsage()
        self._model = ""
        self._began = False

    @property
    def finished(self) -> bool:
        """Whether the model said why it stopped; only its usage may still come."""
        return self._finish_reason is not None

    @property
    def began(self) -> bool:
        """Whether anything of an answer came."""
        return self._began

    def feed(self, chunk: Mapping[str, Any]) -> Iterator[ModelEvent]:
        """What a chunk adds."""
        model = chunk.get("model")
        self._model = model if isinstance(model, str) and model else self._model
        usage = chunk.get("usage")
        if isinstance(usage, Mapping):
            self._usage = _usage(usage)
        for choice in _objects(chunk.get("choices")):
            if choice.get("index") in (0, None):
                yield from self._choice(choice)

    def end(self) -> RoundEnd:
        """The end, once the stream is over. Raises UpstreamError when the model server gave up."""
        said = self._finish_reason or "stop"
        if said in ("abort", "error"):
            raise UpstreamError("the model server gave up on the answer", code="server_error")
        # Calls that were cut off must not be executed.
        kept = () if said in ("length", "content_filter") else tuple(self._whole_calls())
        if kept:
            said = "tool_calls"  # a forced choice ends with `stop`
        elif said in ("tool_calls", "function_call"):
            said = "stop"
        return RoundEnd(said, kept if self._parallel else kept[:1], self._usage, self._model)

    def _choice(self, choice: Mapping[str, Any]) -> Iterator[ModelEvent]:
        self._began = True
        delta = choice.get("delta")
        if isinstance(delta, Mapping):
            # Some servers send both, with the same text.
            reasoning = _text(delta.get("reasoning")) or _text(delta.get("reasoning_content"))
            if reasoning:
                yield ReasoningDelta(reasoning)
            if text := _text(delta.get("content")) or _text(delta.get("refusal")):
                # Tokens of a chunk that holds both cannot be told apart.
                yield TextDelta(text, () if reasoning else token_logprobs(choice.get("logprobs")))
            for part in _objects(delta.get("tool_calls")):
                self._call(part)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._finish_reason = reason

    def _call(self, part: Mapping[str, Any]) -> None:
        function = part.get("function")
        function = function if isinstance(function, Mapping) else {}
        call_id, name, index = _text(part.get("id")), _text(function.get("name")), part.get("index")
        call = self._known(index, call_id, name)
        # Some servers give each of several whole calls the index 0; others repeat id and name in every delta.
        if call is None or (name and call_id and call.call_id and call_id != call.call_id):
            call = self._open(index)
        call.call_id = call.call_id or call_id
        call.name = call.name or name
        arguments = function.get("arguments")
        if isinstance(arguments, Mapping):
            arguments = json.dumps(arguments, ensure_ascii=False)
        call.arguments.append(_text(arguments))

    def _known(self, index: Any, call_id: str, name: str) -> _Call | None:
        """The call that a delta goes on with; id and name come once, an index is missing on some servers."""
        if isinstance(index, int):
            return self._at.get(index)
        if call_id and (same := [call for call in self._calls if call.call_id == call_id]):
            return same[-1]
        return self._calls[-1] if self._calls and not name else None

    def _open(self, index: Any) -> _Call:
        if len(self._calls) >= MAX_CALLS:
            raise UpstreamError(f"the model made more than {MAX_CALLS} calls in one turn", code="server_error")
        call = _Call()
        self._calls.append(call)
        if isinstance(index, int):
            self._at[index] = call
        return call

    def _whole_calls(self) -> Iterator[ModelCall]:
        seen: set[str] = set()
        for call in self._calls:
            call_id = call.call_id if call.call_id and call.call_id not in seen else self._new_call_id()
            seen.add(call_id)
            yield ModelCall(call_id, call.name, "".join(call.arguments).strip())


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    try:
        value.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair cannot be sent on.
        return value.encode("utf-8", errors="replace").decode()
    return value


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    return (item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else iter(())


def _usage(usage: Mapping[str, Any]) -> RoundUsage:
    return RoundUsage(
        input_tokens=_count(usage, "prompt_tokens"),
        output_tokens=_count(usage, "completion_tokens"),
        cached_tokens=_count(usage.get("prompt_tokens_details"), "cached_tokens"),
        reasoning_tokens=_count(usage.get("completion_tokens_details"), "reasoning_tokens"),
    )


def _count(values: Any, name: str) -> int:
    value = values.get(name) if isinstance(values, Mapping) else None
    return value if isinstance(value, int) and value >= 0 else 0
