from collections.abc import Mapping
from typing import Any

import pytest

from junctor.connectormap.policy import Limits
from junctor.connectormap.view import EntryView
from junctor.gateway.mcp.target import Target, target_of_entry, target_of_params
from junctor.gateway.tools.server_errors import EntryUnusable, RequestRefused
from tests.unit.gateway.maps import bearer, content, discovered

KEY = "3f7a000000000000.1b2c000000000000"
SECRET = "s3cr3t-value"


def bind(entry: Mapping[str, Any], credentials: Mapping[str, bytes], authorization: str | None, headers: Mapping[str, str]) -> Target:
    return target_of_entry(EntryView(entry), credentials, authorization, headers)


def test_headers_and_bearer_of_the_entry_are_sent() -> None:
    entry = content("a", headers=[{"name": "X-Team", "value": "red"}, {"name": "X-Key", "credential": KEY}], auth=bearer(KEY))
    target = bind(entry, {KEY: b"s3cr3t-value\n"}, None, {"X-Trace": "1"})
    assert target.headers == {"x-team": "red", "x-key": SECRET, "authorization": f"Bearer {SECRET}", "x-trace": "1"}


def test_a_header_of_several_parts_is_put_together() -> None:
    parts = ["Token ", {"credential": KEY}, "; v=", {"credential": KEY}]
    entry = content("a", headers=[{"name": "X-Key", "parts": parts}])
    assert bind(entry, {KEY: b"s3cr3t-value\n"}, None, {}).headers == {"x-key": f"Token {SECRET}; v={SECRET}"}


def test_parts_whose_credential_is_missing_are_refused() -> None:
    entry = content("a", headers=[{"name": "X-Key", "parts": ["Token ", {"credential": KEY}]}])
    with pytest.raises(EntryUnusable, match="its credential is not here yet"):
        bind(entry, {}, None, {})


@pytest.mark.parametrize("fields", [{"hosts": ["other.example.com"]}, {"hosts": []}, {}])
def test_a_discovered_server_gets_no_credential_on_a_host_that_is_not_listed(fields: dict[str, Any]) -> None:
    entry = discovered(headers=[{"name": "X-Key", "credential": KEY}], **fields)
    with pytest.raises(EntryUnusable, match="HostNotAllowed") as caught:
        bind(entry, {KEY: SECRET.encode()}, None, {})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "public_only"), [({}, False), ({"addresses": "any"}, False), ({"addresses": "public"}, True), ({"addresses": "x"}, True)]
)
def test_addresses_that_are_not_known_mean_public_ones(fields: dict[str, Any], public_only: bool) -> None:
    assert bind(content("a", **fields), {}, None, {}).public_only is public_only


def test_the_callers_authorization_replaces_that_of_the_entry() -> None:
    target = bind(content("a", auth=bearer(KEY)), {}, "mine", {})
    assert target.headers["authorization"] == "Bearer mine"


def test_require_refuses_requests_without_authorization_and_names_the_rule() -> None:
    with pytest.raises(RequestRefused, match="callerAuthorization: Require") as caught:
        bind(content("a", callerAuthorization="Require"), {}, None, {})
    assert (caught.value.field, caught.value.code) == ("authorization", "missing_required_parameter")


@pytest.mark.parametrize("rule", ["Forbid", "SomethingNewer"])
def test_forbid_and_rules_that_are_not_known_refuse_the_callers_authorization(rule: str) -> None:
    with pytest.raises(RequestRefused, match=f"callerAuthorization: {rule}") as caught:
        bind(content("a", callerAuthorization=rule), {}, "mine", {})
    assert (caught.value.field, caught.value.code) == ("authorization", "invalid_value")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Authorization", "use `authorization`"),
        ("AUTHORIZATION", "use `authorization`"),
        ("Host", "set by the gateway"),
        ("Mcp-Session-Id", "set by the gateway"),
        ("mcp-anything", "set by the gateway"),
        ("Accept-Encoding", "set by the gateway"),
        ("Cookie", "set by the gateway"),
        ("X-Forwarded-User", "says who asks"),
        ("X_Remote_User", "says who asks"),
        ("x-team", "set by the connector"),
        ("X_Team", "set by the connector"),
        ("bad name", "not a valid name"),
    ],
)
def test_callers_do_not_set_reserved_or_spec_set_headers(name: str, says: str) -> None:
    with pytest.raises(RequestRefused, match=says) as caught:
        bind(content("a", headers=[{"name": "X-Team", "value": "red"}]), {}, None, {name: "v"})
    assert (caught.value.field, caught.value.code) == ("headers", "invalid_value")


