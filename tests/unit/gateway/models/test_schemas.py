"""Tool parameters as model servers take them."""

import copy
from typing import Any

import pytest

from junctor.gateway.models.chat_request import normalised_schemas

EMPTY = {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, EMPTY),
        ({"type": "object"}, EMPTY),
        ({"type": "object", "properties": None}, EMPTY),
        ({"type": ["object", "null"]}, EMPTY),
        ({"properties": {"a": {"type": "string"}}}, {"type": "object", "properties": {"a": {"type": "string"}}}),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "x", "type": "object"}, EMPTY),
        ({"$defs": {}}, EMPTY),
        ({"required": ["a"], "additionalProperties": False}, {**EMPTY, "required": ["a"], "additionalProperties": False}),
    ],
)
def test_parameters_are_an_object_with_properties(given: dict[str, Any], sent: dict[str, Any]) -> None:
    assert normalised_schemas([("tool", given)]) == [sent]


def place(kind: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"at": {"$ref": "#/$defs/Place"}, "all": {"type": "array", "items": {"$ref": "#/$defs/Place/properties/x"}}},
        "$defs": {"Place": {"type": kind, "properties": {"in": {"$ref": "#/$defs/Place"}}}},
    }


def test_equal_definitions_stay() -> None:
    assert normalised_schemas([("a", place("object")), ("b", place("object"))]) == [place("object")] * 2


def test_definition_with_two_meanings_gets_two_names() -> None:
    first, second, third = normalised_schemas([("a", place("object")), ("b", place("string")), ("c", place("object"))])
    assert first == third == place("object")
    assert list(second["$defs"]) == ["Place__b"]
    assert second["properties"]["at"] == {"$ref": "#/$defs/Place__b"}
    assert second["properties"]["all"]["items"] == {"$ref": "#/$defs/Place__b/properties/x"}
    assert second["$defs"]["Place__b"]["properties"]["in"] == {"$ref": "#/$defs/Place__b"}


def test_definitions_that_lean_on_a_renamed_one_are_renamed_too() -> None:
    def two(kind: str) -> dict[str, Any]:
        return {**EMPTY, "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"type": kind}}}

    _, second = normalised_schemas([("a", two("string")), ("b", two("number"))])
    assert second["$defs"] == {"A__b": {"$ref": "#/$defs/B__b"}, "B__b": {"type": "number"}}


def test_new_name_may_be_taken() -> None:
    taken = {**EMPTY, "$defs": {"P__b": {"type": "null"}, "P": {"type": "string"}}}
    _, second = normalised_schemas([("a", taken), ("b", {**EMPTY, "$defs": {"P": {"type": "number"}}})])
    assert list(second["$defs"]) == ["P__b_2"]


def test_old_place_of_definitions_is_moved() -> None:
    given = {"type": "object", "properties": {"a": {"$ref": "#/definitions/x~1y"}}, "definitions": {"x/y": {"type": "string"}}}
    [sent] = normalised_schemas([("a", given)])
    assert sent == {"type": "object", "properties": {"a": {"$ref": "#/$defs/x~1y"}}, "$defs": {"x/y": {"type": "string"}}}


def test_names_and_data_that_look_like_keywords_stay() -> None:
    given = {
        "type": "object",
        "properties": {"$ref": {"type": "string"}, "enum": {"$ref": "#/definitions/X"}},
        "default": {"$ref": "#/definitions/X"},
        "definitions": {"X": {"const": {"$ref": "#/definitions/X"}}},
    }
    [sent] = normalised_schemas([("a", given)])
    assert sent["properties"] == {"$ref": {"type": "string"}, "enum": {"$ref": "#/$defs/X"}}
    assert sent["default"] == {"$ref": "#/definitions/X"}
    assert sent["$defs"] == {"X": {"const": {"$ref": "#/definitions/X"}}}


def test_given_schemas_are_not_changed() -> None:
    given = [("a", place("object")), ("b", place("string"))]
    before = copy.deepcopy(given)
    normalised_schemas(given)
    assert given == before
