"""The grammar of header names and values (RFC 9110, section 5)."""

import pytest

from junctor.net.headers import carries_credential, is_ascii_header_value, is_callers_header, is_header_name, is_header_value


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


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "TE",
        "X-Forwarded-For",
        "x_forwarded.user",
        "REMOTE_USER",
        "X-Original-URL",
        "Content-Encoding",
        "Mcp-Anything",
        "Via",
        "SSL-X",
    ],
)
def test_names_that_say_who_asks_or_how_it_is_transported_are_no_callers_in_any_spelling(name: str) -> None:
    assert not any(map(is_callers_header, (name, name.lower(), name.upper(), name.replace("-", "_"))))


@pytest.mark.parametrize("name", ["X-Request-Id", "X-Hostname", "Hosts", "Viable", "Contents", "Tea", "Accept-Language", "X-Api-Key"])
def test_other_names_are(name: str) -> None:
    assert is_callers_header(name)


@pytest.mark.parametrize(
    ("name", "carries"),
    [
        *[
            (name, True)
            for name in ("X-Api-Key", "apikey", "X_Api_Key", "Private-Token", "X-Amz-Date", "X-AccessKey", "X-Auth", "X-User-Id")
        ],
        *[
            (name, False)
            for name in (
                "X-Author",
                "X-Monkey",
                "User-Agent",
                "Idempotency-Key",
                "X-Request-Id",
                "Traceparent",
                "X-Amzn-Trace-Id",
                "X-Team",
            )
        ],
    ],
)
def test_names_tell_what_carries_a_credential(name: str, carries: bool) -> None:
    assert carries_credential(name) is carries
