"""The scripted model server says what vLLM 0.33 says, and the OpenAI client takes it in strict mode."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.support.model_server import Call, ModelServer, Round

TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
OTHER: Any = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}
NAMED = {"type": "function", "function": {"name": "get_weather"}}
USER: Any = [{"role": "user", "content": "Weather in Köln?"}]
BERLIN, KOELN = Call("get_weather", {"city": "Berlin"}), Call("get_weather", {"city": "Köln 🌦"})

SCRIPTS = {
    "text": [Round(text="Sunny in Köln 🌦.", reasoning="They ask about the weather.")],
    "calls": [Round(text="Looking.", calls=[BERLIN, KOELN]), Round(text="Both sunny.")],
    "together": [Round(calls=[BERLIN, KOELN], style="together")],
    "leftover": [Round(calls=[BERLIN], style="leftover")],
    "null": [Round(calls=[BERLIN], style="null")],
    "length": [Round(calls=[Call("get_weather", '{"city": "Ber')], finish_reason="length")],
    "late-error": [Round(text="Sunny in the whole", error={"message": "EngineCore died"}, after=2)],
    "overloaded": [Round(status=503, error="overloaded")],
    "drops": [Round(text="Sunny in the whole", drop=2)],
    "split": [Round(text="Köln 🌦", split=1)],
}


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer(SCRIPTS) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: ModelServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, _strict_response_validation=True) as client:
        yield client


def post(server: ModelServer, **body: Any) -> httpx.Response:
    return httpx.post(server.url + "/v1/chat/completions", json={"messages": USER, **body}, timeout=60)


def chunks(server: ModelServer, **body: Any) -> list[Any]:
    lines = post(server, stream=True, **body).text.split("\n\n")
    assert all(line.startswith("data: ") for line in lines if line)
    return [json.loads(line[6:]) if line != "data: [DONE]" else "[DONE]" for line in lines if line]


def choices(server: ModelServer, **body: Any) -> list[Any]:
    return [chunk["choices"][0] for chunk in chunks(server, **body) if chunk != "[DONE]" and chunk.get("choices")]


@pytest.mark.parametrize(
    ("fact", "body", "status", "message"),
    [
        ("an empty list of tools", {"tools": []}, 400, "at least 1 item"),
        ("a choice without tools", {"tool_choice": "auto"}, 400, "`tools` must be set"),
        ("`none` needs no tools", {"tool_choice": "none"}, 200, ""),
        ("a choice that no server knows", {"tools": [TOOL], "tool_choice": {"type": "mcp", "server_label": "a"}}, 400, "Correct usage"),
        ("allowed_tools", {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}, 400, "Correct usage"),
        ("a name that is not offered", {"tools": [OTHER], "tool_choice": NAMED}, 400, "does not match"),
        ("a named function", {"tools": [TOOL], "tool_choice": NAMED}, 200, ""),
        ("required", {"tools": [TOOL], "tool_choice": "required"}, 200, ""),
        ("stream options without a stream", {"stream_options": {"include_usage": True}}, 400, "stream=True"),
        ("an unknown model", {"model": "nobody"}, 404, "does not exist"),
        ("no messages", {"messages": []}, 400, "messages"),
    ],
)
def test_requests_are_judged_as_by_vllm(server: ModelServer, fact: str, body: dict[str, Any], status: int, message: str) -> None:
    answer = post(server, **{"model": "text", **body})
    assert answer.status_code == status, fact
    assert message in answer.text


def test_error_codes_are_numbers_and_types_are_class_names(server: ModelServer) -> None:
    error = post(server, model="nobody").json()["error"]
    assert error == {"message": "The model `nobody` does not exist.", "type": "NotFoundError", "param": "model", "code": 404}


@pytest.mark.parametrize(("choice", "status"), [("required", 400), ("auto", 200)])
def test_one_name_of_two_definitions_is_refused_when_the_choice_is_forced(server: ModelServer, choice: str, status: int) -> None:
    tools = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object", "$defs": {"Place": {"type": kind}}}}}
        for name, kind in (("a", "string"), ("b", "object"))
    ]
    assert post(server, model="text", tools=tools, tool_choice=choice).status_code == status


def test_array_of_a_tool_result_is_taken(server: ModelServer) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    result = {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "sunny"}]}
    answer = post(server, model="calls", messages=[*USER, {"role": "assistant", "tool_calls": [call]}, result])
    assert answer.json()["choices"][0]["message"]["content"] == "Both sunny."
    assert answer.json()["usage"]["prompt_tokens"] == 4


def test_id_and_name_come_once(server: ModelServer) -> None:
    parts = [part for choice in choices(server, model="calls", tools=[TOOL]) for part in choice["delta"].get("tool_calls", ())]
    assert all("index" in part for part in parts)
    assert [part["index"] for part in parts if "id" in part] == [0, 1]
    assert [part["index"] for part in parts if "name" in part["function"]] == [0, 1]


def test_one_delta_can_open_several_calls(server: ModelServer) -> None:
    assert any(len(choice["delta"].get("tool_calls", ())) == 2 for choice in choices(server, model="together", tools=[TOOL]))


def test_last_delta_can_carry_arguments(server: ModelServer) -> None:
    last = choices(server, model="leftover", tools=[TOOL])[-1]
    assert last["finish_reason"] == "tool_calls"
    assert last["delta"]["tool_calls"][0]["function"]["arguments"]


def test_arguments_can_be_null(server: ModelServer) -> None:
    parts = [part for choice in choices(server, model="null", tools=[TOOL]) for part in choice["delta"].get("tool_calls", ())]
    assert parts[0]["function"]["arguments"] is None


@pytest.mark.parametrize(("choice", "reason"), [("auto", "tool_calls"), ("required", "tool_calls"), (NAMED, "stop")])
def test_forced_name_ends_with_stop(server: ModelServer, choice: Any, reason: str) -> None:
    assert choices(server, model="calls", tools=[TOOL], tool_choice=choice)[-1]["finish_reason"] == reason


def test_calls_that_are_not_parallel_are_one(server: ModelServer) -> None:
    answer = post(server, model="calls", tools=[TOOL], parallel_tool_calls=False).json()
    assert len(answer["choices"][0]["message"]["tool_calls"]) == 1


def test_usage_comes_last_without_choices_when_asked_for(server: ModelServer) -> None:
    *_, usage, done = chunks(server, model="text", stream_options={"include_usage": True})
    assert done == "[DONE]"
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}
    assert all("usage" not in chunk for chunk in chunks(server, model="text") if chunk != "[DONE]")


def test_error_within_a_stream_is_an_event_after_status_200(server: ModelServer) -> None:
    *_, error, done = chunks(server, model="late-error")
    assert error == {"error": {"message": "EngineCore died", "type": "InternalServerError", "param": None, "code": 500}}
    assert done == "[DONE]"


def test_reasoning_is_called_reasoning(server: ModelServer) -> None:
    assert post(server, model="text").json()["choices"][0]["message"]["reasoning"] == "They ask about the weather."


def test_dropped_connection_breaks_the_answer(server: ModelServer) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        post(server, model="drops", stream=True)


def test_script_can_be_the_users_message(server: ModelServer) -> None:
    script = json.dumps({"rounds": [{"calls": [{"name": "get_weather", "arguments": {"city": "Bonn"}}]}, {"text": "Done."}]})
    messages: list[dict[str, Any]] = [{"role": "user", "content": script}]
    message = post(server, model="scripted", messages=messages, tools=[TOOL]).json()["choices"][0]["message"]
    messages += [message, {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sunny"}]
    assert post(server, model="scripted", messages=messages, tools=[TOOL]).json()["choices"][0]["message"]["content"] == "Done."
    messages += [{"role": "assistant", "content": "Done."}]
    assert "the script has 2 rounds" in post(server, model="scripted", messages=messages).text


def test_key_is_asked_for() -> None:
    with ModelServer(key="secret") as server:
        assert post(server, model="scripted").status_code == 401
        assert httpx.get(server.url + "/v1/models", headers={"Authorization": "Bearer secret"}, timeout=60).status_code == 200


# --- the OpenAI client in strict mode


def test_client_lists_models(client: openai.OpenAI) -> None:
    assert "text" in [model.id for model in client.models.list()]


@pytest.mark.parametrize("model", ["text", "calls", "together", "leftover", "length", "split"])
def test_client_takes_whole_answers(client: openai.OpenAI, model: str) -> None:
    [choice] = client.chat.completions.create(model=model, messages=USER, tools=[TOOL]).choices
    calls: Any = choice.message.tool_calls or ()
    assert choice.message.content == (SCRIPTS[model][0].text or None)
    assert [call.function.arguments for call in calls] == [call.text for call in SCRIPTS[model][0].calls]


@pytest.mark.parametrize("model", ["text", "calls", "together", "leftover", "null", "length", "split"])
def test_client_takes_streams(client: openai.OpenAI, model: str) -> None:
    text, arguments = "", ["", ""]
    stream: Any = client.chat.completions.create(
        model=model, messages=USER, tools=[TOOL], stream=True, stream_options={"include_usage": True}
    )
    for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for call in choice.delta.tool_calls or ():
                arguments[call.index] += call.function.arguments or ""
    assert chunk.usage.total_tokens > 0
    assert text == SCRIPTS[model][0].text
    assert [text for text in arguments if text] == [call.text for call in SCRIPTS[model][0].calls]


def test_client_raises_for_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nobody", messages=USER)
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="overloaded", messages=USER)
    with pytest.raises(openai.APIError, match="EngineCore died"):
        list(client.chat.completions.create(model="late-error", messages=USER, stream=True))


def test_client_that_goes_away_is_noticed() -> None:
    with ModelServer({"hangs": [Round(text="never more", hang=1)]}) as server:
        with httpx.stream("POST", server.url + "/v1/chat/completions", json={"model": "hangs", "messages": USER, "stream": True}):
            pass
        [recorded] = server.requests
        assert recorded.ended.wait(10)
        assert recorded.cut
