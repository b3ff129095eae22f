"""What a request may say, and what is refused, by field."""

from typing import Any

import pytest

from junctor.gateway.responses.request import CreateRequest, create_request
from junctor.gateway.tools.policy import RequestedApproval, ToolFilter
from junctor.gateway.web.errors import BadRequest

MCP: dict[str, Any] = {"type": "mcp", "server_label": "git", "connector_id": "connector_git"}
URL: dict[str, Any] = {"type": "mcp", "server_label": "web", "server_url": "https://user:pw@mcp.example:8443/x?key=hunter2#f"}
FUNCTION: dict[str, Any] = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}


def read(**fields: Any) -> CreateRequest:
    return create_request({"model": "m", "input": "hi"} | fields)


def mcp(**fields: Any) -> dict[str, Any]:
    return {"tools": [MCP | fields]}


def choice(value: Any) -> dict[str, Any]:
    return {"tools": [MCP, FUNCTION], "tool_choice": value}


def item(**fields: Any) -> dict[str, Any]:
    return {"input": [fields]}


def content(**part: Any) -> dict[str, Any]:
    return item(role="user", content=[part])


CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "x"}


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        # Fields of the request.
        ({"model": 1}, "model", "invalid_value"),
        ({"model": ""}, "model", "invalid_value"),
        ({"shell": 1}, "shell", "unknown_parameter"),
        ({"temperature": "1"}, "temperature", "invalid_value"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"temperature": float("nan")}, "temperature", "invalid_value"),
        ({"max_tool_calls": 0}, "max_tool_calls", "invalid_value"),
        ({"max_output_tokens": True}, "max_output_tokens", "invalid_value"),
        ({"stream": 1}, "stream", "invalid_value"),
        ({"stream_options": {"include_usage": True}}, "stream_options.include_usage", "unknown_parameter"),
        ({"include": ["everything"]}, "include[0]", "invalid_value"),
        ({"truncation": "auto"}, "truncation", "unsupported_parameter"),
        ({"store": True}, "store", "unsupported_parameter"),
        ({"background": True}, "background", "unsupported_parameter"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "unsupported_parameter"),
        ({"conversation": "conv_1"}, "conversation", "unsupported_parameter"),
        ({"prompt": {"id": "p"}}, "prompt", "unsupported_parameter"),
        ({"context_management": []}, "context_management", "unsupported_parameter"),
        ({"moderation": {"model": "m"}}, "moderation", "unsupported_parameter"),
        ({"access_programs": {}}, "access_programs", "unsupported_parameter"),
        ({"image": {}}, "image", "unsupported_parameter"),
        ({"metadata": {str(key): "" for key in range(17)}}, "metadata", "invalid_value"),
        ({"metadata": {"k" * 65: ""}}, "metadata", "invalid_value"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k", "invalid_value"),
        ({"metadata": {"k": 1}}, "metadata.k", "invalid_value"),
        ({"reasoning": {"effort": "extreme"}}, "reasoning.effort", "invalid_value"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format", "invalid_value"),
        ({"service_tier": "gold"}, "service_tier", "invalid_value"),
        # Tools.
        ({"tools": {}}, "tools", "invalid_value"),
        ({"tools": ["mcp"]}, "tools[0]", "invalid_type"),
        ({"tools": [{}]}, "tools[0].type", "missing_required_parameter"),
        ({"tools": [FUNCTION, {"type": "web_search"}]}, "tools[1].type", "unsupported_parameter"),
        ({"tools": [FUNCTION, FUNCTION]}, "tools[1].name", "invalid_value"),
        ({"tools": [FUNCTION | {"name": "a b"}]}, "tools[0].name", "invalid_value"),
        ({"tools": [FUNCTION | {"async": True}]}, "tools[0].async", "unknown_parameter"),
        ({"tools": [FUNCTION] * 129}, "tools", "invalid_value"),
        ({"tools": [{"type": "mcp", "connector_id": "x"}]}, "tools[0].server_label", "missing_required_parameter"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0].connector_id", "missing_required_parameter"),
        (mcp(server_url="https://x"), "tools[0].server_url", "invalid_value"),
        (mcp(tunnel_id="t"), "tools[0].tunnel_id", "unsupported_parameter"),
        (mcp(nonsense=1), "tools[0].nonsense", "unknown_parameter"),
        (mcp(connector_id=7), "tools[0].connector_id", "invalid_value"),
        (mcp(server_label=""), "tools[0].server_label", "invalid_value"),
        (mcp(server_label="git\x1b[2J"), "tools[0].server_label", "invalid_value"),
        (mcp(server_label="git\u202e"), "tools[0].server_label", "invalid_value"),
        ({"tools": [MCP, MCP | {"server_label": "GIT"}]}, "tools[1].server_label", "invalid_value"),
        (mcp(authorization=""), "tools[0].authorization", "invalid_value"),
        (mcp(authorization="a\r\nb"), "tools[0].authorization", "invalid_value"),
        (mcp(authorization="Bearer t"), "tools[0].authorization", "invalid_value"),
        (mcp(headers={"a b": "c"}), "tools[0].headers", "invalid_value"),
        (mcp(headers={"a": "c\n"}), "tools[0].headers", "invalid_value"),
        (mcp(headers={"a": "c", "A": "d"}), "tools[0].headers", "invalid_value"),
        (mcp(headers={"x-n": 1}), "tools[0].headers", "invalid_value"),
        (mcp(authorization="t", headers={"authorization": "Bearer t"}), "tools[0].headers", "invalid_value"),
        (mcp(defer_loading=True), "tools[0].defer_loading", "unsupported_parameter"),
        (mcp(allowed_callers=["programmatic"]), "tools[0].allowed_callers", "unsupported_parameter"),
        (mcp(allowed_callers=["me"]), "tools[0].allowed_callers[0]", "invalid_value"),
        (mcp(allowed_tools="search"), "tools[0].allowed_tools", "invalid_type"),
        (mcp(allowed_tools=[1]), "tools[0].allowed_tools", "invalid_value"),
        (mcp(allowed_tools={"names": []}), "tools[0].allowed_tools.names", "unknown_parameter"),
        (mcp(allowed_tools={"tool_names": "x"}), "tools[0].allowed_tools.tool_names", "invalid_value"),
        (mcp(require_approval="sometimes"), "tools[0].require_approval", "invalid_value"),
        (mcp(require_approval={"never": ["x"]}), "tools[0].require_approval.never", "invalid_value"),
        (mcp(require_approval={"maybe": {}}), "tools[0].require_approval.maybe", "unknown_parameter"),
        # The choice of tools.
        (choice("any"), "tool_choice", "invalid_value"),
        (choice(["auto"]), "tool_choice", "invalid_value"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        (choice({"type": "web_search_preview"}), "tool_choice", "unsupported_parameter"),
        (choice({"type": "function", "name": "gone"}), "tool_choice", "invalid_value"),
        (choice({"type": "function"}), "tool_choice.name", "missing_required_parameter"),
        (choice({"type": "mcp", "server_label": "gone"}), "tool_choice", "invalid_value"),
        (choice({"type": "allowed_tools", "mode": "none", "tools": []}), "tool_choice.mode", "invalid_value"),
        (choice({"type": "allowed_tools", "mode": "auto", "tools": []}), "tool_choice.tools", "invalid_value"),
        (choice({"type": "allowed_tools", "mode": "auto", "tools": [FUNCTION] * 129}), "tool_choice.tools", "invalid_value"),
        ({"input": [{"role": "user", "content": "hi"}] * 4097}, "input", "invalid_value"),
        ({"include": ["message.output_text.logprobs"] * 65}, "include", "invalid_value"),
        ({"metadata": {f"key-{number}": number for number in range(1001)}}, None, "invalid_value"),
        (choice({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "x"}]}), "tool_choice", "invalid_value"),
        (
            choice({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function"}]}),
            "tool_choice.tools[0].name",
            "missing_required_parameter",
        ),
        # Input.
        ({"input": None}, "input", "invalid_type"),
        ({"input": []}, "input", "invalid_value"),
        ({"input": ["hi"]}, "input[0]", "invalid_type"),
        (item(type="computer_call"), "input[0].type", "unsupported_parameter"),
        (item(type="item_reference", id="x"), "input[0]", "unsupported_parameter"),
        (item(type="mcp_approval_request", id="mcpr_1"), "input[0]", "unsupported_parameter"),
        (item(type="mcp_approval_response", approval_request_id="mcpr_1", approve=True), "input[0]", "unsupported_parameter"),
        (item(role="robot", content="x"), "input[0].role", "invalid_value"),
        (item(role="user"), "input[0].content", "missing_required_parameter"),
        (item(role="user", content=7), "input[0].content", "invalid_type"),
        (content(type="input_file", file_id="f"), "input[0].content[0].type", "unsupported_parameter"),
        (content(type="input_video"), "input[0].content[0].type", "unsupported_parameter"),
        (content(type="input_text"), "input[0].content[0].text", "missing_required_parameter"),
        (content(type="input_image", file_id="f"), "input[0].content[0].file_id", "unsupported_parameter"),
        (content(type="input_image"), "input[0].content[0].image_url", "missing_required_parameter"),
        ({"input": [CALL]}, "input", "invalid_value"),
        ({"input": [OUTPUT]}, "input", "invalid_value"),
        ({"input": [OUTPUT, CALL]}, "input", "invalid_value"),
        ({"input": [CALL, OUTPUT, OUTPUT]}, "input", "invalid_value"),
        ({"input": [CALL, CALL, OUTPUT]}, "input", "invalid_value"),
        ({"input": [CALL, OUTPUT | {"output": [{"type": "input_image"}]}]}, "input[1].output[0].type", "unsupported_parameter"),
    ],
)
def test_a_refusal_names_the_field(fields: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(**fields)
    assert (refused.value.param, refused.value.code) == (param, code)


@pytest.mark.parametrize(("body", "param"), [({"input": "x"}, "model"), ({"model": "m"}, "input"), ([], None), ("x", None)])
def test_what_is_missing_is_named(body: Any, param: str | None) -> None:
    with pytest.raises(BadRequest) as refused:
        create_request(body)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (None, RequestedApproval("always")),
        ("always", RequestedApproval("always")),
        ("never", RequestedApproval("never")),
        ({}, RequestedApproval(None)),
        ({"never": {"tool_names": ["a"]}}, RequestedApproval(None, never=ToolFilter(frozenset("a")))),
        (
            {"always": {"read_only": False}, "never": {"read_only": True}},
            RequestedApproval(None, ToolFilter(read_only=False), ToolFilter(read_only=True)),
        ),
    ],
)
def test_require_approval_in_every_shape(value: Any, want: RequestedApproval) -> None:
    assert read(**mcp(require_approval=value)).servers[0][1].approval == want


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (None, ToolFilter()),
        (["a"], ToolFilter(frozenset("a"))),
        ([], ToolFilter(frozenset())),
        ({}, ToolFilter()),
        ({"tool_names": ["a"], "read_only": True}, ToolFilter(frozenset("a"), read_only=True)),
    ],
)
def test_allowed_tools_in_every_shape(value: Any, want: ToolFilter) -> None:
    assert read(**mcp(allowed_tools=value)).servers[0][1].allowed == want


