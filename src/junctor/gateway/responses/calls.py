"""What becomes of the calls of one round. Pure: nothing is executed here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from junctor.gateway.models.ports import FunctionTool, ModelCall
from junctor.gateway.responses.choice import Offer
from junctor.gateway.tools.ports import ToolOutcome
from junctor.gateway.tools.registry import ServerTool, ToolRegistry, parse_arguments


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call of a server's tool. failure: known before it is executed, which then never happens."""

    model: ModelCall
    tool: ServerTool
    needs_approval: bool = False
    failure: ToolOutcome | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """calls: in model order. functions: for the caller. answers: for calls that nobody executes, by call_id. charged: counts for
    max_tool_calls. order: all call_ids."""

    calls: Sequence[PlannedCall]
    functions: Sequence[ModelCall]
    answers: Mapping[str, str] = field(repr=False)
    charged: int
    order: Sequence[str]

    @property
    def approvals(self) -> bool:
        """Whether a human is asked."""
        return any(call.needs_approval for call in self.calls)


def plan_calls(calls: Sequence[ModelCall], registry: ToolRegistry, offered: Offer, budget: int | None) -> Plan:
    """Sort the calls of a round. budget: calls that max_tool_calls leaves, None for any number."""
    planned: list[PlannedCall] = []
    functions: list[ModelCall] = []
    answers: dict[str, str] = {}
    for made in calls:
        tool = registry.find(made.name)
        # Tools without parameters are often called with nothing at all.
        call = replace(made, arguments="{}") if tool is not None and not made.arguments and _takes_nothing(tool) else made
        if tool is None:
            answers[call.call_id] = f"Error: there is no tool {call.name[:100]!r}; {_possible(offered)}"
        elif isinstance(tool, ServerTool) and budget is not None and len(planned) >= budget:
            answers[call.call_id] = "Error: skipped, the limit of tool calls is reached; answer with what you have"
        elif call.name not in offered.names:
            answers[call.call_id] = f"Error: tool {call.name!r} may not be called now; {_possible(offered)}"
        elif isinstance(tool, ServerTool):
            planned.append(_planned(call, tool))
        else:
            functions.append(call)
    return Plan(planned, functions, answers, len(planned), [call.call_id for call in calls])


def _planned(call: ModelCall, tool: ServerTool) -> PlannedCall:
    parsed = parse_arguments(call.arguments)
    if isinstance(parsed, ToolOutcome):
        return PlannedCall(call, tool, failure=parsed)
    return PlannedCall(call, tool, needs_approval=tool.needs_approval)


def _takes_nothing(tool: ServerTool | FunctionTool) -> bool:
    """Whether a tool says that it has no parameters; one that does not say may have some."""
    schema = tool.spec.input_schema if isinstance(tool, ServerTool) else tool.parameters
    return not schema.get("properties") and ("properties" in schema or schema.get("additionalProperties") is False)


def _possible(offered: Offer) -> str:
    names = sorted(offered.names)
    return f"possible: {', '.join(names[:20])}" if names else "answer without tools"