@pytest.mark.parametrize(
    "own",
    [
        {"auth": bearer(KEY)},
        {"headers": [{"name": "X-Key", "credential": KEY}]},
        {"headers": [{"name": "X-Key", "parts": ["Token ", {"credential": KEY}]}]},
    ],
)
def test_a_credential_of_the_caller_is_refused_beside_one_of_the_connector_and_taken_elsewhere(own: dict[str, Any]) -> None:
    with pytest.raises(RequestRefused, match="credential of its own") as caught:
        bind(content("a", **own), {KEY: SECRET.encode()}, None, {"Private-Token": "mine"})
    assert caught.value.field == "headers"
    assert bind(content("a", **own), {KEY: SECRET.encode()}, None, {"X-Trace": "1"}).headers["x-trace"] == "1"
    unkeyed = content("a", headers=[{"name": "X-Team", "value": "red"}])
    assert bind(unkeyed, {}, "token", {"Private-Token": "mine"}).headers["private-token"] == "mine"
    assert target_of_params("https://x.example.com", "token", {"Private-Token": "mine"}).headers["private-token"] == "mine"


@pytest.mark.parametrize("rule", ["Forbid", "SomethingNewer"])
@pytest.mark.parametrize("named", [{}, {"callerHeaders": ["X-Trace"]}])
def test_forbid_and_rules_that_are_not_known_refuse_every_header(rule: str, named: dict[str, Any]) -> None:
    with pytest.raises(RequestRefused, match=f"callerAuthorization: {rule}") as caught:
        bind(content("a", callerAuthorization=rule, **named), {}, None, {"X-Trace": "1"})
    assert caught.value.field == "headers"


def test_a_connector_takes_the_headers_that_it_names_and_no_others() -> None:
    entry = content("a", auth=bearer(KEY), callerHeaders=["X-Api-Key", "x-tenant", "X-Forwarded-For"])
    held = {KEY: SECRET.encode()}
    sent = bind(entry, held, None, {"x-api-key": "mine", "X-Tenant": "red"}).headers
    assert (sent["x-api-key"], sent["x-tenant"]) == ("mine", "red")
    for name, says in (("X-Trace", "not among the callerHeaders"), ("X_Tenant", "not among"), ("X-Forwarded-For", "says who asks")):
        with pytest.raises(RequestRefused, match=says):
            bind(entry, held, None, {name: "1"})
    with pytest.raises(RequestRefused, match="not among the callerHeaders"):
        bind(content("a", callerHeaders=[]), {}, None, {"X-Trace": "1"})


