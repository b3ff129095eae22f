"""Decides what happens with the calls of one round. Pure: nothing is executed here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from junctor.gateway.models.bounded_json import parse_exactly
from junctor.gateway.models.ports import FunctionTool, ModelCall
from junctor.gateway.responses.choice import OfferedTools
from junctor.gateway.tools.ports import ToolOutcome
from junctor.gateway.tools.registry import ServerTool, ToolRegistry
from junctor.net.formats import MCPObject, MCPObjectView


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call of a server's tool. failure: known in advance; such a call is never executed."""

    model: ModelCall
    tool: ServerTool
    arguments: MCPObjectView = field(default_factory=dict, repr=False)
    needs_approval: bool = False
    failure: ToolOutcome | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The calls of one round, sorted.

    calls: of servers' tools, in the model's order; they count for max_tool_calls. functions: calls that the caller executes. answers: what
    the model reads about calls that nobody executes, by call_id. order: all call_ids.
    """

    calls: Sequence[PlannedCall]
    functions: Sequence[ModelCall]
    answers: Mapping[str, str] = field(repr=False)
    order: Sequence[str]

    @property
    def needs_approval(self) -> bool:
        """Whether a human must approve a call."""
        return any(call.needs_approval for call in self.calls)


def plan_calls(calls: Sequence[ModelCall], tools: ToolRegistry, offered: OfferedTools, budget: int | None) -> Plan:
    """Sort the calls of a round.

    Args:
        calls: what the model called, with call_ids that differ.
        tools: all tools of the request.
        offered: the tools that this round offered to the model.
        budget: how many more calls max_tool_calls permits; None for any number.
    """
    planned: list[PlannedCall] = []
    functions: list[ModelCall] = []
    answers: dict[str, str] = {}
    for made in calls:
        tool = tools.find(made.name)
        # Models often call tools without parameters with no arguments at all.
        call = replace(made, arguments="{}") if tool is not None and not made.arguments and _takes_nothing(tool) else made
        exhausted = budget is not None and len(planned) >= budget
        if (answer := _refusal(call, tool, offered, exhausted=exhausted)) is not None:
            answers[call.call_id] = f"Error: {answer}"
        elif isinstance(tool, ServerTool):
            planned.append(_planned(call, tool))
        else:
            functions.append(call)
    return Plan(planned, functions, answers, [call.call_id for call in calls])


def parse_arguments(arguments: str) -> MCPObject | ToolOutcome:
    """Parse the arguments of a call, or return the failure of the call.

    Nothing is guessed: a tool must not run with arguments that the model did not mean.
    """
    try:
        parsed = parse_exactly(arguments)
    except ValueError as error:
        return ToolOutcome.not_executed(f"the arguments are not valid JSON ({error}); call the tool again with a JSON object")
    if not isinstance(parsed, dict):
        return ToolOutcome.not_executed("the arguments are not a JSON object; call the tool again with one")
    return parsed


def _refusal(call: ModelCall, tool: ServerTool | FunctionTool | None, offered: OfferedTools, *, exhausted: bool) -> str | None:
    """Return why nobody executes a call; None when somebody does."""
    if tool is None:
        return f"there is no tool {call.name[:100]!r}; {_possible(offered)}"
    if exhausted and isinstance(tool, ServerTool):
        return "skipped, the limit of tool calls is reached; answer with what you have"
    if call.name not in offered.names:
        return f"tool {call.name!r} may not be called now; {_possible(offered)}"
    return None


def _planned(call: ModelCall, tool: ServerTool) -> PlannedCall:
    parsed = parse_arguments(call.arguments)
    if isinstance(parsed, ToolOutcome):
        return PlannedCall(call, tool, failure=parsed)
    return PlannedCall(call, tool, parsed, tool.needs_approval)


def _takes_nothing(tool: ServerTool | FunctionTool) -> bool:
    """Tell whether a tool declares that it has no parameters; a schema that omits them may have some."""
    schema = tool.spec.input_schema if isinstance(tool, ServerTool) else tool.parameters
    return not schema.get("properties") and ("properties" in schema or schema.get("additionalProperties") is False)


def _possible(offered: OfferedTools) -> str:
    names = sorted(offered.names)
    return f"possible: {', '.join(names[:20])}" if names else "answer without tools"
