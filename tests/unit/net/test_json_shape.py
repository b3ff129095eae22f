import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from junctor.net.json_shape import NestedTooDeeply, TooManyValues, check_shape

SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["[", '"', "\\", '\\"', "{,:}]", "é[", "\u2028,"])
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=5))
MANY = 1 << 40


def values(document: Any) -> int:
    if isinstance(document, dict):
        return 1 + sum(1 + values(value) for value in document.values())
    return 1 + (sum(map(values, document)) if isinstance(document, list) else 0)


def empty_containers(document: Any) -> int:
    inner = list(document.values()) if isinstance(document, dict) else document
    if not isinstance(inner, list):
        return 0
    return sum(map(empty_containers, inner)) if inner else 1


def depth(document: Any) -> int:
    inner = list(document.values()) if isinstance(document, dict) else document
    return 1 + max(map(depth, inner), default=0) if isinstance(inner, list) else 0


@given(JSON, st.booleans(), st.sampled_from([None, 2]))
def test_the_limits_are_exact(document: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode(errors="replace")
    # An empty list counts like one with a member.
    counted = values(document) + empty_containers(document)
    check_shape(text, max_values=counted, max_depth=depth(document))
    if values(document) > 1:
        with pytest.raises(TooManyValues, match=f"more than {values(document) - 1} values"):
            check_shape(text, max_values=values(document) - 1, max_depth=MANY)
    if depth(document):
        with pytest.raises(NestedTooDeeply, match=f"more than {depth(document) - 1} levels"):
            check_shape(text, max_values=MANY, max_depth=depth(document) - 1)


@pytest.mark.parametrize("slice_end", range(65_530, 65_542))
@pytest.mark.parametrize("tail", ['"', '\\"', "\\\\", "\\\\\\", '\\\\",', "[,"])
def test_a_string_may_cross_the_slices(slice_end: int, tail: str) -> None:
    text = json.dumps(["x" * (slice_end - 2) + tail, "y" * 70_000, [1, [2]]]).encode()
    check_shape(text, max_values=7, max_depth=3)
    with pytest.raises(TooManyValues):
        check_shape(text, max_values=6, max_depth=3)
    with pytest.raises(NestedTooDeeply):
        check_shape(text, max_values=7, max_depth=2)


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b"[{" * 100_000, b"[" * 300 + b"]" * 300])
def test_depth_without_an_end_is_refused(text: bytes) -> None:
    with pytest.raises(NestedTooDeeply):
        check_shape(text, max_values=MANY, max_depth=200)


def test_wide_is_not_deep() -> None:
    check_shape(b"[" + b"[[]]," * 1000 + b"[]]", max_values=MANY, max_depth=3)
    with pytest.raises(NestedTooDeeply):
        check_shape(b"[" + b"[[]]," * 1000 + b"[]]", max_values=MANY, max_depth=2)


@pytest.mark.parametrize("text", [b"", b'"', b"\\", b'\\"[,[', b"]]]]", b"not JSON", b'"' * 1000, b"\xff\x00"])
def test_what_is_no_json_is_the_parsers_matter(text: bytes) -> None:
    check_shape(text, max_values=1000, max_depth=10)