@pytest.mark.parametrize("value", ["a\r\nb", "\x00", "€"])
def test_values_that_are_no_header_values_are_refused_without_repeating_them(value: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        target_of_params("https://x.example.com", None, {"X-A": SECRET + value})
    assert SECRET not in str(caught.value)
    with pytest.raises(RequestRefused):
        target_of_params("https://x.example.com", SECRET + value, {})


@pytest.mark.parametrize("held", [{}, {KEY: b"two\nlines"}, {KEY: b"  \n"}])
def test_a_credential_that_is_missing_or_no_header_value_is_refused(held: dict[str, bytes]) -> None:
    with pytest.raises(EntryUnusable, match="credential") as caught:
        bind(content("a", auth=bearer(KEY)), held, None, {})
    assert "lines" not in str(caught.value).removesuffix("more than one line; correct its Secret")


@pytest.mark.parametrize(
    "url", ["ftp://x.example.com", "https://", "https://user:pw@x.example.com/", "nonsense", "https://0177.0.0.1", "https://x:port"]
)
def test_urls_that_cannot_be_called_are_refused(url: str) -> None:
    with pytest.raises(EntryUnusable) as caught:
        target_of_params(url, None, {})
    assert "pw" not in str(caught.value)


def test_limits_transport_and_ca_bundle_come_from_the_entry() -> None:
    limits = {"connectTimeoutSeconds": 1, "callTimeoutSeconds": 2, "maxConcurrentCalls": 3, "maxResultBytes": 4}
    target = bind(content("a", limits=limits, transport="SSE", tls={"caBundle": "PEM"}), {}, None, {})
    assert (target.limits, target.transport, target.ca_bundle) == (Limits(1.0, 2.0, 3, 4), "SSE", "PEM")


def test_a_transport_that_is_not_known_fails_closed() -> None:
    with pytest.raises(EntryUnusable, match="transport"):
        bind(content("a", transport="Carrier"), {}, None, {})


def test_nothing_of_a_credential_is_in_a_repr() -> None:
    target = bind(content("a", headers=[{"name": "X-Key", "credential": KEY}]), {KEY: SECRET.encode()}, SECRET, {})
    assert SECRET not in repr(target)
    assert SECRET not in target.identity


def test_the_identity_differs_by_credential_and_not_by_the_order_of_headers() -> None:
    one, other = (target_of_params("https://x.example.com", token, {}).identity for token in ("a", "b"))
    assert one != other
    headers = {"X-A": "1", "X-B": "2"}
    swapped = dict(reversed(headers.items()))
    assert (
        target_of_params("https://x.example.com", None, headers).identity
        == target_of_params("https://x.example.com", None, swapped).identity
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"headers": [{"name": "X-Key"}]},
        {"auth": "token"},
        {"limits": {"callTimeoutSeconds": "soon"}},
        {"tools": []},
        {"callerHeaders": "X-A"},
        {"url": None},
    ],
)
def test_an_entry_of_another_form_is_unusable(fields: dict[str, Any]) -> None:
    with pytest.raises(EntryUnusable, match="connector a"):
        bind(content("a", **fields), {}, None, {})


PARTS = ["https://mcp.example.com/s/", {"credential": KEY}, "/mcp?k=", {"credential": KEY}]
KEYED: dict[str, Any] = {"url": "https://mcp.example.com/s/{key}/mcp?k={key}", "urlParts": PARTS}


def test_credentials_in_the_url_are_one_part_of_its_path_or_query() -> None:
    target = bind(content("a", **KEYED), {KEY: b"a/../?b#c%41&d=\xe9 \n"}, None, {})
    quoted = "a%2F..%2F%3Fb%23c%2541%26d%3D%C3%A9"
    assert target.url == f"https://mcp.example.com/s/{quoted}/mcp?k={quoted}"
    assert quoted not in repr(target)


@pytest.mark.parametrize("value", [b".", b"..", b" .. ", b"", b"a\nb"])
def test_credentials_that_name_another_path_are_refused(value: bytes) -> None:
    with pytest.raises(EntryUnusable, match="correct its Secret"):
        bind(content("a", **KEYED), {KEY: value}, None, {})


@pytest.mark.parametrize(
    "parts",
    [["https://evil.example.org/s/", {"credential": KEY}], ["https://", {"credential": KEY}, "/mcp"], [{"credential": KEY}], [1], "x"],
)
def test_the_host_is_that_of_the_url_whatever_the_parts_say(parts: Any) -> None:
    with pytest.raises(EntryUnusable, match="connector a") as caught:
        bind(content("a", **KEYED | {"urlParts": parts}), {KEY: b"evil.example.org"}, None, {})
    assert "evil" not in str(caught.value)


def test_a_callers_credential_is_refused_beside_one_in_the_url() -> None:
    with pytest.raises(RequestRefused, match="credential of its own"):
        bind(content("a", **KEYED), {KEY: b"k"}, None, {"X-Api-Key": "mine"})
