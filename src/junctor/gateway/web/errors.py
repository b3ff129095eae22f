"""What callers are told when a request fails.

ApiError                an answer that is an error: status, message, and for OpenAI's clients type, param and code
+-- BadRequest          400
+-- Unauthorized        401: no key of a caller that is known
+-- NoSuchThing         404
+-- NotServing          503: no map is served yet
+-- BodyTooLarge        413
"""

from collections.abc import Mapping
from http import HTTPStatus


class ApiError(Exception):
    """A request that ends with an error. message: what was wrong and what to do, fit for the caller's eyes."""

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
        """The error's type, as OpenAI's API names them."""
        if self.status == HTTPStatus.TOO_MANY_REQUESTS:
            return "rate_limit_error"
        return "server_error" if self.status >= 500 else "invalid_request_error"


class BadRequest(ApiError):
    """The request is not valid."""

    status = 400


class Unauthorized(ApiError):
    """The request has no key or token that lets it in; the answer is the same whatever the reason."""

    status = 401
    code = "invalid_api_key"

    def __init__(self) -> None:
        message = "the API key is missing or not valid; send one that is as Authorization: Bearer KEY"
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class NoSuchThing(ApiError):
    """What the request names does not exist."""

    status = 404
    code = "not_found"


class NotServing(ApiError):
    """No connector map is served yet."""

    status = 503
    code = "no_connector_map"

    def __init__(self) -> None:
        super().__init__("the gateway has no connector map yet; try again in a moment", headers={"Retry-After": "1"})


class BodyTooLarge(ApiError):
    """The request's body is larger than this port takes."""

    status = 413
    code = "request_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the request body is larger than {limit} bytes; send less")


def openai_body(error: ApiError) -> dict[str, object]:
    """The error as OpenAI's API words it."""
    return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}
