"""Failures of model servers as the caller reads them: OpenAI's statuses and codes, without addresses and keys.

ApiError
+-- ModelNotFound       404: no model server serves the model
+-- ModelFailed         the model server refused the request, broke or cannot be reached
"""

import json
import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from junctor.gateway.models.ports import UpstreamError
from junctor.gateway.web.errors import ApiError
from junctor.net.formats import OpenAIObjectView
from junctor.net.redaction import redact
from junctor.net.retry_after import retry_after_seconds

_log = logging.getLogger(__name__)

_MAX_MESSAGE: Final = 2000
#: Seconds. OpenAI's clients ignore a larger Retry-After and try again at once.
_LONGEST_WAIT: Final = 60
#: Statuses that concern the gateway's own request, not the caller's: credentials, address, method.
_GATEWAYS_FAULT: Final = frozenset({401, 402, 403, 405, 407})
_CODES: Final = {404: "model_not_found", 413: "request_too_large", 429: "rate_limit_exceeded"}


class ModelNotFound(ApiError):
    """No model server is configured for the model that a request names."""

    status = HTTPStatus.NOT_FOUND
    code = "model_not_found"

    def __init__(self, model: str) -> None:
        super().__init__(f"the model {model[:200]!r} does not exist here; GET /v1/models lists the models", param="model")


class ModelFailed(ApiError):
    """A model server could not be used."""

    def __init__(self, reason: UpstreamError) -> None:
        headers = {} if reason.retry_after is None else {"Retry-After": str(reason.retry_after)}
        super().__init__(str(reason), status=reason.status, code=reason.code, param=reason.param, headers=headers)


def refusal(status: int, body: bytes, *, retry_after: str | None = None, secrets: tuple[str, ...] = ()) -> UpstreamError:
    """Return the error for an unsuccessful HTTP answer.

    Args:
        status: the answer's status.
        body: the answer's body, whole or cut.
        retry_after: the answer's header of this name.
        secrets: texts that the error's message must not repeat.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    error = _error_object(document)
    if status == 404 and error is None:
        _log.error("the model server answered 404 without a reason: is the path of its URL right?")
        return UpstreamError("the model server has no chat completions at the configured URL", code="server_error")
    refused = _error(status, error or {}, secrets)
    if refused.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        refused.retry_after = seconds_to_wait(retry_after, datetime.now(UTC))
    return refused


def seconds_to_wait(retry_after: str | None, now: datetime) -> int | None:
    """Return the wait that a Retry-After header (seconds or a date) asks for, in whole seconds from 1 to 60; None when it is unreadable."""
    seconds = retry_after_seconds(retry_after, now)
    return None if seconds is None else min(max(math.ceil(seconds), 1), _LONGEST_WAIT)


def stream_error(document: OpenAIObjectView, *, secrets: tuple[str, ...] = ()) -> UpstreamError | None:
    """Return the error inside an event of a stream, whose HTTP status was 200; None when the event is no error."""
    error = _error_object(document)
    if error is None:
        return None
    code = error.get("code")
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) == 3:
        code = int(code)
    return _error(code if isinstance(code, int) and 400 <= code <= 599 else 500, error, secrets)


def _error(status: int, error: OpenAIObjectView, secrets: tuple[str, ...]) -> UpstreamError:
    text = error.get("message")
    message = text[:_MAX_MESSAGE] if isinstance(text, str) else ""
    message = redact(message, secrets)
    if status in (401, 403):
        _log.error("the model server refused the gateway's key (%d)", status)
        return UpstreamError("the model server refused the gateway's key; its configuration must be corrected", code="server_error")
    if status in _GATEWAYS_FAULT or not 400 <= status <= 499:
        # The text of a broken server may name addresses: it goes to the log only.
        _log.error("the model server failed with %d: %s", status, message or "it said nothing more")
        shown = "the model server is overloaded or not ready" if status == 503 else f"the model server failed ({status})"
        return UpstreamError(shown, status=503 if status == 503 else 502, code="server_error")
    param = error.get("param")
    return UpstreamError(
        message or f"the model server refused the request ({status})",
        status=status,
        code=_code(status, error.get("code"), message),
        param="model" if status == 404 else param if isinstance(param, str) else None,
    )


def _code(status: int, code: Any, message: str) -> str | None:
    """Return OpenAI's code. vLLM's codes are numbers that only repeat the status."""
    if status == 404:
        return "model_not_found"
    if isinstance(code, str) and code and not code.isdigit():
        return code[:100]
    if status == 400 and "maximum context length" in message:
        return "context_length_exceeded"
    return _CODES.get(status)


def _error_object(document: Any) -> OpenAIObjectView | None:
    """Read `{"error": {...}}`, `{"error": "text"}`, or the bare object with `object: error` of older servers."""
    if not isinstance(document, Mapping):
        return None
    error = document.get("error")
    if isinstance(error, str):
        return {"message": error}
    if isinstance(error, Mapping):
        return error
    return document if document.get("object") == "error" else None
