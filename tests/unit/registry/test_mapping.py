from typing import Any

import pytest

from junctor.api.conditions import SkipReason
from junctor.connectormap.entry import Entry
from junctor.registry.mapping import map_server
from junctor.registry.records import ServerRecord
from tests.support.entries import content_of
from tests.unit.registry.building import NAME, URL, credentials, hashed, mapped, plain, published, raw, ref, remote, rules, secret, skipped

SSE = {"type": "sse", "url": "https://mcp.acme.com/sse"}
BEARER = {"name": "Authorization", "value": "Bearer {token}", "variables": {"token": {"isRequired": True, "isSecret": True}}}


def test_a_server_with_a_remote_becomes_an_entry() -> None:
    assert published(raw(title="Weather")) == {
        "id": f"mcp::internal::{NAME}",
        "available": True,
        "url": URL,
        "transport": "StreamableHTTP",
        "version": "1.2.3",
        "title": "Weather",
        "description": "Forecasts.",
        "requires": ["registry/1"],
        "since": 0,
    }


def test_the_name_keeps_its_case_in_the_id() -> None:
    assert published(raw(name="com.Acme/My_Server"))["id"] == "mcp::internal::com.Acme/My_Server"


def test_a_deprecated_server_is_published_as_such() -> None:
    assert published(raw(meta={"status": "deprecated"}))["deprecated"] is True
    assert "deprecated" not in published(raw())


# --- choice of remote -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remotes", "url", "transport"),
    [
        ([SSE, remote()], URL, "StreamableHTTP"),
        ([remote(), SSE], URL, "StreamableHTTP"),
        ([remote(), remote("https://second.acme.com")], URL, "StreamableHTTP"),
        ([SSE], SSE["url"], "SSE"),
        ([{"type": "websocket", "url": URL}, SSE], SSE["url"], "SSE"),
        ([remote("https://10.0.0.1/"), remote("http://a.acme.com"), remote()], URL, "StreamableHTTP"),
        ([remote("https://mcp.acme.com/{tenant}"), SSE], SSE["url"], "SSE"),
    ],
)
def test_the_first_usable_remote_is_taken_streamable_http_before_sse(remotes: list[Any], url: str, transport: str) -> None:
    content = published(raw(*remotes))
    assert (content["url"], content["transport"]) == (url, transport)


@pytest.mark.parametrize("remotes", [None, []])
def test_a_server_that_has_only_packages_has_no_remote(remotes: Any) -> None:
    assert skipped(raw(remotes=remotes, packages=[{"registryType": "npm"}])).reason == SkipReason.NO_REMOTE


def test_transports_that_junctor_does_not_speak_are_named() -> None:
    found = skipped(raw(remote(type="websocket"), remote(type="stdio\x1b")))
    assert found == (SkipReason.UNSUPPORTED_TRANSPORT, r"it has 'stdio\x1b', 'websocket'")


def test_the_reason_is_the_one_of_the_best_remote() -> None:
    assert skipped(raw(SSE | {"url": "http://mcp.acme.com"}, remote("https://10.0.0.1"))).reason == SkipReason.PRIVATE_ADDRESS


def test_an_entry_that_is_too_large_is_refused() -> None:
    headers = [{"name": f"X-{n}", "value": "x" * 4000} for n in range(20)]
    assert skipped(raw(remote(headers=headers))).reason == SkipReason.TOO_LARGE


# --- filter -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "passes"),
    [
        ({}, True),
        ({"include": ["io.github.acme/*"]}, True),
        ({"include": ["com.example/*"]}, False),
        ({"include": ["IO.github.acme/*"]}, False),
        ({"include": []}, False),
        ({"exclude": ["*/weather"]}, False),
        ({"include": [NAME], "exclude": [NAME]}, False),
        ({"exclude": ["com.example/*"]}, True),
        ({"search": "WEATHER"}, True),
        ({"search": "acme/wea"}, True),
        ({"search": "forecasts"}, False),
        ({"statuses": ["active"]}, True),
        ({"statuses": ["deprecated"]}, False),
    ],
)
def test_the_filter_looks_at_name_and_status(chosen: dict[str, Any], passes: bool) -> None:
    found = mapped(raw(), filter=chosen)
    assert isinstance(found, Entry) if passes else found == (SkipReason.FILTERED, "")


def test_both_statuses_pass_unless_the_filter_has_one() -> None:
    record = raw(meta={"status": "deprecated"})
    assert isinstance(mapped(record), Entry)
    assert isinstance(mapped(record, filter={"statuses": ["deprecated"]}), Entry)
    assert skipped(record, filter={"statuses": ["active"]}).reason == SkipReason.FILTERED


