"""Requests and tool servers that are refused, as OpenAI words it.

ApiError
+-- BadRequest                  400; `param` names the field
+-- ListingRefused              424: a tool server gave no tools
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from junctor.gateway.tools.ports import ListingFailed
from junctor.gateway.web.errors import ApiError, BadRequest

#: Tells OpenAI's clients, which repeat 408, 409, 429 and 5xx twice, that a repetition would run tools again.
NO_RETRY: Final[Mapping[str, str]] = {"x-should-retry": "false"}


class ListingRefused(ApiError):
    """The tools of a server could not be listed, so nothing was generated."""

    status = HTTPStatus.FAILED_DEPENDENCY
    code = "http_error"

    def __init__(self, label: str, reason: ListingFailed) -> None:
        super().__init__(
            f"Error retrieving tool list from MCP server: '{label}'. Http status code: {reason.status}. {reason}"[:1000], param="tools"
        )

    @property
    def type(self) -> str:
        """OpenAI's type for it."""
        return "external_connector_error"


class Strict(BaseModel):
    """A part of a request that holds only known fields, and values of the very type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Tolerant(BaseModel):
    """A part of a request that may hold more than is read, as replayed output of other releases does."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


_Model = TypeVar("_Model", bound=BaseModel)


def checked(model: type[_Model], value: object, place: str = "") -> _Model:
    """`value` as a model. Raises BadRequest that names the first field that is wrong. place: of the value in the request, like tools[0]."""
    if not isinstance(value, dict):
        raise BadRequest(f"{place or 'the body'} must be an object", param=place or None, code="invalid_type")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False, include_context=False, include_input=False)[0], place) from None


def refuse(message: str, param: str, code: str = "invalid_value") -> NoReturn:
    """Refuse a field."""
    raise BadRequest(message, param=param, code=code)


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
        # A key of the caller's own map.
        return param
    return f"{param}.{step}" if param else step
