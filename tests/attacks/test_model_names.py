"""A caller names two models in one request: one that the gateway looks at, and one that the model server may take."""

import json

import httpx
import pytest

from tests.support.running_gateway import ANSWER, RunningGateway

FORBIDDEN = "a-forbidden-model"


def text(*members: tuple[str, str]) -> str:
    """A request with these members as they are written, and the messages."""
    written = [f'"{key}": {json.dumps(value)}' for key, value in members]
    return f'{{{", ".join([*written, json.dumps("messages")])}: [{{"role": "user", "content": "hi"}}]}}'


@pytest.mark.parametrize(
    "spellings",
    [
        ("model", "model"), ("model", "Model"), ("MODEL", "model"), ("model", "mOdEl"), ("model", "mod\\u0065l"), ("mod\\u0065l", "model"),
        ("\\u006dodel", "\\u006Dodel"), ("model", "\\u004dodel"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("allowed_first", [True, False])
def test_a_request_names_its_model_once(victim: RunningGateway, spellings: tuple[str, str], allowed_first: bool) -> None:
    allowed = victim.plays(ANSWER)
    values = (allowed, FORBIDDEN) if allowed_first else (FORBIDDEN, allowed)
    asked = len(victim.model.bodies)
    body = text(*zip(spellings, values, strict=True))
    answer = httpx.post(
        f"{victim.url}/chat/completions", content=body, headers={"Content-Type": "application/json"}, trust_env=False, timeout=60
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
    assert "once" in answer.json()["error"]["message"]
    assert len(victim.model.bodies) == asked


def test_the_word_elsewhere_does_not_matter(victim: RunningGateway) -> None:
    schema = {"type": "object", "properties": {"model": {"type": "string"}, "Model": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "buy", "description": '{"model": "car"}', "parameters": schema}}
    body = {"model": victim.plays(ANSWER), "messages": [{"role": "user", "content": '"model": "x"', "name": "model"}], "tools": [tool]}
    answer = httpx.post(f"{victim.url}/chat/completions", json=body, trust_env=False, timeout=60)
    assert answer.status_code == httpx.codes.OK