def test_a_deleted_server_is_left_out_whatever_the_filter_says() -> None:
    assert skipped(raw(meta={"status": "deleted"}), filter={"include": [NAME]}).reason == SkipReason.DELETED


def test_the_filter_may_ask_for_a_transport() -> None:
    assert published(raw(remote(), SSE), filter={"transports": ["sse"]})["transport"] == "SSE"
    assert published(raw(SSE, remote()), filter={"transports": ["sse", "streamable-http"]})["transport"] == "StreamableHTTP"
    assert skipped(raw(remote()), filter={"transports": ["sse"]}).reason == SkipReason.UNSUPPORTED_TRANSPORT


@pytest.mark.parametrize(("chosen", "most"), [({}, 100_000), ({"maxConnectors": 5}, 5)])
def test_the_most_connectors(chosen: dict[str, Any], most: int) -> None:
    assert rules(filter=chosen).max_connectors == most


# --- URLs -------------------------------------------------------------------------------------------------------------------------------

TENANT = "https://mcp.acme.com/{tenant}/mcp"


@pytest.mark.parametrize(
    ("variable", "given", "tenant"),
    [
        ({"default": "main"}, [], "main"),
        ({"default": "main", "isRequired": True}, [], "main"),
        ({"default": "main"}, [plain("tenant", "blue")], "blue"),
        ({"isRequired": True}, [plain("tenant", "blue")], "blue"),
        ({"value": "fixed"}, [plain("tenant", "blue")], "fixed"),
        ({"value": "fixed", "default": "main", "isRequired": True}, [], "fixed"),
        ({"choices": ["blue", "green"]}, [plain("tenant", "green")], "green"),
        ({"default": 5}, [], "5"),
    ],
)
def test_a_variable_is_the_publishers_value_or_the_owners_or_the_default(variable: Any, given: list[Any], tenant: str) -> None:
    spec = {"credentials": [credentials(*given)]} if given else {}
    assert published(raw(remote(TENANT, variables={"tenant": variable})), **spec)["url"] == f"https://mcp.acme.com/{tenant}/mcp"


@pytest.mark.parametrize(
    ("variables", "given", "said"),
    [
        ({"tenant": {"isRequired": True}}, [], "its URL needs the variable 'tenant'"),
        ({"tenant": {}}, [], "its URL needs the variable 'tenant'"),
        ({}, [], "its URL needs the variable 'tenant'"),
        ({"tenant": {"isRequired": True}}, [plain("Tenant", "blue")], "its URL needs the variable 'tenant'"),
        ({"tenant": {"choices": ["blue", "green"]}}, [plain("tenant", "red")], "'tenant' of its URL must be one of 'blue', 'green'"),
        ({"tenant": {"isSecret": True}}, [secret("tenant")], "its URL asks for a secret"),
        ({"tenant": {}}, [secret("tenant")], "its URL asks for a secret"),
        ({"tenant": {"isSecret": True}}, [plain("tenant", "s3cr3t")], "'tenant' of its URL is a secret; give it with valueFrom"),
    ],
)
def test_a_url_that_cannot_be_completed_needs_configuration(variables: Any, given: list[Any], said: str) -> None:
    spec = {"credentials": [credentials(*given)]} if given else {}
    found = skipped(raw(remote(TENANT, variables=variables)), **spec)
    assert found.reason == SkipReason.CONFIGURATION_REQUIRED
    assert said in found.detail
    assert "s3cr3t" not in found.detail


def test_a_url_may_begin_with_a_variable() -> None:
    assert published(raw(remote("{base}/mcp", variables={"base": {"default": "https://a.acme.com"}})))["url"] == "https://a.acme.com/mcp"


def test_one_variable_may_stand_twice() -> None:
    url = published(raw(remote("https://{t}.acme.com/{t}{u}", variables={"t": {"default": "a"}, "u": {"default": "b"}})))["url"]
    assert url == "https://a.acme.com/ab"


@pytest.mark.parametrize(
    "variables",
    [
        {"tenant": {"value": "{tenant}"}},
        {"tenant": {"default": "{other}"}, "other": {"default": "{tenant}"}},
        {"tenant": {"default": "{a}{a}{a}{a}"}, "a": {"default": "{b}{b}{b}{b}"}, "b": {"default": "x" * 4000}},
    ],
)
def test_values_are_no_templates(variables: dict[str, Any]) -> None:
    assert skipped(raw(remote(TENANT, variables=variables))).reason == SkipReason.INVALID_RECORD


