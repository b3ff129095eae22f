"""The tool loop: the model generates, its calls of MCP tools are executed, and it generates again, until it has answered."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final

from junctor.gateway.models.ports import (
    ChatMessage,
    ModelCall,
    ModelRequest,
    ReasoningDelta,
    RoundAccepted,
    RoundEnd,
    TextDelta,
    Upstream,
    UpstreamError,
)
from junctor.gateway.responses.accumulator import ResponseAccumulator, new_id
from junctor.gateway.responses.calls import Plan, PlannedCall, plan_calls
from junctor.gateway.responses.choice import OfferedTools, check_names, offered_tools
from junctor.gateway.responses.events import Event, listed_tool
from junctor.gateway.responses.refusals import as_api_error, not_to_be_retried
from junctor.gateway.responses.request import CreateRequest
from junctor.gateway.responses.servers import DeclaredServer, list_servers
from junctor.gateway.tools.ports import ToolOutcome
from junctor.gateway.tools.registry import ToolRegistry
from junctor.gateway.web.bodies import Hold
from junctor.gateway.web.errors import ApiError, forget_frames, log_failure
from junctor.net.formats import OpenAIObject

_log = logging.getLogger(__name__)

#: Takes the events of a stream; it does not wait.
Emit = Callable[[Sequence[Event]], None]

_CUT_OFF: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}


@dataclass(frozen=True, slots=True)
class LoopLimits:
    """Bounds of one response.

    rounds: with tools; one without tools follows. listing_seconds: for all listings together. silent_seconds: how long a stream waits for a
    model server to accept the request, and accepted_seconds for the first event after that, before the stream begins; until then, a refusal
    can be answered with a status of its own.
    """

    rounds: int = 10
    parallel_calls: int = 5
    listing_seconds: float = 10.0
    silent_seconds: float = 15.0
    accepted_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One request with everything that its loop needs. hold: counts what the request holds."""

    request: CreateRequest
    upstream: Upstream
    servers: Sequence[DeclaredServer]
    limits: LoopLimits = field(default_factory=LoopLimits)
    request_id: str = ""
    hold: Hold = lambda _: None


@dataclass(slots=True)
class _Round:
    """What the model generated in one round."""

    text: list[str]
    reasoning: list[str]
    end: RoundEnd
    calls: Sequence[ModelCall] = ()

    @property
    def message(self) -> ChatMessage:
        """The round as the model reads it in the next one."""
        return ChatMessage("assistant", "".join(self.text) or None, tuple(self.calls), reasoning="".join(self.reasoning) or None)


