"""Headers of remotes: values of the publisher, values of the owner, and authorization."""

from typing import Any

import pytest

from junctor.api.conditions import SkipReason
from tests.unit.registry.building import credentials, hashed, plain, published, raw, ref, remote, secret, skipped
from tests.unit.registry.remotes import BEARER, headers


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ({"value": "fixed"}, "fixed"),
        ({"default": "usual"}, "usual"),
        ({"default": "usual", "isRequired": True}, "usual"),
        ({"value": "{a}/{b}", "variables": {"a": {"default": "1"}, "b": {"value": "2"}}}, "1/2"),
        ({"value": "{id} stays"}, "{id} stays"),
        ({"value": "{id} {a}", "variables": {"a": {"default": "1"}}}, "{id} 1"),
        ({"value": "{a}", "variables": {"a": {"default": "{a}{b}"}, "b": {"default": "2"}}}, "{a}{b}"),
        ({"value": '{"json": [1]}'}, '{"json": [1]}'),
        ({"default": True}, "true"),
    ],
)
def test_a_header_has_the_publishers_value_or_default(header: dict[str, Any], value: str) -> None:
    assert headers({"name": "X-Team"} | header) == [{"name": "X-Team", "value": value}]


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"isSecret": True},
        {"value": "{a}", "variables": {"a": {}}},
        {"value": "{id}{a}", "variables": {"a": {"isSecret": True}}},
        {"value": ""},
    ],
)
def test_an_optional_header_without_a_value_is_left_out(header: dict[str, Any]) -> None:
    assert headers({"name": "X-Team"} | header) is None


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"isRequired": True}, "it needs the header 'X-Team'"),
        ({"isRequired": True, "value": "{a}", "variables": {"a": {}}}, "the header 'X-Team' needs the variable 'a'"),
        ({"value": "{a}", "variables": {"a": {"isRequired": True}}}, "the header 'X-Team' needs the variable 'a'"),
        ({"value": "{id}{a}", "variables": {"a": {"isRequired": True}}}, "the header 'X-Team' needs the variable 'a'"),
        ({"value": "{a}{b}", "variables": {"a": {}, "b": {"isRequired": True}}}, "the header 'X-Team' needs the variable 'b'"),
    ],
)
def test_what_is_required_and_missing_is_named(header: dict[str, Any], said: str) -> None:
    found = skipped(raw(remote(headers=[{"name": "X-Team"} | header])))
    assert found == (SkipReason.CONFIGURATION_REQUIRED, said)


@pytest.mark.parametrize(
    ("header", "variable", "expected"),
    [
        ({}, plain("X-Team", "blue"), {"value": "blue"}),
        ({"isRequired": True, "isSecret": True}, secret("X-Team"), {"credential": hashed("token")}),
        ({"default": "usual"}, secret("X-Team"), {"credential": hashed("token")}),
        ({"value": "fixed"}, plain("X-Team", "blue"), {"value": "fixed"}),
        ({"value": "{a}"}, secret("a"), {"credential": hashed("token")}),
        ({"value": "{a}"}, plain("a", "{a}"), {"value": "{a}"}),
        ({"value": "Key {a}!"}, secret("a"), {"parts": ["Key ", {"credential": hashed("token")}, "!"]}),
        ({"value": "{a}{a}"}, secret("a"), {"parts": [{"credential": hashed("token")}] * 2}),
        ({"value": "{b}{a}", "variables": {"b": {"default": "x"}}}, secret("a"), {"parts": ["x", {"credential": hashed("token")}]}),
    ],
)
def test_the_owner_gives_values_and_secrets(header: dict[str, Any], variable: dict[str, Any], expected: dict[str, Any]) -> None:
    assert headers({"name": "X-Team"} | header, credentials=[credentials(variable)]) == [{"name": "X-Team"} | expected]


def test_what_the_publisher_calls_a_secret_is_not_taken_from_the_resource() -> None:
    record = raw(remote(headers=[BEARER]))
    found = skipped(record, credentials=[credentials(plain("token", "s3cr3t"))])
    assert found.reason == SkipReason.CONFIGURATION_REQUIRED
    assert "valueFrom" in found.detail
    assert "s3cr3t" not in found.detail


