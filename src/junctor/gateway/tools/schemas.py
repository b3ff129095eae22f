"""Schemas of tools as model servers take them."""

from collections.abc import Mapping
from typing import Any, Final

_DEFINITIONS: Final = "#/$defs/"


def model_schema(schema: Mapping[str, Any], visible: str) -> dict[str, Any]:
    """A schema of an object with properties, whose definitions have names of their own.

    A model server that forces a call puts the schemas of all tools into one, where equal names of definitions must mean the same.
    visible: the name of the tool.
    """
    properties = schema.get("properties")
    prepared = {**schema, "type": "object", "properties": properties if isinstance(properties, dict) else {}}
    definitions = prepared.get("$defs")
    if not isinstance(definitions, dict) or not definitions:
        return prepared
    try:
        renamed = {key: _renamed(value, visible) for key, value in prepared.items() if key != "$defs"}
        renamed["$defs"] = {f"{visible}.{name}": _renamed(value, visible) for name, value in definitions.items()}
    except RecursionError:
        return prepared
    return renamed


def _renamed(value: Any, visible: str) -> Any:
    if isinstance(value, list):
        return [_renamed(inner, visible) for inner in value]
    if not isinstance(value, dict):
        return value
    return {
        key: f"{_DEFINITIONS}{visible}.{inner.removeprefix(_DEFINITIONS)}"
        if key == "$ref" and isinstance(inner, str) and inner.startswith(_DEFINITIONS)
        else _renamed(inner, visible)
        for key, inner in value.items()
    }
