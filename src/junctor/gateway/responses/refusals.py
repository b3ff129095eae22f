"""How the Responses API refuses requests: checks of the request's fields, and errors in OpenAI's words."""

import logging
from collections.abc import Mapping
from typing import Final, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from junctor.gateway.models.model_errors import ModelFailed
from junctor.gateway.models.ports import UpstreamError
from junctor.gateway.web.errors import ApiError, BadRequest

_log = logging.getLogger(__name__)

#: Keeps OpenAI's clients, which repeat requests after 408, 409, 429 and 5xx, from running tools again.
_NO_RETRY: Final[Mapping[str, str]] = {"x-should-retry": "false"}


#: Mistakes of one request that are looked at: describing each of 200,000 would take half a second.
_MOST_MISTAKES: Final = 1000


class Strict(BaseModel):
    """A part of a request whose fields are all known and exactly of their types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Tolerant(BaseModel):
    """A part of a request that may have unknown fields, as replayed output of other releases does."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


_Model = TypeVar("_Model", bound=BaseModel)


def checked(model: type[_Model], value: object, place: str = "") -> _Model:
    """Read `value` as a model. Raises BadRequest that names the first wrong field. place: of the value in the request, like tools[0]."""
    if not isinstance(value, dict):
        raise BadRequest(f"{place or 'the body'} must be an object", param=place or None, code="invalid_type")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        if error.error_count() > _MOST_MISTAKES:
            message = f"{place or 'the body'} has {error.error_count()} wrong or unknown fields"
            raise BadRequest(message, param=place or None, code="invalid_value") from None
        raise _refusal(error.errors(include_url=False, include_context=False, include_input=False)[0], place) from None


def refuse(message: str, param: str, code: str = "invalid_value") -> NoReturn:
    """Refuse a field. Raises BadRequest."""
    raise BadRequest(message, param=param, code=code)


def not_to_be_retried(error: ApiError) -> ApiError:
    """Return the error with a header that forbids repetition, instead of a Retry-After that asks for it."""
    headers = {name: value for name, value in error.headers.items() if name != "Retry-After"}
    return ApiError(error.message, param=error.param, code=error.code, status=error.status, headers={**headers, **_NO_RETRY})


def as_api_error(error: Exception, request_id: str) -> ApiError:
    """Return the answer to a request whose response failed; an error that nobody expected goes to the log."""
    match error:
        case ApiError():
            return error
        case UpstreamError():
            return ModelFailed(error)
        case _:
            _log.error("request %s: a response failed", request_id, exc_info=error)
            return ApiError("the gateway failed on this request; its log says more")


def _refusal(error: ErrorDetails, place: str) -> BadRequest:
    *path, last = error["loc"] or ("",)
    param = place
    for step in path:
        param = _under(param, step)
    if error["type"] == "extra_forbidden":
        where = f"{param}.{str(last)[:100]}" if param else str(last)[:100]
        return BadRequest(f"Unknown parameter: '{where}'.", param=where, code="unknown_parameter")
    param = _under(param, last)
    match error["type"]:
        case "missing":
            return BadRequest(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")
        case _:
            return BadRequest(f"Invalid value for '{param}': {error['msg']}.", param=param, code="invalid_value")


def _under(param: str, step: int | str) -> str:
    if isinstance(step, int):
        return f"{param}[{step}]"
    if not step.isidentifier():
        # The key of a map whose keys the caller chooses.
        return param
    return f"{param}.{step}" if param else step
