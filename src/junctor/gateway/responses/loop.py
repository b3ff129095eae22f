"""The tool loop: the model generates, its calls of MCP tools are executed, and it generates again, until it has answered."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Final

from junctor.gateway.models.model_errors import ModelFailed
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
from junctor.gateway.responses.choice import Offer, check_names, offer
from junctor.gateway.responses.events import Event, listed_tool
from junctor.gateway.responses.listing import DeclaredServer, list_servers
from junctor.gateway.responses.refusals import NO_RETRY
from junctor.gateway.responses.request import CreateRequest
from junctor.gateway.tools.ports import ToolOutcome
from junctor.gateway.tools.registry import ToolRegistry
from junctor.gateway.web.errors import ApiError, log_failure

_log = logging.getLogger(__name__)

Emit = Callable[[Sequence[Event]], None]

_CUT_OFF: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}


@dataclass(frozen=True, slots=True)
class LoopLimits:
    """Bounds of one response.

    rounds: with tools; one without follows. listing_seconds: for all listings together. silent_seconds, accepted_seconds: so long a stream
    waits for a model server that has not taken the request, and for the first word of one that has; until then a refusal can have a status
    of its own.
    """

    rounds: int = 10
    parallel_calls: int = 5
    listing_seconds: float = 10.0
    silent_seconds: float = 15.0
    accepted_seconds: float = 1.0


@dataclass(slots=True)
class Turn:
    """One request on its way to a response. tools_ran: a tool may have had an effect, so nothing may be repeated."""

    request: CreateRequest
    upstream: Upstream
    servers: Sequence[DeclaredServer]
    accumulator: ResponseAccumulator
    limits: LoopLimits = field(default_factory=LoopLimits)
    request_id: str = ""
    tools_ran: bool = False
    begun: bool = False


async def execute_with_mcp(turn: Turn, emit: Emit | None = None) -> dict[str, Any]:
    """Run a turn and return the response. emit: takes the events of a stream; it does not wait.

    Raises ApiError while nothing was emitted, and without `emit` at any time; it then forbids repetition if a tool ran. Once a stream has
    begun it ends with a last event, whatever happens. Cancelling it cancels generation and calls.
    """
    try:
        await _Loop(turn, emit).run()
    except Exception as error:
        if not turn.begun and not turn.tools_ran and not isinstance(error, UpstreamError):
            raise
        told = _told(error, turn.request_id)
        if turn.tools_ran:
            # Instead of what else it says on when to try again.
            told.headers = dict(NO_RETRY)
        if emit is None or not turn.begun:
            raise told from error
        log_failure(_log, turn.request_id, f"the stream of {turn.accumulator.id}", told)
        emit(turn.accumulator.fail(told))
    return turn.accumulator.response()


def _told(error: Exception, request_id: str) -> ApiError:
    match error:
        case ApiError():
            return error
        case UpstreamError():
            return ModelFailed(error)
        case _:
            _log.error("request %s: a response failed", request_id, exc_info=error)
            return ApiError("the gateway failed on this request; its log says more")


@dataclass(slots=True)
class _Round:
    """What a round gave."""

    text: list[str]
    reasoning: list[str]
    end: RoundEnd
    calls: Sequence[ModelCall] = ()


class _Loop:
    def __init__(self, turn: Turn, emit: Emit | None) -> None:
        self._turn = turn
        self._send = emit
        self._out = turn.accumulator
        self._registry = ToolRegistry({}, {})
        self._budget = turn.request.body.max_tool_calls
        self._call_ids: set[str] = set()
        self._late: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        request, limits = self._turn.request, self._turn.limits
        listed = await list_servers(self._turn.servers, limits.listing_seconds)
        self._registry = ToolRegistry.of(listed, [function.read() for function in request.functions])
        check_names(request.choice, self._registry)
        messages = request.history.messages(request.body.instructions, self._registry.visible)
        self._begin_within(limits.silent_seconds)
        try:
            self._emit(await self._rounds(messages))
        finally:
            if self._late:
                self._late.cancel()

    async def _rounds(self, messages: list[ChatMessage]) -> list[Event]:
        """All rounds; returns the last event."""
        for number in range(self._turn.limits.rounds + 1):
            tokens = self._tokens_left()
            if tokens is not None and tokens <= 0:
                return self._out.incomplete("max_output_tokens")
            last = number == self._turn.limits.rounds
            offered = Offer() if last else offer(self._turn.request.choice, self._registry, first=number == 0, servers=self._budget != 0)
            found = await self._generate(messages, offered, tokens)
            if found.end.finish_reason in _CUT_OFF:
                return self._out.incomplete(_CUT_OFF[found.end.finish_reason])
            if last or not found.calls:
                break
            plan = plan_calls(found.calls, self._registry, offered, self._budget)
            if self._budget is not None:
                self._budget -= plan.charged
            results = await self._execute(plan)
            if plan.functions or plan.approvals:
                break
            messages = [*messages, _said(found), *results]
        return self._out.complete()

    async def _generate(self, messages: Sequence[ChatMessage], offered: Offer, tokens: int | None) -> _Round:
        body = self._turn.request.body
        asked = ModelRequest(
            body.model,
            tuple(messages),
            offered.tools,
            offered.tool_choice,
            body.parallel_tool_calls is not False,
            tokens,
            self._turn.request.options(),
        )
        wants_json = self._turn.request.wants_json
        # Readers parse each text that is no commentary; whether it is one shows at the end of the round, but is said at the beginning.
        held: list[TextDelta | ReasoningDelta] | None = [] if wants_json and offered.tools else None
        found = _Round([], [], RoundEnd("stop"))
        ended = False
        async with aclosing(self._turn.upstream.round(asked)) as events:
            async for event in events:
                if isinstance(event, RoundAccepted):
                    self._begin_within(self._turn.limits.accepted_seconds)
                    continue
                self._begin()
                if isinstance(event, RoundEnd):
                    found.end, ended = event, True
                    break
                if not event.text:
                    continue
                (found.text if isinstance(event, TextDelta) else found.reasoning).append(event.text)
                if held is not None and (held or isinstance(event, TextDelta)):
                    held.append(event)
                else:
                    self._show(event, "final_answer" if wants_json else None)
        if not ended:
            raise UpstreamError("the model server's answer broke off")
        found.calls = self._own_ids(found.end.calls)
        for event in held or ():
            self._show(event, "commentary" if found.calls else "final_answer")
        self._emit(self._out.close(complete=found.end.finish_reason not in _CUT_OFF))
        self._out.add_usage(found.end.usage)
        return found

    async def _execute(self, plan: Plan) -> list[ChatMessage]:
        """Announce and execute what is planned, and return what the model reads, in the order of its calls."""
        results = dict(plan.answers)
        permits = asyncio.Semaphore(self._turn.limits.parallel_calls)
        started = []
        for call in plan.calls:
            if call.needs_approval:
                self._emit(self._out.request_approval(call.tool.label, call.tool.spec.name, call.model.arguments))
            else:
                handle, events = self._out.start_call(call.tool.label, call.tool.spec.name, call.model.arguments)
                self._emit(events)
                started.append((call, handle))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._call(call, permits)) for call, _ in started]
            for (call, handle), task in zip(started, tasks, strict=True):
                outcome = await task
                results[call.model.call_id] = outcome.for_model
                self._emit(self._out.end_call(handle, outcome))
        for function in plan.functions:
            self._emit(self._out.function_call(function))
        return [ChatMessage("tool", results[call_id], call_id=call_id) for call_id in plan.order if call_id in results]

    async def _call(self, call: PlannedCall, permits: asyncio.Semaphore) -> ToolOutcome:
        if call.failure is not None:
            return call.failure
        # Waiters get permits in the order in which they ask: the order of the model.
        async with permits:
            self._turn.tools_ran = True
            return await self._registry.call(call.tool, call.model.arguments)

    def _own_ids(self, calls: Sequence[ModelCall]) -> list[ModelCall]:
        """The calls of a round with ids that this response has not seen: some model servers count anew in each round, or give none."""
        found = []
        for call in calls if self._turn.request.body.parallel_tool_calls is not False else calls[:1]:
            call_id = call.call_id
            if not call_id or call_id in self._call_ids:
                call_id = new_id("call")
            self._call_ids.add(call_id)
            found.append(replace(call, call_id=call_id))
        return found

    def _tokens_left(self) -> int | None:
        most = self._turn.request.body.max_output_tokens
        return None if most is None else most - self._out.output_tokens

    def _show(self, event: TextDelta | ReasoningDelta, phase: str | None) -> None:
        shown = self._out.text(event.text, phase, event.logprobs) if isinstance(event, TextDelta) else self._out.reasoning(event.text)
        self._emit(shown)

    def _begin_within(self, seconds: float) -> None:
        """Begin a stream at the latest then, instead of when it was said before."""
        if self._late:
            self._late.cancel()
        if self._send and not self._turn.begun:
            self._late = asyncio.get_running_loop().call_later(seconds, self._begin)

    def _begin(self) -> None:
        """Begin the response, once: with its first events and the lists of tools that the caller has not seen."""
        if self._turn.begun:
            return
        self._turn.begun = True
        self._emit(self._out.begin())
        seen = self._turn.request.history.listed
        for server in self._turn.servers:
            tools = [listed_tool(tool.spec) for tool in self._registry.tools_of(server.label)]
            if list(seen.get(server.label, ())) != tools or server.label not in seen:
                self._emit(self._out.list_tools(server.label, tools))

    def _emit(self, events: Sequence[Event]) -> None:
        if self._send and events:
            self._send(events)


def _said(found: _Round) -> ChatMessage:
    return ChatMessage("assistant", "".join(found.text) or None, tuple(found.calls), reasoning="".join(found.reasoning) or None)
