"""Values of a JSON text are counted without parsing it."""

import json
import random
from typing import Any

import pytest

from junctor.net.json_values import count_values, has_more_values

MANY = 10**9


def structure(value: Any) -> int:
    """Commas and opening brackets that a value's text needs."""
    match value:
        case dict():
            return max(len(value), 1) + sum(map(structure, value.values()))
        case list():
            return max(len(value), 1) + sum(map(structure, value))
        case _:
            return 0


def random_value(random: random.Random, depth: int = 4) -> Any:
    kinds = 6 if depth else 4
    match random.randrange(kinds):
        case 0 | 1:
            return "".join(random.choices('",[{}]\\:ab\néß', k=random.randrange(12)))
        case 2:
            return random.choice([None, True, 1.5, -3, 10**20])
        case 3:
            return random.choice(["\\", '"', '\\"', "[,{", ""])
        case 4:
            return [random_value(random, depth - 1) for _ in range(random.randrange(5))]
        case _:
            return {random_value(random, 0).__repr__(): random_value(random, depth - 1) for _ in range(random.randrange(5))}


@pytest.mark.parametrize("ascii_only", [True, False])
def test_strings_are_not_counted_whatever_they_contain(ascii_only: bool) -> None:
    numbers = random.Random(4)
    for _ in range(500):
        value = [random_value(numbers) for _ in range(20)]
        text = json.dumps(value, ensure_ascii=ascii_only).encode()
        assert count_values(text, MANY) == structure(value)


@pytest.mark.parametrize("unit", ['"a,b",', '"\\\\",', '"\\"[",', "[],", '{"a":1},', '"' + "," * 70_000 + '",'])
def test_texts_of_many_windows_are_counted_alike(unit: str) -> None:
    once = count_values(unit.encode(), MANY)
    assert once in (1, 2)
    assert count_values(f"[{unit * 30_000}]".encode(), MANY) == once * 30_000 + 1


@pytest.mark.parametrize("text", [b'[1,2,"x"]', b'["[[[[,,,,",{},1]', b'["a\\"[[,",[[]]]'])
def test_more_is_told_apart_from_as_many(text: bytes) -> None:
    values = count_values(text, MANY)
    assert has_more_values(text, values - 1)
    assert not has_more_values(text, values)


def test_a_flood_is_not_counted_to_its_end() -> None:
    assert count_values(b"[]," * 1_000_000, 1000) < 100_000
    assert has_more_values(b"[]," * 1_000_000, 1000)


@pytest.mark.parametrize("text", [b"", b"null", b'"', b'"\\', b'"never ends [[[', b"\xff\xfe"])
def test_what_is_no_json_is_counted_without_an_error(text: bytes) -> None:
    assert count_values(text, MANY) == 0