class ToolLoop:
    """Turns one request into a response, once.

    emit: takes the events of a stream, None for a response that is not streamed. has_room: the model waits while it is not set.

    has_begun: the stream has begun, so that an error has no status of its own any more. tools_ran: a tool may have had an effect, so that
    the request must not be repeated.
    """

    def __init__(self, turn: Turn, accumulator: ResponseAccumulator, emit: Emit | None, has_room: asyncio.Event) -> None:
        self.accumulator = accumulator
        self.has_begun = False
        self.tools_ran = False
        self._turn = turn
        self._send = emit
        self._has_room = has_room
        self._tools = ToolRegistry({}, {})
        self._budget = turn.request.body.max_tool_calls
        self._call_ids: set[str] = set()
        self._late_begin: asyncio.TimerHandle | None = None

    async def execute_with_mcp(self) -> OpenAIObject:
        """Run the loop and return the response. Cancelling it cancels generation and calls.

        A stream that has begun ends with a last event, whatever happens.

        Raises:
            ApiError: nothing was emitted yet, or the response is not streamed. Forbids repetition when a tool ran.
        """
        try:
            await self._run()
        except Exception as error:
            if not self.has_begun and not self.tools_ran and not isinstance(error, UpstreamError):
                raise
            failure = as_api_error(error, self._turn.request_id)
            if self.tools_ran:
                failure = not_to_be_retried(failure)
            if self._send is None or not self.has_begun:
                raise failure from error
            log_failure(_log, self._turn.request_id, f"the stream of {self.accumulator.id}", failure)
            self._send(self.accumulator.fail(failure))
            forget_frames(error)
        return self.accumulator.response()

    async def _run(self) -> None:
        request, limits = self._turn.request, self._turn.limits
        listed = await list_servers(self._turn.servers, limits.listing_seconds)
        self._tools = ToolRegistry.of(listed, [function.read() for function in request.functions])
        check_names(request.choice, self._tools)
        messages = request.history.messages(request.body.instructions, self._tools.visible)
        self._begin_within(limits.silent_seconds)
        try:
            self._emit(await self._rounds(messages))
        finally:
            if self._late_begin:
                self._late_begin.cancel()

    async def _rounds(self, messages: list[ChatMessage]) -> list[Event]:
        """Run all rounds and return the last event."""
        for number in range(self._turn.limits.rounds + 1):
            tokens = self._tokens_left()
            if tokens is not None and tokens <= 0:
                return self.accumulator.incomplete("max_output_tokens")
            is_last = number == self._turn.limits.rounds
            offered = self._offered(number) if not is_last else OfferedTools()
            generated = await self._generate(messages, offered, tokens)
            if generated.end.finish_reason in _CUT_OFF:
                return self.accumulator.incomplete(_CUT_OFF[generated.end.finish_reason])
            if is_last or not generated.calls:
                break
            plan = plan_calls(generated.calls, self._tools, offered, self._budget)
            if self._budget is not None:
                self._budget -= len(plan.calls)
            results = await self._execute(plan)
            if plan.functions or plan.needs_approval:
                break
            messages = [*messages, generated.message, *results]
        return self.accumulator.complete()

    def _offered(self, number: int) -> OfferedTools:
        return offered_tools(self._turn.request.choice, self._tools, is_first=number == 0, with_servers=self._budget != 0)

    async def _generate(self, messages: Sequence[ChatMessage], offered: OfferedTools, tokens: int | None) -> _Round:
        wants_json = self._turn.request.wants_json
        # Readers parse every text that is not commentary. A text's phase is announced at its beginning, but known only at the round's end.
        buffered: list[TextDelta | ReasoningDelta] | None = [] if wants_json and offered.tools else None
        generated = _Round([], [], RoundEnd("stop"))
        has_ended = False
        async with aclosing(self._turn.upstream.round(self._model_request(messages, offered, tokens))) as events:
            async for event in events:
                if isinstance(event, RoundAccepted):
                    self._begin_within(self._turn.limits.accepted_seconds)
                    continue
                await self._has_room.wait()
                self._turn.hold(event.size)
                self._begin()
                if isinstance(event, RoundEnd):
                    generated.end, has_ended = event, True
                    break
                if not event.text:
                    continue
                (generated.text if isinstance(event, TextDelta) else generated.reasoning).append(event.text)
                if buffered is not None and (buffered or isinstance(event, TextDelta)):
                    buffered.append(event)
                else:
                    self._show(event, "final_answer" if wants_json else None)
        if not has_ended:
            raise UpstreamError("the model server's answer broke off", code="server_error")
        generated.calls = self._permitted_calls(generated.end.calls)
        for event in buffered or ():
            self._show(event, "commentary" if generated.calls else "final_answer")
        self._emit(self.accumulator.close(complete=generated.end.finish_reason not in _CUT_OFF))
        self.accumulator.add_usage(generated.end.usage)
        return generated

    def _model_request(self, messages: Sequence[ChatMessage], offered: OfferedTools, tokens: int | None) -> ModelRequest:
        request = self._turn.request
        return ModelRequest(
            request.body.model,
            tuple(messages),
            offered.tools,
            offered.tool_choice,
            request.parallel_tool_calls,
            tokens,
            request.options(),
        )

    def _permitted_calls(self, calls: Sequence[ModelCall]) -> list[ModelCall]:
        """Return the calls of a round that count, with ids that are unique in this response.

        Some model servers ignore parallel_tool_calls; some number calls from the start in each round, or send no ids.
        """
        permitted = []
        for call in calls if self._turn.request.parallel_tool_calls else calls[:1]:
            call_id = call.call_id
            if not call_id or call_id in self._call_ids:
                call_id = new_id("call")
            self._call_ids.add(call_id)
            permitted.append(replace(call, call_id=call_id))
        return permitted

    async def _execute(self, plan: Plan) -> list[ChatMessage]:
        """Announce and execute the planned calls. Returns what the model reads, in the order of its calls."""
        out = self.accumulator
        results = dict(plan.answers)
        permits = asyncio.Semaphore(self._turn.limits.parallel_calls)
        started = []
        for call in plan.calls:
            if call.needs_approval:
                self._emit(out.request_approval(call.tool.label, call.tool.spec.name, call.model.arguments))
            else:
                handle, events = out.start_call(call.tool.label, call.tool.spec.name, call.model.arguments)
                self._emit(events)
                started.append((call, handle))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._call(call, permits)) for call, _ in started]
            for (call, handle), task in zip(started, tasks, strict=True):
                outcome = await task
                results[call.model.call_id] = outcome.for_model
                self._emit(out.end_call(handle, outcome))
        for function in plan.functions:
            self._emit(out.function_call(function))
        return [ChatMessage("tool", results[call_id], call_id=call_id) for call_id in plan.order if call_id in results]

    async def _call(self, call: PlannedCall, permits: asyncio.Semaphore) -> ToolOutcome:
        if call.failure is not None:
            return call.failure
        # Waiting tasks get permits in the order in which they ask: the model's order.
        async with permits:
            self.tools_ran = True
            outcome = await self._tools.call(call.tool, call.arguments)
        try:
            self._turn.hold(outcome.size)
            return outcome
        except ApiError as error:
            return ToolOutcome.without_result(f"The tool was called, but its result is left out: {error.message}.")

    def _tokens_left(self) -> int | None:
        limit = self._turn.request.body.max_output_tokens
        return None if limit is None else limit - self.accumulator.output_tokens

    def _show(self, event: TextDelta | ReasoningDelta, phase: str | None) -> None:
        out = self.accumulator
        self._emit(out.text(event.text, phase, event.logprobs) if isinstance(event, TextDelta) else out.reasoning(event.text))

    def _begin_within(self, seconds: float) -> None:
        """Begin the stream after `seconds` at the latest; an earlier deadline is replaced."""
        if self._late_begin:
            self._late_begin.cancel()
        if self._send and not self.has_begun:
            self._late_begin = asyncio.get_running_loop().call_later(seconds, self._begin)

    def _begin(self) -> None:
        """Begin the response, once: with its first events and the lists of tools that the caller does not have yet."""
        if self.has_begun:
            return
        self.has_begun = True
        self._emit(self.accumulator.begin())
        known = self._turn.request.history.listed
        for server in self._turn.servers:
            tools = [listed_tool(tool.spec) for tool in self._tools.tools_of(server.label)]
            if server.label not in known or list(known[server.label]) != tools:
                self._emit(self.accumulator.list_tools(server.label, tools))

    def _emit(self, events: Sequence[Event]) -> None:
        if self._send and events:
            self._send(events)
