"""The body of POST /v1/responses: each field is handled, echoed, or refused with its name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from junctor.gateway.responses.choice import ToolChoice, tool_choice
from junctor.gateway.responses.declarations import Declaration, FunctionDeclaration, McpDeclaration, declarations
from junctor.gateway.responses.history import History, history
from junctor.gateway.responses.refusals import Strict, checked, refuse
from junctor.gateway.responses.text import TextField, default_text
from junctor.net.formats import OpenAIObject

_LATER: Final = "this gateway stores no responses yet"
_UNSUPPORTED: Final[Mapping[str, str]] = {
    "previous_response_id": f"previous_response_id is not supported yet: {_LATER}; send the earlier items in input",
    "conversation": f"conversation is not supported yet: {_LATER}; send the earlier items in input",
    "prompt": "prompt templates are not supported; send instructions and input",
    "context_management": "context_management is not supported",
    "moderation": "moderation is not supported",
    "access_programs": "access_programs is not supported",
    "image": "image is not supported",
}
Include = Literal[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]


class _Reasoning(Strict):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    context: Literal["auto", "current_turn", "all_turns"] | None = None
    mode: str | None = None


class _CacheOptions(Strict):
    mode: Literal["implicit", "explicit"] = "implicit"
    ttl: Literal["30m", "12h"] = "30m"
    comparison_response_id: str | None = None
    prewarm: bool | None = None


class _StreamOptions(Strict):
    include_obfuscation: bool | None = None


class CreateBody(Strict):
    """The fields. Those of type Any are read by hand, so that a refusal names the exact field."""

    model: Annotated[str, Field(min_length=1, max_length=512)]
    input: Any
    instructions: str | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: Annotated[int | None, Field(ge=1)] = None
    max_output_tokens: Annotated[int | None, Field(ge=1)] = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    include: Annotated[list[Include] | None, Field(max_length=64)] = None
    store: bool | None = None
    background: bool | None = None
    truncation: Literal["auto", "disabled"] | None = None
    text: TextField | None = None
    reasoning: _Reasoning | None = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(ge=0, le=1)] = None
    presence_penalty: Annotated[float | None, Field(ge=-2, le=2)] = None
    frequency_penalty: Annotated[float | None, Field(ge=-2, le=2)] = None
    top_logprobs: Annotated[int | None, Field(ge=0, le=20)] = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    prompt_cache_options: _CacheOptions | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"] | None = None
    previous_response_id: Any = None
    conversation: Any = None
    prompt: Any = None
    context_management: Any = None
    moderation: Any = None
    access_programs: Any = None
    image: Any = None


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """A valid request. Connectors, tools and the model are not looked up yet and may not exist."""

    body: CreateBody = field(repr=False)
    tools: Sequence[Declaration]
    choice: ToolChoice
    history: History = field(repr=False)

    @property
    def servers(self) -> Sequence[tuple[int, McpDeclaration]]:
        """The MCP servers, with their positions in `tools`."""
        return [(position, tool) for position, tool in enumerate(self.tools) if isinstance(tool, McpDeclaration)]

    @property
    def functions(self) -> Sequence[FunctionDeclaration]:
        """The caller's functions."""
        return [tool for tool in self.tools if isinstance(tool, FunctionDeclaration)]

    @property
    def parallel_tool_calls(self) -> bool:
        """Whether the model may make several calls in one round."""
        return self.body.parallel_tool_calls is not False

    @property
    def wants_json(self) -> bool:
        """Whether the final text has to be JSON."""
        return self.body.text is not None and self.body.text.wants_json

    def options(self) -> OpenAIObject:
        """Return the options that are passed on to the model server, under the names of chat completions."""
        body = self.body
        options: OpenAIObject = {
            name: value
            for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty")
            if (value := getattr(body, name)) is not None
        }
        if body.reasoning and body.reasoning.effort:
            options["reasoning_effort"] = body.reasoning.effort
        if "message.output_text.logprobs" in (body.include or ()):
            options |= {"logprobs": True, "top_logprobs": body.top_logprobs or 0}
        return options | (body.text.options() if body.text else {})

    def echo(self) -> OpenAIObject:
        """Return the fields of the response that repeat the request, with defaults written out and without credentials."""
        body = self.body
        echo: OpenAIObject = {
            "model": body.model,
            "instructions": body.instructions,
            "tools": [tool.echo() for tool in self.tools],
            "tool_choice": self.choice.echo,
            "parallel_tool_calls": self.parallel_tool_calls,
            "max_tool_calls": body.max_tool_calls,
            "max_output_tokens": body.max_output_tokens,
            "truncation": "disabled",
            "text": body.text.echo() if body.text else default_text(),
            "reasoning": body.reasoning.model_dump(exclude_none=True) if body.reasoning else {"effort": None, "summary": None},
            "temperature": 1.0 if body.temperature is None else body.temperature,
            "top_p": 1.0 if body.top_p is None else body.top_p,
            "presence_penalty": body.presence_penalty or 0.0,
            "frequency_penalty": body.frequency_penalty or 0.0,
            "top_logprobs": body.top_logprobs or 0,
            "metadata": body.metadata or {},
            "store": False,
            "background": False,
            "service_tier": body.service_tier or "default",
            "previous_response_id": None,
            "user": body.user,
            "safety_identifier": body.safety_identifier,
            "prompt_cache_key": body.prompt_cache_key,
        }
        if body.prompt_cache_retention:
            echo["prompt_cache_retention"] = body.prompt_cache_retention
        if body.prompt_cache_options:
            echo["prompt_cache_options"] = body.prompt_cache_options.model_dump(exclude={"prewarm"})
        return echo


def create_request(value: object) -> CreateRequest:
    """Read a decoded body. Raises BadRequest, whose `param` names the field."""
    body = checked(CreateBody, value)
    for name, message in _UNSUPPORTED.items():
        if getattr(body, name) is not None:
            refuse(message, name, "unsupported_parameter")
    if body.store:
        refuse(f"store: true is not supported yet: {_LATER}; leave store out or send false", "store", "unsupported_parameter")
    if body.background:
        refuse("background is not supported; use stream", "background", "unsupported_parameter")
    if body.truncation == "auto":
        refuse("truncation 'auto' is not supported; use 'disabled'", "truncation", "unsupported_parameter")
    _check_metadata(body.metadata or {})
    tools = declarations(body.tools)
    return CreateRequest(body, tools, tool_choice(body.tool_choice, tools), history(body.input))


def _check_metadata(metadata: Mapping[str, str]) -> None:
    if len(metadata) > 16:
        refuse("metadata may hold at most 16 pairs", "metadata")
    for key, value in metadata.items():
        if len(key) > 64:
            refuse("a key of metadata may have at most 64 characters", "metadata")
        if len(value) > 512:
            refuse(f"metadata.{key} may have at most 512 characters", f"metadata.{key}")
