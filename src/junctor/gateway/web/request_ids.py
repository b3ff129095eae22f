"""Every answer has an `x-request-id`, which OpenAI's clients show as `_request_id`, and which the log gives beside what went wrong."""

import logging
import re
import uuid
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from junctor.gateway.web.errors import ApiError

HEADER: Final = b"x-request-id"
_SANE: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The caller's own id when it brings one that is fit for logs and headers, else a fresh one that nobody can guess."""
    given = [value.decode("latin-1") for name, value in headers if name == HEADER]
    return given[0] if len(given) == 1 and _SANE.fullmatch(given[0]) else f"req_{uuid.uuid4().hex}"


def log_failure(log: logging.Logger, request_id: str, what: str, error: ApiError) -> None:
    """Log that a request failed. The caller's own mistakes without the words, which may repeat what it sent."""
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.status == HTTPStatus.FAILED_DEPENDENCY:
        log.warning("request %s: %s failed: %d %s: %s", request_id, what, error.status, error.code, error.message)
    else:
        log.info("request %s: %s refused: %d %s %s", request_id, what, error.status, error.code or "", error.param or "")
