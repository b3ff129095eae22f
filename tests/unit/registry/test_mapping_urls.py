"""URLs of remotes: variables, what is no URL, private addresses, and the hosts that credentials are meant for."""

from typing import Any

import pytest

from junctor.api.conditions import SkipReason
from tests.unit.registry.building import credentials, hashed, plain, published, raw, ref, remote, secret, skipped
from tests.unit.registry.remotes import SSE

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