def test_the_echo_holds_no_credential() -> None:
    secret = {"authorization": "hunter2", "headers": {"x-key": "hunter2"}}
    request = read(tools=[MCP | secret, URL | {"headers": {"authorization": "hunter2"}}, FUNCTION])
    assert "hunter2" not in str(request.echo())
    assert "hunter2" not in repr(request.servers)
    assert request.echo()["tools"] == [
        {
            "type": "mcp",
            "server_label": "git",
            "server_description": None,
            "connector": "connector_git",
            "headers": None,
            "allowed_tools": None,
            "require_approval": "always",
        },
        {
            "type": "mcp",
            "server_label": "web",
            "server_description": None,
            "server_url": "https://mcp.example:8443/x",
            "headers": None,
            "allowed_tools": None,
            "require_approval": "always",
        },
        {**FUNCTION, "description": None, "strict": None},
    ]


def test_what_goes_to_the_model_server_as_it_is() -> None:
    schema = {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": True}
    request = read(temperature=0, top_p=0.5, reasoning={"effort": "low"}, text={"format": schema, "verbosity": "low"}, user="u")
    assert request.options() == {
        "temperature": 0.0,
        "top_p": 0.5,
        "reasoning_effort": "low",
        "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True}},
    }
    assert request.wants_json
    assert read(store=False, background=False, truncation="disabled", top_logprobs=3).options() == {}


@pytest.mark.parametrize(("fields", "top"), [({}, 0), ({"top_logprobs": 3}, 3)])
def test_logprobs_are_asked_for_when_they_are_to_be_included(fields: dict[str, Any], top: int) -> None:
    assert read(include=["message.output_text.logprobs"], **fields).options() == {"logprobs": True, "top_logprobs": top}
