"""Builds up one response: its output, and the events that announce each change, numbered without gaps."""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from junctor.gateway.models.ports import ModelCall, RoundUsage, UpstreamError
from junctor.gateway.responses import events
from junctor.gateway.responses.events import Event, Item
from junctor.gateway.tools.ports import ToolOutcome
from junctor.gateway.web.errors import ApiError
from junctor.net.formats import OpenAIObject, OpenAIObjectView

NewId = Callable[[str], str]
#: Of one response; as many as a request takes back.
_MOST_ITEMS: Final = 4096


def new_id(prefix: str) -> str:
    """Return an id such as resp_5f0c..."""
    return f"{prefix}_{uuid.uuid4().hex}"


@dataclass(frozen=True, slots=True)
class StartedCall:
    """An announced mcp_call that has not ended. index: its position in the output."""

    index: int
    item: Item


@dataclass(slots=True)
class _OpenItem:
    """The text item that deltas are added to."""

    kind: str
    index: int
    item: Item
    pieces: list[str]
    logprobs: list[OpenAIObjectView]
    phase: str | None = None


class ResponseAccumulator:
    """One response. Each method returns the events that announce what it changed, in order. Items are in the order of the calls.

    echo: the fields of the response that repeat the request. now: returns seconds since 1970.
    """

    def __init__(self, echo: OpenAIObjectView, *, new_id: NewId = new_id, now: Callable[[], float] = time.time) -> None:
        self._echo = echo
        self._new_id = new_id
        self._now = now
        self._sequence = 0
        self._output: list[Item] = []
        self._open: _OpenItem | None = None
        self._input_tokens = 0
        self._cached_tokens = 0
        self._reasoning_tokens = 0
        self.output_tokens = 0
        self._ended: OpenAIObject = {}
        self._created_at = int(now())
        self.id = new_id("resp")

    def response(self) -> OpenAIObject:
        """Return the response in its current state, with every field that strict readers expect."""
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._created_at,
            "status": "in_progress",
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            **self._echo,
            "output": list(self._output) if self.ended else [],
            "usage": self._usage() if self.ended else None,
            **self._ended,
        }

    @property
    def ended(self) -> bool:
        """Whether the last event was returned."""
        return bool(self._ended)

    def begin(self) -> list[Event]:
        """Begin the response: the first two events."""
        response = self.response()
        return self._number({"type": "response.created", "response": response}, {"type": "response.in_progress", "response": response})

    def list_tools(self, label: str, tools: Sequence[OpenAIObjectView]) -> list[Event]:
        """Add the list of a server's tools."""
        empty = events.list_tools_item(self._new_id("mcpl"), label, [])
        item = empty | {"tools": list(tools)}
        index = self._place(item)
        return self._number(
            events.added(empty, index),
            events.item_event("mcp_list_tools.in_progress", item, index),
            events.item_event("mcp_list_tools.completed", item, index),
            events.done(item, index),
        )

    def text(self, delta: str, phase: str | None = None, logprobs: Sequence[OpenAIObjectView] = ()) -> list[Event]:
        """Add a piece of the answer. phase: of the message that it begins or continues. logprobs: of its tokens."""
        return self._delta("message", delta, phase, logprobs)

    def reasoning(self, delta: str) -> list[Event]:
        """Add a piece of reasoning."""
        return self._delta("reasoning", delta, None)

    def close(self, *, complete: bool = True) -> list[Event]:
        """End the open text item, if there is one. complete: false when the model was cut off."""
        if self._open is None:
            return []
        opened, self._open = self._open, None
        text, status = "".join(opened.pieces), "completed" if complete else "incomplete"
        if opened.kind == "message":
            item = events.message_item(opened.item["id"], status, text, opened.phase, opened.logprobs)
            ends = [
                events.item_event("output_text.done", item, opened.index, content_index=0, text=text, logprobs=opened.logprobs),
                events.item_event("content_part.done", item, opened.index, content_index=0, part=item["content"][0]),
            ]
        else:
            item = events.reasoning_item(opened.item["id"], status, text)
            ends = [
                events.item_event("reasoning_text.done", item, opened.index, content_index=0, text=text),
                events.item_event("content_part.done", item, opened.index, content_index=0, part=item["content"][0]),
            ]
        self._output[opened.index] = item
        return self._number(*ends, events.done(item, opened.index))

    def start_call(self, label: str, name: str, arguments: str) -> tuple[StartedCall, list[Event]]:
        """Announce a call of an MCP server's tool."""
        item = events.mcp_call_item(self._new_id("mcp"), label, name, arguments)
        index = self._place(item)
        return StartedCall(index, item), self._number(
            events.added(item | {"arguments": ""}, index),
            events.item_event("mcp_call.in_progress", item, index),
            events.item_event("mcp_call_arguments.delta", item, index, delta=arguments),
            events.item_event("mcp_call_arguments.done", item, index, arguments=arguments),
        )

    def end_call(self, call: StartedCall, outcome: ToolOutcome) -> list[Event]:
        """End a call."""
        item = events.with_outcome(call.item, outcome)
        self._output[call.index] = item
        kind = "mcp_call.failed" if outcome.failure is not None else "mcp_call.completed"
        return self._number(events.item_event(kind, item, call.index), events.done(item, call.index))

    def request_approval(self, label: str, name: str, arguments: str) -> list[Event]:
        """Add a request to approve a call."""
        item = events.approval_request_item(self._new_id("mcpr"), label, name, arguments)
        index = self._place(item)
        return self._number(events.added(item, index), events.done(item, index))

    def function_call(self, call: ModelCall) -> list[Event]:
        """Add a call of the caller's own function."""
        item = events.function_call_item(self._new_id("fc"), call.call_id, call.name, call.arguments, "completed")
        index = self._place(item)
        return self._number(
            events.added(item | {"arguments": "", "status": "in_progress"}, index),
            events.item_event("function_call_arguments.delta", item, index, delta=call.arguments),
            events.item_event("function_call_arguments.done", item, index, name=call.name, arguments=call.arguments),
            events.done(item, index),
        )

    def add_usage(self, usage: RoundUsage) -> None:
        """Add the tokens of a round."""
        self._input_tokens += usage.input_tokens
        self._cached_tokens += usage.cached_tokens
        self._reasoning_tokens += usage.reasoning_tokens
        self.output_tokens += usage.output_tokens

    def complete(self) -> list[Event]:
        """End the response as completed."""
        return self._end("completed", completed_at=int(self._now()))

    def incomplete(self, reason: str) -> list[Event]:
        """End the response as cut off. reason: max_output_tokens or content_filter."""
        return self._end("incomplete", incomplete_details={"reason": reason})

    def fail(self, error: ApiError) -> list[Event]:
        """End the response as failed: the last two events. Items that are still open end as incomplete."""
        closed = self.close(complete=False)
        for index, item in enumerate(self._output):
            if item["type"] == "mcp_call" and item["status"] == "in_progress":
                self._output[index] = item | {"status": "incomplete"}
        return closed + self._number(events.error_event(error)) + self._end("failed", error=events.response_error(error))

    def _delta(self, kind: str, delta: str, phase: str | None, logprobs: Sequence[OpenAIObjectView] = ()) -> list[Event]:
        produced: list[Event] = []
        opened = self._open
        if opened is None or opened.kind != kind or opened.phase != phase:
            produced += self.close()
            opened, first = self._begin_text(kind, phase)
            produced += first
        opened.pieces.append(delta)
        if kind == "message":
            opened.logprobs += logprobs
            event = events.item_event("output_text.delta", opened.item, opened.index, content_index=0, delta=delta, logprobs=list(logprobs))
        else:
            event = events.item_event("reasoning_text.delta", opened.item, opened.index, content_index=0, delta=delta)
        return produced + self._number(event)

    def _begin_text(self, kind: str, phase: str | None) -> tuple[_OpenItem, list[Event]]:
        if kind == "message":
            item = events.message_item(self._new_id("msg"), "in_progress", phase=phase)
            part = events.text_part("")
        else:
            item = events.reasoning_item(self._new_id("rs"), "in_progress")
            part = events.reasoning_part("")
        index = self._place(item)
        opened = self._open = _OpenItem(kind, index, item, [], [], phase)
        part_added = events.item_event("content_part.added", item, index, content_index=0, part=part)
        return opened, self._number(events.added(item, index), part_added)

    def _place(self, item: Item) -> int:
        if len(self._output) == _MOST_ITEMS:
            raise UpstreamError(f"the model's answer has more than {_MOST_ITEMS} items", code="server_error")
        self._output.append(item)
        return len(self._output) - 1

    def _end(self, status: str, **fields: Any) -> list[Event]:
        self._ended = {"status": status, **fields}
        return self._number({"type": f"response.{status}", "response": self.response()})

    def _number(self, *unnumbered: Event) -> list[Event]:
        for event in unnumbered:
            event["sequence_number"] = self._sequence
            self._sequence += 1
        return list(unnumbered)

    def _usage(self) -> OpenAIObject:
        return {
            "input_tokens": self._input_tokens,
            "input_tokens_details": {"cached_tokens": self._cached_tokens, "cache_write_tokens": 0},
            "output_tokens": self.output_tokens,
            "output_tokens_details": {"reasoning_tokens": self._reasoning_tokens},
            "total_tokens": self._input_tokens + self.output_tokens,
        }
