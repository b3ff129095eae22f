"""What a caller is told when the model server says no."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from junctor.gateway.models.model_errors import refusal, seconds_to_wait, stream_error

KEY = "sk-secret"


def vllm(message: str, code: Any, kind: str = "BadRequestError", param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


@pytest.mark.parametrize(
    ("status", "body", "told", "code", "param", "message"),
    [
        (400, vllm("bad temperature", 400, param="temperature"), 400, None, "temperature", "bad temperature"),
        (400, vllm("This model's maximum context length is 10", 400), 400, "context_length_exceeded", None, "maximum context"),
        (400, {"error": {"message": "m", "code": "invalid_value"}}, 400, "invalid_value", None, "m"),
        (400, {"object": "error", "message": "old", "code": 400}, 400, None, None, "old"),
        (400, {"error": "text"}, 400, None, None, "text"),
        (400, b"<html>", 400, None, None, "refused the request"),
        (400, vllm(f"you sent {KEY}", 400), 400, None, None, "you sent \\*\\*\\*"),
        (401, {"error": f"Incorrect API key: {KEY}"}, 502, "server_error", None, "refused the gateway's key"),
        (403, b"", 502, "server_error", None, "refused the gateway's key"),
        (404, vllm("The model `x` does not exist.", 404, "NotFoundError"), 404, "model_not_found", "model", "does not exist"),
        (404, {"detail": "Not Found"}, 502, "server_error", None, "configured URL"),
        (405, {"detail": "Method Not Allowed"}, 502, "server_error", None, "405"),
        (413, b"", 413, "request_too_large", None, "413"),
        (429, {"error": {"message": "slow down", "code": 429}}, 429, "rate_limit_exceeded", None, "slow down"),
        (301, b"", 502, "server_error", None, "301"),
        (500, vllm("connect to 10.0.0.7 failed", 500), 502, "server_error", None, r"^the model server failed \(500\)$"),
        (503, b"no healthy upstream", 503, "server_error", None, "overloaded or not ready"),
        (504, b"", 502, "server_error", None, "504"),
        (400, b"[" * 100_000, 400, None, None, "refused"),
    ],
)
def test_refusals(status: int, body: Any, told: int, code: str | None, param: str | None, message: str) -> None:
    error = refusal(status, body if isinstance(body, bytes) else json.dumps(body).encode(), secrets=(KEY,))
    assert (error.status, error.code, error.param) == (told, code, param)
    with pytest.raises(type(error), match=message):
        raise error
    assert KEY not in str(error)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("0", 1),
        ("7", 7),
        (" 1.2 ", 2),
        ("3600", 60),
        ("9" * 30, None),
        ("Sat, 21 Nov 2026 09:30:20 GMT", 20),
        ("Sat, 21 Nov 2026 09:30:20 -0000", 20),
        ("Sat, 21 Nov 2026 09:29:00 GMT", 1),
        ("Sat, 21 Nov 2099 09:30:20 GMT", 60),
        ("Sat, 21 Nov 2026 09:30:20 +99999999999999999999", None),
    ],
)
def test_a_time_to_wait_is_read_and_bounded(said: str | None, seconds: int | None) -> None:
    assert seconds_to_wait(said, datetime(2026, 11, 21, 9, 30, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(("status", "seconds"), [(429, 7), (503, 7), (500, None), (400, None)])
def test_only_who_may_come_again_is_told_when(status: int, seconds: int | None) -> None:
    assert refusal(status, b"", retry_after="7").retry_after == seconds


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        (vllm("too long", 400), 400, None),
        (vllm("busy", 429), 429, "rate_limit_exceeded"),
        (vllm("busy", "429"), 429, "rate_limit_exceeded"),
        (vllm("died", 500, "InternalServerError"), 502, "server_error"),
        (vllm("died", None), 502, "server_error"),
        (vllm("died", "4" * 5000), 502, "server_error"),
        (vllm("key", 401), 502, "server_error"),
        ({"error": "died"}, 502, "server_error"),
        ({"object": "error", "message": "died", "code": 400}, 400, None),
    ],
)
def test_errors_within_a_stream(event: dict[str, Any], status: int, code: str | None) -> None:
    error = stream_error(event)
    assert error is not None
    assert (error.status, error.code) == (status, code)


@pytest.mark.parametrize("event", [{"choices": []}, {"choices": [], "error": None}, {}])
def test_chunks_are_no_errors(event: dict[str, Any]) -> None:
    assert stream_error(event) is None
