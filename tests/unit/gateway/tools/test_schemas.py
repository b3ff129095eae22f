"""Schemas of tools as model servers take them."""

from typing import Any

from junctor.gateway.tools.schemas import model_schema


def test_a_schema_is_of_an_object_with_properties() -> None:
    assert model_schema({}, "t") == {"type": "object", "properties": {}}
    assert model_schema({"properties": None, "required": []}, "t") == {"type": "object", "properties": {}, "required": []}


def test_definitions_of_two_tools_are_told_apart() -> None:
    schema = {
        "type": "object",
        "properties": {
            "at": {"$ref": "#/$defs/Place"},
            "$ref": {"type": "string"},
            "all": {"anyOf": [{"$ref": "#/$defs/Place/properties/x"}]},
        },
        "$defs": {"Place": {"type": "object", "properties": {"x": {}, "in": {"$ref": "#/$defs/Place"}}}},
    }
    assert model_schema(schema, "t") == {
        "type": "object",
        "properties": {
            "at": {"$ref": "#/$defs/t.Place"},
            "$ref": {"type": "string"},
            "all": {"anyOf": [{"$ref": "#/$defs/t.Place/properties/x"}]},
        },
        "$defs": {"t.Place": {"type": "object", "properties": {"x": {}, "in": {"$ref": "#/$defs/t.Place"}}}},
    }
    assert "Place" in schema["$defs"]


def test_a_schema_that_is_too_deep_stays_as_it_is() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"not": deep}
    assert model_schema({"properties": {"x": deep}, "$defs": {"A": {}}}, "t")["$defs"] == {"A": {}}
