"""What callers may do with a server: tools, approval and limits."""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints

from junctor.api.base import WHOLE, ApiModel, Flag, Rule, without_duplicates

ToolName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
ToolNames = Annotated[
    tuple[ToolName, ...],
    Field(max_length=512, json_schema_extra={"x-kubernetes-list-type": "set"}),
    AfterValidator(without_duplicates),
]


class Tools(ApiModel):
    """The tools that may be used, as a ceiling: a request may narrow it, never widen it."""

    allowed: Annotated[ToolNames | None, Field(description="Only these tools exist for callers. Absent: all tools.")] = None
    denied: Annotated[ToolNames | None, Field(description="These tools do not exist for callers, even when allowed names them.")] = None
    read_only: Annotated[Flag | None, Field(description="Only tools whose server declares readOnlyHint may be used. Absent: false.")] = None


CallerAuthorization = Literal["Allow", "Require", "Forbid"]
CALLER_AUTHORIZATION: Final = (
    "Whether a request may bring its own authorization for this server, which then replaces auth. Allow: it may. "
    "Require: it must. Forbid: such requests are refused. Absent: Allow."
)


class Approval(ApiModel):
    """When a human has to approve a tool call. The stricter of this and the request's require_approval wins."""

    mode: Annotated[
        Literal["AsRequested", "Always", "Never"] | None,
        Field(
            description="AsRequested: as the request says. Always: every call. Never: the platform asks for no approval; the request "
            "still may. Absent: AsRequested."
        ),
    ] = None
    always: Annotated[ToolNames | None, Field(description="These tools always need approval, whatever mode says.")] = None
    never: Annotated[ToolNames | None, Field(description="These tools need no approval by this policy, whatever mode says.")] = None

    rules: ClassVar = (
        Rule(
            cel="!has(self.always) || !has(self.never) || !self.always.exists(tool, tool in self.never)",
            message="a tool stands in both approval.always and approval.never; remove it from one of them",
            check=lambda self: not set(self.always or ()) & set(self.never or ()),
        ),
    )


class Limits(ApiModel):
    """Bounds on the use of the server, on each gateway pod."""

    connect_timeout_seconds: Annotated[int | None, Field(ge=1, le=60, description="Time to connect and initialize. Absent: 10."), WHOLE] = (
        None
    )
    call_timeout_seconds: Annotated[int | None, Field(ge=1, le=3600, description="Time for one tool call. Absent: 60."), WHOLE] = None
    max_concurrent_calls: Annotated[
        int | None, Field(ge=1, le=1000, description="Calls to this server at one time on one pod; further ones wait. Absent: 100."), WHOLE
    ] = None
    max_result_bytes: Annotated[
        int | None,
        Field(ge=1024, le=16777216, description="Size of one tool result; larger ones become an error. Absent: 1048576."),
        WHOLE,
    ] = None