@pytest.mark.parametrize(
    "url",
    [
        "", "mcp.acme.com", "//mcp.acme.com", "ftp://mcp.acme.com", "file:///etc/passwd", "https:mcp.acme.com", "https:///mcp", "https://",
        "https://:443/", "https://mcp.acme.com:99999/", "https://mcp.acme.com:port/", "https://mcp.acme.com:-1/",
        "https://mcp.acme.com\\@10.0.0.1/", "https:\\\\mcp.acme.com", "https://mcp.acme.com\t/", "https://mcp.acme\n.com/", " https://mcp.acme.com",
        "https://mcp.acme.com/\x00", "https://mcp.acme.com/a b", "https://mcp.acme.com/{", "https://mcp.acme.com/}{", "https://mcp.acme.com/{}",
        "https://mcp%2eacme.com/", "https://10%2e0.0.1/", "https://[::1].acme.com/", "https://[mcp.acme.com]/", "https://[v1.x]/", "https://[::1/",
        "https://[fe80::1%25eth0]/", "https://[::ffff:1.2.3.4.5]/", "https://m\u00fcller.com/", "https://\uff4c\uff4fcalhost/", "https://127\u30020\u30020\u30021/",
        "https://mcp.acme.com\uff0f.evil.com/", "http\u017f://mcp.acme.com/", "https://mcp.acme.com/\u202e", "https://\U0001f600.com",
        "https://mcp.acme.com,evil.com", "https://<mcp>.acme.com", "javascript:alert(1)", "HTTPS//a.com",
    ],
)  # fmt: skip
def test_what_clients_might_read_in_different_ways_is_no_url(url: str) -> None:
    assert skipped(raw(remote(url)), allowPrivateAddresses=True, allowInsecureURLs=True).reason == SkipReason.INVALID_RECORD


@pytest.mark.parametrize(
    "url",
    ["https://mcp.acme.com@169.254.169.254/", "https://user:s3cr3t@mcp.acme.com/", "https://@mcp.acme.com/", "HTTPS://a%40b@mcp.acme.com"],
)
def test_a_url_with_user_name_or_password_is_refused_without_showing_it(url: str) -> None:
    found = skipped(raw(remote(url)), allowPrivateAddresses=True)
    assert found == (SkipReason.INVALID_RECORD, "its URL holds a user name or password")


def test_a_url_is_at_most_2048_characters_long_when_filled_in() -> None:
    record = raw(remote("https://mcp.acme.com/{a}", variables={"a": {"default": "x" * 2030}}))
    assert skipped(record).reason == SkipReason.INVALID_RECORD


@pytest.mark.parametrize(
    "url",
    ["https://MCP.Acme.COM/Path", "https://mcp.acme.com:8443", "https://xn--mller-kva.com/", "https://mcp.acme.com/a%20b?x=@y&z=[1]#f", "https://a_b.acme.com/",
     "https://8.8.8.8/mcp", "https://[2606:4700::1111]:443/mcp", "https://mcp.acme.com./"],
)  # fmt: skip
def test_other_urls_are_published_as_they_are(url: str) -> None:
    assert published(raw(remote(url)))["url"] == url


@pytest.mark.parametrize("url", ["http://mcp.acme.com/mcp", "HTTP://mcp.acme.com", "http://8.8.8.8"])
def test_http_is_insecure_unless_allowed(url: str) -> None:
    assert skipped(raw(remote(url))).reason == SkipReason.INSECURE_URL
    assert published(raw(remote(url)), allowInsecureURLs=True)["url"] == url
    assert skipped(raw(remote(url)), allowPrivateAddresses=True).reason == SkipReason.INSECURE_URL


@pytest.mark.parametrize(
    "url",
    ["https://localhost/", "https://LOCALHOST:8080", "https://10.0.0.1/", "https://2130706433/", "https://0x7f.1/", "https://0251.254.169.254/",
     "https://[::1]/", "https://[::ffff:169.254.169.254]/", "https://[64:ff9b::a9fe:a9fe]", "https://metadata.google.internal/", "https://mcp/",
     "https://weather.team-a.svc/", "https://169.254.169.254./"],
)  # fmt: skip
def test_private_addresses_are_refused_unless_allowed(url: str) -> None:
    assert skipped(raw(remote(url))).reason == SkipReason.PRIVATE_ADDRESS
    assert skipped(raw(remote(url)), allowInsecureURLs=True).reason == SkipReason.PRIVATE_ADDRESS
    assert published(raw(remote(url)), allowPrivateAddresses=True)["url"] == url


def test_a_variable_cannot_lead_to_a_private_address() -> None:
    record = raw(remote("https://{host}/mcp", variables={"host": {"default": "169.254.169.254"}}))
    assert skipped(record).reason == SkipReason.PRIVATE_ADDRESS