def test_the_owners_header_wins_and_satisfies_the_publisher() -> None:
    own = credentials(headers=[{"name": "x-TEAM", "value": "own"}, {"name": "X-Key", "valueFrom": ref("key")}])
    found = headers(
        {"name": "X-Team", "value": "theirs"}, {"name": "X-KEY", "isRequired": True}, {"name": "X-Other", "value": "o"}, credentials=[own]
    )
    assert sorted(found, key=str) == [
        {"name": "X-Key", "credential": hashed("key")},
        {"name": "X-Other", "value": "o"},
        {"name": "x-TEAM", "value": "own"},
    ]


@pytest.mark.parametrize(
    "name", ["Host", "content-LENGTH", "Mcp-Session-Id", "Transfer-Encoding", "X Team", "X-Team:", "X-\u00e9", "X-Team\r\nX-Evil"]
)
def test_headers_that_a_publisher_cannot_set_make_a_record_invalid(name: str) -> None:
    assert skipped(raw(remote(headers=[{"name": name, "value": "a"}]))).reason == SkipReason.INVALID_RECORD


@pytest.mark.parametrize("value", ["a\r\nX-Evil: b", "a\x00", "caf\u00e9", "\u202e", "a\x7f"])
def test_header_values_are_printable_ascii(value: str) -> None:
    assert skipped(raw(remote(headers=[{"name": "X-Team", "value": value}]))).reason == SkipReason.INVALID_RECORD
    assert skipped(raw(remote(headers=[{"name": "X-Team", "default": value}]))).reason == SkipReason.INVALID_RECORD
    variables = {"a": {"default": value}}
    assert skipped(raw(remote(headers=[{"name": "X-Team", "value": "{a}", "variables": variables}]))).reason == SkipReason.INVALID_RECORD


def test_a_header_that_grows_with_its_variables_is_bounded() -> None:
    header = {"name": "X-Team", "value": "{a}" * 1000, "variables": {"a": {"default": "x" * 4096}}}
    assert skipped(raw(remote(headers=[header]))).reason == SkipReason.INVALID_RECORD


# --- authorization ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["Bearer {token}", "bearer {token}"])
def test_a_bearer_token_is_the_entrys_auth(value: str) -> None:
    content = published(raw(remote(headers=[BEARER | {"value": value}])), credentials=[credentials(secret("token"))])
    assert content["auth"] == {"bearer": {"credential": hashed("token")}}
    assert "headers" not in content


@pytest.mark.parametrize("value", ["Basic {token}", "Bearer{token}", "Bearer {token} x", "Bearer {token}{token}"])
def test_other_authorization_is_a_header(value: str) -> None:
    content = published(raw(remote(headers=[BEARER | {"value": value}])), credentials=[credentials(secret("token"))])
    assert content["headers"][0]["name"] == "Authorization"
    assert "auth" not in content


def test_the_owners_bearer_token_replaces_the_publishers_authorization() -> None:
    content = published(raw(remote(headers=[BEARER])), credentials=[credentials(secret("token", "theirs"), auth={"bearer": ref("own")})])
    assert content["auth"] == {"bearer": {"credential": hashed("own")}}
    assert "headers" not in content


def test_the_owners_authorization_header_replaces_the_publishers() -> None:
    own = credentials(headers=[{"name": "authorization", "valueFrom": ref("own")}])
    content = published(raw(remote(headers=[BEARER])), credentials=[own])
    assert content["headers"] == [{"name": "authorization", "credential": hashed("own")}]
    assert "auth" not in content


@pytest.mark.parametrize("mode", ["Allow", "Forbid"])
def test_required_authorization_needs_configuration(mode: str) -> None:
    record = raw(remote(headers=[BEARER]))
    found = skipped(record, connectorTemplate={"callerAuthorization": mode})
    assert found == (SkipReason.CONFIGURATION_REQUIRED, "the header 'Authorization' needs the variable 'token'")


def test_callers_bring_the_authorization_when_they_have_to() -> None:
    content = published(
        raw(remote(headers=[BEARER, {"name": "X-Team", "value": "a"}])), connectorTemplate={"callerAuthorization": "Require"}
    )
    assert content["headers"] == [{"name": "X-Team", "value": "a"}]
    assert "auth" not in content
    needy = raw(remote(headers=[BEARER, {"name": "X-Key", "isRequired": True}]))
    assert skipped(needy, connectorTemplate={"callerAuthorization": "Require"}).reason == SkipReason.CONFIGURATION_REQUIRED
