"""What the tool loop needs of a model server: one round of generation as a stream of plain events.

UpstreamError           the model server could not be used, or refused the request
    status              for the caller: the model server's own 4xx, 502 when it broke, 503 when it cannot be reached
    code, param         as far as the model server named them
    retry_after         seconds until another attempt makes sense, when the model server named them
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from junctor.net.formats import JSONSchemaView, OpenAIObjectView

#: Of a piece of text beside its characters, and of a token with its log probability.
_PIECE_BYTES: Final = 32
_TOKEN_BYTES: Final = 100


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function that the model may call. name: at most 64 of [A-Za-z0-9_-]. parameters: a JSON schema, as its author wrote it."""

    name: str
    description: str
    parameters: JSONSchemaView = field(repr=False)
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A function call that the model made.

    call_id: as the model server sent it; some send none, or repeat one. arguments: the JSON text as the model wrote it, perhaps malformed.
    """

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of the conversation.

    content: text, or chat-completions content parts (text, image_url, input_audio). calls: of an assistant message. call_id: of a tool
    message. reasoning: of an assistant message, sent back between rounds.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Sequence[OpenAIObjectView] | None = None
    calls: Sequence[ModelCall] = ()
    call_id: str | None = None
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One round.

    tool_choice: auto, none, required, or the name of a function. options: temperature, top_p, response_format, ... as chat completions
    names them.
    """

    model: str
    messages: Sequence[ChatMessage]
    tools: Sequence[FunctionTool] = ()
    tool_choice: str = "auto"
    parallel_tool_calls: bool = True
    max_output_tokens: int | None = None
    options: OpenAIObjectView = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RoundAccepted:
    """The model server accepted the request. Its first event may take long, and may still be an error."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer. logprobs: of its tokens, {token, logprob, bytes, top_logprobs}, when the request asks for them."""

    text: str
    logprobs: Sequence[OpenAIObjectView] = ()

    @property
    def size(self) -> int:
        """About the bytes that it takes."""
        tokens = sum(1 + len(token["top_logprobs"]) for token in self.logprobs) if self.logprobs else 0
        return _PIECE_BYTES + len(self.text) + tokens * _TOKEN_BYTES


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of the model's reasoning."""

    text: str

    @property
    def size(self) -> int:
        """About the bytes that it takes."""
        return _PIECE_BYTES + len(self.text)


@dataclass(frozen=True, slots=True)
class RoundUsage:
    """Tokens of one round."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class RoundEnd:
    """The round is over.

    finish_reason: stop, length, content_filter, tool_calls, or the model server's own word. calls: complete, in the model's order, and all
    of them, whatever the request says about parallel calls.
    """

    finish_reason: str
    calls: Sequence[ModelCall] = ()
    usage: RoundUsage = RoundUsage()
    model: str = ""

    @property
    def size(self) -> int:
        """About the bytes that the calls take."""
        return sum(len(call.call_id) + len(call.name) + len(call.arguments) for call in self.calls)


ModelEvent = RoundAccepted | TextDelta | ReasoningDelta | RoundEnd


class UpstreamError(Exception):
    """A round that failed. The message is fit for the caller; it contains neither keys nor addresses."""

    def __init__(
        self, message: str, *, status: int = 502, code: str | None = None, param: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after = retry_after


class Upstream(Protocol):
    """A model server."""

    def round(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Generate: RoundAccepted if the server signals it, deltas as they arrive, then exactly one RoundEnd.

        Raises UpstreamError at any point. Closing the iterator (`aclosing`) ends the generation at once.
        """
        ...