# --- hosts of credentials ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["https://mcp.evil.com/mcp", "https://acme.com/", "https://mcp.acme.com.evil.com/", "https://evil.com/.acme.com", "https://evil.com?.acme.com",
     "https://evil.com#.acme.com", "https://mcp-acme.com", "https://mcp.acme.com./", "https://8.8.8.8/"],
)  # fmt: skip
def test_a_server_that_moved_to_another_host_is_not_published(url: str) -> None:
    entry = credentials(auth={"bearer": ref("token")})
    found = skipped(raw(remote(url)), credentials=[entry])
    assert found.reason == SkipReason.HOST_NOT_ALLOWED
    assert "among the hosts of its credentials" in found.detail


def test_the_hosts_of_an_entry_are_published_with_it() -> None:
    entry = credentials(auth={"bearer": ref("token")}, hosts=["*.acme.com", "mcp.example.com"])
    content = published(raw(remote("https://MCP.Example.com/")), credentials=[entry])
    assert content["hosts"] == ["*.acme.com", "mcp.example.com"]
    assert content["auth"] == {"bearer": {"credential": hashed("token")}}


def test_an_entry_for_other_servers_does_not_count() -> None:
    entry = credentials(auth={"bearer": ref("token")}, servers=["com.example/*"])
    content = published(raw(remote("https://mcp.evil.com/")), credentials=[entry])
    assert "auth" not in content
    assert "hosts" not in content


def test_the_first_entry_whose_servers_and_hosts_match_is_used() -> None:
    entries = [
        credentials(auth={"bearer": ref("none")}, servers=["com.example/*"]),
        credentials(auth={"bearer": ref("wrong")}, hosts=["mcp.example.com"]),
        credentials(auth={"bearer": ref("right")}, hosts=["mcp.acme.com"]),
        credentials(auth={"bearer": ref("late")}),
    ]
    content = published(raw(), credentials=entries)
    assert content["auth"] == {"bearer": {"credential": hashed("right")}}
    assert content["hosts"] == ["mcp.acme.com"]


REGIONAL = remote("https://{region}.acme.com/", variables={"region": {"isRequired": True}})


def test_a_variable_in_the_host_is_filled_in_before_the_host_is_compared() -> None:
    assert published(raw(REGIONAL), credentials=[credentials(plain("region", "eu"))])["url"] == "https://eu.acme.com/"
    assert skipped(raw(REGIONAL), credentials=[credentials(plain("region", "evil.com/x"))]).reason == SkipReason.HOST_NOT_ALLOWED


def test_a_default_that_names_another_host_is_seen() -> None:
    record = raw(remote("https://{region}.acme.com/", variables={"region": {"default": "evil.com/"}}))
    entry = credentials(auth={"bearer": ref("token")})
    assert skipped(record, credentials=[entry]).reason == SkipReason.HOST_NOT_ALLOWED


def test_each_entry_is_compared_with_the_host_that_its_own_variables_make() -> None:
    entries = [
        credentials(plain("region", "eu"), hosts=["us.acme.com"]),
        credentials(auth={"bearer": ref("token")}),
        credentials(plain("region", "us"), hosts=["us.acme.com"]),
    ]
    content = published(raw(REGIONAL), credentials=entries)
    assert (content["url"], content["hosts"]) == ("https://us.acme.com/", ["us.acme.com"])
    assert skipped(raw(REGIONAL), credentials=entries[:2]).reason == SkipReason.HOST_NOT_ALLOWED
    assert skipped(raw(REGIONAL), credentials=entries[1:2]).reason == SkipReason.CONFIGURATION_REQUIRED


def test_another_remote_at_a_listed_host_is_taken() -> None:
    entry = credentials(auth={"bearer": ref("token")})
    assert published(raw(remote("https://mcp.evil.com/"), SSE), credentials=[entry])["url"] == SSE["url"]


# --- headers ----------------------------------------------------------------------------------------------------------------------------


def headers(*wanted: dict[str, Any], **spec: Any) -> Any:
    return published(raw(remote(headers=list(wanted))), **spec).get("headers")


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


# --- the entry --------------------------------------------------------------------------------------------------------------------------


def test_the_same_record_is_the_same_entry() -> None:
    first, second = mapped(raw()), mapped(raw(websiteUrl="https://acme.com"))
    assert isinstance(first, Entry)
    assert first == second


def test_an_entry_that_may_not_be_called_any_more_keeps_neither_address_nor_credentials() -> None:
    record = raw(remote(headers=[BEARER]), title="Weather")
    entry = map_server(ServerRecord.parse(record), rules(credentials=[credentials(secret("token"))]))
    assert isinstance(entry, Entry)
    assert entry.credentials == (hashed("token"),)
    assert content_of(entry.without_target(SkipReason.HOST_NOT_ALLOWED)) == {
        "id": f"mcp::internal::{NAME}",
        "available": False,
        "reason": "HostNotAllowed",
        "title": "Weather",
        "description": "Forecasts.",
        "version": "1.2.3",
        "requires": ["registry/1"],
        "since": 0,
    }
