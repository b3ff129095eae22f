"""Credentials go only to hosts that their owner listed, for every form of a URL."""

import pytest

from junctor.connectormap.target import Target
from junctor.gateway.serving.connector import is_host_allowed

OWN, DISCOVERED = "github", "mcp::internal::io.github.acme/weather"
URL = "https://mcp.acme.com/mcp"


@pytest.mark.parametrize(
    ("connector_id", "has_credentials", "allowed"),
    [(OWN, True, True), (OWN, False, True), (DISCOVERED, True, False), (DISCOVERED, False, True)],
)
def test_without_a_list_of_hosts_only_an_owner_who_chose_the_url_sends_credentials(
    connector_id: str, has_credentials: bool, allowed: bool
) -> None:
    assert is_host_allowed(connector_id, Target(URL), has_credentials=has_credentials) is allowed


@pytest.mark.parametrize("connector_id", [OWN, DISCOVERED])
@pytest.mark.parametrize("has_credentials", [True, False])
@pytest.mark.parametrize(
    ("hosts", "url", "allowed"),
    [
        (("mcp.acme.com",), URL, True),
        (("*.acme.com",), URL, True),
        (("MCP.ACME.com",), URL, True),
        (("mcp.acme.com",), "https://MCP.Acme.com:8443/mcp?a=b", True),
        (("10.0.0.?",), "http://10.0.0.7/mcp", True),
        (("::1",), "http://[::1]:8000/mcp", True),
        ((), URL, False),
        (("acme.com",), URL, False),
        (("*.acme.com",), "https://acme.com/mcp", False),
        (("mcp.acme.com",), "https://mcp.acme.com@evil.com/mcp", False),
        (("mcp.acme.com",), "https://mcp.acme.com.evil.com/mcp", False),
        (("*",), r"https://evil.com\.acme.com/mcp", False),
        (("*",), "https://evil%2ecom/mcp", False),
        (("*",), "https:///mcp", False),
        (("*",), "", False),
    ],
)
def test_a_list_of_hosts_decides_about_everything_that_is_sent(
    connector_id: str, has_credentials: bool, hosts: tuple[str, ...], url: str, allowed: bool
) -> None:
    assert is_host_allowed(connector_id, Target(url, hosts=hosts), has_credentials=has_credentials) is allowed


def test_an_invalid_url_is_an_error() -> None:
    with pytest.raises(ValueError, match="IPv6"):
        is_host_allowed(OWN, Target("https://[::1", hosts=("*",)), has_credentials=True)
