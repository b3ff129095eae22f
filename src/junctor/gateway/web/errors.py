"""Errors that become the answer to a request.

ApiError                an error with its HTTP status and, for OpenAI's clients, its type, param and code
+-- BadRequest          400
+-- Unauthorized        401: the request has no valid key or token
+-- Forbidden           403: a web page of another origin, or an unknown host name
+-- NotFound            404
+-- RequestTimeout      408: the request did not arrive in time
+-- BodyTooLarge        413
+-- TooManyValues       413
+-- UrlTooLong          414
+-- NotJSON             415
+-- TooManyBytes        429: the caller's requests in progress hold too much
+-- HeadTooLarge        431
+-- Overloaded          503: too many connections, or too much held for all requests
+-- MapNotLoaded        503: the gateway has not loaded a connector map yet
+-- GatewayStopping     503: the gateway stops before the answer is complete
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus


class ApiError(Exception):
    """A request that ends with an error. message: what is wrong and what to do; callers see it."""

    status = 500
    code: str | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.code
        self.headers = dict(headers or {})
        self.status = status or self.status

    @property
    def type(self) -> str:
        """The error's type in OpenAI's terms."""
        if self.status == HTTPStatus.TOO_MANY_REQUESTS:
            return "rate_limit_error"
        return "server_error" if self.status >= 500 else "invalid_request_error"


class BadRequest(ApiError):
    """The request is not valid."""

    status = 400


class Unauthorized(ApiError):
    """The request has no valid key or token. The answer is the same whatever the reason."""

    status = 401
    code = "invalid_api_key"

    def __init__(self) -> None:
        message = "the API key is missing or not valid; send one that is as Authorization: Bearer KEY"
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(ApiError):
    """A web page that may not use this port sent the request, or could have."""

    status = 403


class NotFound(ApiError):
    """The request names something that does not exist."""

    status = 404
    code = "not_found"


class RequestTimeout(ApiError):
    """The request did not arrive in time. part: what of it."""

    status = 408
    code = "request_timeout"

    def __init__(self, part: str, seconds: int) -> None:
        super().__init__(f"the request {part} did not arrive within {seconds} seconds; try again", headers={"Connection": "close"})


class BodyTooLarge(ApiError):
    """The request's body is larger than the limit of this port."""

    status = 413
    code = "request_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the request body is larger than {limit} bytes; send less")


class TooManyValues(ApiError):
    """Parsing the request's body would take too much memory."""

    status = 413
    code = "too_many_values"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the request body has more than {limit} JSON values; send fewer")


class UrlTooLong(ApiError):
    """The request's URL is longer than the limit."""

    status = 414
    code = "url_too_long"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the URL is longer than {limit} bytes; shorten it")


class NotJSON(ApiError):
    """The request's body is not declared as JSON."""

    status = 415
    code = "unsupported_media_type"

    def __init__(self) -> None:
        super().__init__("the body must be JSON; send it with Content-Type: application/json")


class TooManyBytes(ApiError):
    """What the caller's requests in progress hold would exceed the limit."""

    status = 429
    code = "too_many_bytes_in_progress"

    def __init__(self, limit: int) -> None:
        message = (
            f"your requests in progress would hold more than {limit} bytes for their bodies, answers and results of tools; "
            "wait for an answer, or send fewer at once"
        )
        super().__init__(message, headers={"Retry-After": "1"})


class HeadTooLarge(ApiError):
    """The request's headers exceed a limit."""

    status = 431
    code = "headers_too_large"

    def __init__(self, limit: str) -> None:
        super().__init__(f"the request has more than {limit}; send less")


class Overloaded(ApiError):
    """The gateway takes no more at present. what: the limit that is reached."""

    status = 503
    code = "overloaded"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; try again in a moment", headers={"Retry-After": "1"})


class MapNotLoaded(ApiError):
    """The gateway has not loaded a connector map yet."""

    status = 503
    code = "no_connector_map"

    def __init__(self) -> None:
        super().__init__("the gateway has no connector map yet; try again in a moment", headers={"Retry-After": "1"})


class GatewayStopping(ApiError):
    """The gateway stops before the answer is complete."""

    status = 503

    def __init__(self) -> None:
        super().__init__("the gateway is stopping; try again", headers={"Connection": "close", "Retry-After": "1"})


def forget_frames(error: BaseException | None) -> None:
    """Cut an error, and those that led to it, off the functions that it came through, once it is answered.

    The function that answers is one of them, and holds the error: such a circle stays until the garbage collector comes to it, and with it
    the whole request, although nothing counts it any more.
    """
    # An error that was raised from itself is its own cause.
    while error is not None and error.__traceback__ is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def openai_body(error: ApiError) -> dict[str, object]:
    """The body of an error answer in the form of OpenAI's API."""
    return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


def management_body(error: ApiError) -> dict[str, object]:
    """The body of an error answer of the management port."""
    return {"error": error.message}


def log_failure(log: logging.Logger, request_id: str, what: str, error: ApiError) -> None:
    """Log that a request failed. Messages about the caller's own mistakes are left out, because they may repeat what it sent.

    Args:
        log: The logger of the module that answers the request.
        request_id: The request's id, which the caller sees too.
        what: Names the request, for example by its method and path.
        error: The answer to the caller.
    """
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.status == HTTPStatus.FAILED_DEPENDENCY:
        log.warning("request %s: %s failed: %d %s: %s", request_id, what, error.status, error.code, error.message)
    else:
        log.info("request %s: %s refused: %d %s %s", request_id, what, error.status, error.code or "", error.param or "")
