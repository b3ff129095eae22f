"""Assembles the chunks of one streamed chat completion into model events."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from junctor.gateway.models.ports import ModelCall, ModelEvent, ReasoningDelta, RoundEnd, RoundUsage, TextDelta, UpstreamError
from junctor.net.formats import OpenAIObject, OpenAIObjectView

MAX_CALLS: Final = 256
#: JSON has integers that are too large for a float.
_NO_LOGPROB: Final = 1e308


@dataclass(slots=True)
class _Call:
    """A function call that is still being streamed."""

    call_id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class ChatTurn:
    """One turn of the model. Text and reasoning are passed on as they arrive; calls are collected for RoundEnd."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._at: dict[int, _Call] = {}
        self._finish_reason: str | None = None
        self._usage = RoundUsage()
        self._model = ""
        self._has_begun = False

    @property
    def is_finished(self) -> bool:
        """Whether the finish reason arrived; only the usage may follow it."""
        return self._finish_reason is not None

    @property
    def has_begun(self) -> bool:
        """Whether any part of an answer arrived."""
        return self._has_begun

    def feed(self, chunk: OpenAIObjectView) -> Iterator[ModelEvent]:
        """Return the events that a chunk adds."""
        model = chunk.get("model")
        self._model = model if isinstance(model, str) and model else self._model
        usage = chunk.get("usage")
        if isinstance(usage, Mapping):
            self._usage = _usage(usage)
        for choice in _objects(chunk.get("choices")):
            if choice.get("index") in (0, None):
                yield from self._choice(choice)

    def end(self) -> RoundEnd:
        """Return the last event, once the stream is over. Raises UpstreamError when the model server gave up."""
        reason = self._finish_reason or "stop"
        if reason in ("abort", "error"):
            raise UpstreamError("the model server gave up on the answer", code="server_error")
        # Calls that were cut off must not be executed.
        calls = () if reason in ("length", "content_filter") else tuple(map(_complete, self._calls))
        if calls:
            reason = "tool_calls"  # a forced choice ends with `stop`
        elif reason in ("tool_calls", "function_call"):
            reason = "stop"
        return RoundEnd(reason, calls, self._usage, self._model)

    def _choice(self, choice: OpenAIObjectView) -> Iterator[ModelEvent]:
        self._has_begun = True
        delta = choice.get("delta")
        if isinstance(delta, Mapping):
            # Some servers send both fields with the same text.
            reasoning = _text(delta.get("reasoning")) or _text(delta.get("reasoning_content"))
            if reasoning:
                yield ReasoningDelta(reasoning)
            if text := _text(delta.get("content")) or _text(delta.get("refusal")):
                # Tokens of a chunk that holds both cannot be attributed to one of them.
                yield TextDelta(text, () if reasoning else token_logprobs(choice.get("logprobs")))
            for part in _objects(delta.get("tool_calls")):
                self._call(part)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._finish_reason = reason

    def _call(self, part: OpenAIObjectView) -> None:
        function = part.get("function")
        function = function if isinstance(function, Mapping) else {}
        call_id, name, index = _text(part.get("id")), _text(function.get("name")), part.get("index")
        call = self._known(index, call_id, name)
        # Some servers give each of several complete calls the index 0; others repeat id and name in every delta.
        if call is None or (name and call_id and call.call_id and call_id != call.call_id):
            call = self._open(index)
        call.call_id = call.call_id or call_id
        call.name = call.name or name
        arguments = function.get("arguments")
        if isinstance(arguments, Mapping):
            arguments = json.dumps(arguments, ensure_ascii=False)
        call.arguments.append(_text(arguments))

    def _known(self, index: Any, call_id: str, name: str) -> _Call | None:
        """Return the call that a delta continues. Id and name are sent once; some servers send no index."""
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


def _complete(call: _Call) -> ModelCall:
    return ModelCall(call.call_id, call.name, "".join(call.arguments).strip())


def token_logprobs(value: Any) -> tuple[OpenAIObjectView, ...]:
    """Read the tokens of a choice's `logprobs` as OpenAI's clients want them: {token, logprob, bytes, top_logprobs}.

    Both of OpenAI's APIs share this form. Fields that a model server omits are added; unreadable tokens are left out.
    """
    tokens = value.get("content") if isinstance(value, Mapping) else None
    return tuple({**token, "top_logprobs": [top for _, top in _tokens(item.get("top_logprobs"))]} for item, token in _tokens(tokens))


def _tokens(items: Any) -> Iterator[tuple[OpenAIObjectView, OpenAIObject]]:
    """Yield each readable token: as the server sent it, and as {token, logprob, bytes}."""
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, Mapping):
            continue
        token, logprob, octets = item.get("token"), item.get("logprob"), item.get("bytes")
        # JSON has no infinity, but Python's parser accepts it.
        if not isinstance(token, str) or not isinstance(logprob, int | float) or not abs(logprob) < _NO_LOGPROB:
            continue
        if not (isinstance(octets, list) and all(isinstance(octet, int) for octet in octets)):
            octets = list(token.encode(errors="replace"))
        yield item, {"token": token.encode(errors="replace").decode(), "logprob": logprob, "bytes": octets}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    try:
        value.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair cannot be encoded.
        return value.encode("utf-8", errors="replace").decode()
    return value


def _objects(value: Any) -> Iterator[OpenAIObjectView]:
    return (item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else iter(())


def _usage(usage: OpenAIObjectView) -> RoundUsage:
    return RoundUsage(
        input_tokens=_count(usage, "prompt_tokens"),
        output_tokens=_count(usage, "completion_tokens"),
        cached_tokens=_count(usage.get("prompt_tokens_details"), "cached_tokens"),
        reasoning_tokens=_count(usage.get("completion_tokens_details"), "reasoning_tokens"),
    )


def _count(values: Any, name: str) -> int:
    value = values.get(name) if isinstance(values, Mapping) else None
    return value if isinstance(value, int) and value >= 0 else 0
