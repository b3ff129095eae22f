"""The grammar of header names and values (RFC 9110, section 5)."""

import pytest

from junctor.net.headers import is_ascii_header_value, is_header_name, is_header_value


@pytest.mark.parametrize("name", ["X-Api-Key", "a", "!#$%&'*+-.^_`|~0"])
def test_tokens_are_names(name: str) -> None:
    assert is_header_name(name)


@pytest.mark.parametrize("name", ["", "a b", "a:", "é", "a\n", "x" * 129])
def test_anything_else_is_no_name(name: str) -> None:
    assert not is_header_name(name)


@pytest.mark.parametrize(
    ("value", "sendable", "ascii_only"), [("", True, True), ("a\tb c", True, True), ("café", True, False), ("日", False, False)]
)
def test_values_are_one_line(value: str, sendable: bool, ascii_only: bool) -> None:
    assert (is_header_value(value), is_ascii_header_value(value)) == (sendable, ascii_only)
    assert not is_header_value(f"{value}\n")
    assert not is_ascii_header_value(f"{value}\r\nx: y")
