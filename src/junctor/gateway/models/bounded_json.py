"""Reads JSON of model servers, and JSON in strings of requests, whose values nobody has counted yet."""

import json
import math
from typing import Any, Final

from junctor.net.json_shape import check_shape

_MAX_VALUES: Final = 100_000
_MAX_DEPTH: Final = 200


def parse_bounded(text: str | bytes) -> Any:
    """Return the value of JSON. Raises ValueError, also for more than 100,000 values and for more than 200 levels."""
    return json.loads(_bounded(text))


def parse_exactly(text: str) -> Any:
    """Return the value of JSON as `parse_bounded` does. Raises ValueError for numbers that JSON or a float cannot express, too."""
    return json.loads(_bounded(text), parse_constant=_refuse_constant, parse_float=_finite)


def _bounded(text: str | bytes) -> str:
    body = text.encode(errors="replace") if isinstance(text, str) else text
    check_shape(body, max_values=_MAX_VALUES, max_depth=_MAX_DEPTH)
    return text if isinstance(text, str) else body.decode()


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number[:40]} is too large")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
