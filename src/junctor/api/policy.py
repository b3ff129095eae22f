"""Policy of a connector: tools, approval and limits."""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints

from junctor.api.base import WHOLE, ApiModel, Flag, Rule, cel_string, without_duplicates
from junctor.net.headers import HEADER_NAME_PATTERN, NOT_A_CALLERS_HEADER, is_callers_header, is_header_name

ToolName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
ToolNames = Annotated[
    tuple[ToolName, ...],
    Field(max_length=512, json_schema_extra={"x-kubernetes-list-type": "set"}),
    AfterValidator(without_duplicates),
]


class Tools(ApiModel):
    """The tools that callers may use. A request may narrow this set, never widen it."""

    allowed: Annotated[ToolNames | None, Field(description="Only these tools exist for callers. Absent: all tools.")] = None
    denied: Annotated[ToolNames | None, Field(description="These tools do not exist for callers, even if allowed lists them.")] = None
    read_only: Annotated[
        Flag | None, Field(description="Only tools whose server declares readOnlyHint may be used: its own claim. Absent: false.")
    ] = None


CallerAuthorization = Literal["Allow", "Require", "Forbid"]
CALLER_AUTHORIZATION: Final = (
    "Whether a request may supply its own authorization for this server, which then replaces auth. Allow: it may. "
    "Require: it must. Forbid: it must not, and it may send no header either. Absent: Allow."
)
CallerHeaders = Annotated[
    tuple[Annotated[str, StringConstraints(min_length=1, max_length=128)], ...],
    Field(
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description="The only headers that a request may send to this server; case-insensitive. Absent: any but those that say who asks, "
        "from where and how the message is transported, those that carry a credential where the connector has one of its own, and none "
        "if callerAuthorization is Forbid.",
    ),
    AfterValidator(without_duplicates),
]
ShowPath = Annotated[
    Flag,
    Field(
        description="Whether the catalog shows the path of a server's URL. Absent: false, only scheme and host, because paths hold keys."
    ),
]

#: Rules of a spec or template with `callerAuthorization` and `callerHeaders`.
CALLER_HEADER_RULES: Final = (
    Rule(
        cel=f"!has(self.callerHeaders) || self.callerHeaders.all(name, name.matches({cel_string(HEADER_NAME_PATTERN)}))",
        message="callerHeaders holds what is no header name; use letters, digits and !#$%&'*+-.^_`|~, for example X-Tenant",
        field="callerHeaders",
        check=lambda self: all(map(is_header_name, self.caller_headers or ())),
    ),
    Rule(
        cel=f"!has(self.callerHeaders) || !self.callerHeaders.exists(name, name.lowerAscii().matches({cel_string(NOT_A_CALLERS_HEADER)}))",
        message="callerHeaders names a header that is never a caller's, because it says who asks or how the message is transported; "
        "remove it. For Authorization use callerAuthorization",
        field="callerHeaders",
        check=lambda self: all(map(is_callers_header, self.caller_headers or ())),
    ),
    Rule(
        cel="!has(self.callerHeaders) || self.callerHeaders.size() == 0"
        " || !has(self.callerAuthorization) || self.callerAuthorization != 'Forbid'",
        message="callerAuthorization Forbid takes no header from callers; remove callerHeaders, or use another callerAuthorization",
        field="callerHeaders",
        check=lambda self: not self.caller_headers or self.caller_authorization != "Forbid",
    ),
)


class Approval(ApiModel):
    """When a human must approve a tool call. The stricter of this and the require_approval of the request wins."""

    mode: Annotated[
        Literal["AsRequested", "Always", "Never"] | None,
        Field(
            description="AsRequested: the request decides. Always: every call needs approval. Never: the platform requires no approval, "
            "but the request may. Absent: AsRequested."
        ),
    ] = None
    always: Annotated[ToolNames | None, Field(description="These tools always need approval, regardless of mode.")] = None
    never: Annotated[ToolNames | None, Field(description="This policy requires no approval for these tools, regardless of mode.")] = None

    rules: ClassVar = (
        Rule(
            cel="!has(self.always) || !has(self.never) || !self.always.exists(tool, tool in self.never)",
            message="a tool is listed in both approval.always and approval.never; remove it from one of them",
            check=lambda self: not set(self.always or ()) & set(self.never or ()),
        ),
    )


class Limits(ApiModel):
    """Limits on the use of the server, per gateway pod."""

    connect_timeout_seconds: Annotated[int | None, Field(ge=1, le=60, description="Time to connect and initialize. Absent: 10."), WHOLE] = (
        None
    )
    call_timeout_seconds: Annotated[int | None, Field(ge=1, le=3600, description="Time for one tool call. Absent: 60."), WHOLE] = None
    max_concurrent_calls: Annotated[
        int | None, Field(ge=1, le=1000, description="Concurrent calls to this server on one pod; further calls wait. Absent: 100."), WHOLE
    ] = None
    max_result_bytes: Annotated[
        int | None,
        Field(ge=1024, le=16777216, description="Size of one tool result; a larger result becomes an error. Absent: 1048576."),
        WHOLE,
    ] = None
