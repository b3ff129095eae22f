"""A caller tries to be somebody else towards an MCP server, by headers that servers believe and credentials beside the connector's own."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio

from tests.support.mcp_servers import ScriptedServer, serving
from tests.support.running_gateway import ANSWER, ECHO, RunningGateway, mcp_tool

FORGED = "forged-by-a-caller"
#: Who asks, from where, and what for, as proxies and the platform tell it to a server; and how a message is transported.
RESERVED = (
    *("Forwarded", "Via", "Origin", "Referer", "True-Client-IP", "Client-IP", "X-Client-IP", "X-Cluster-Client-IP", "X-Real-IP"),
    *("X-Forwarded-For", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Access-Token", "X-Forwarded-Host", "X-Forwarded-Proto"),
    *("Remote-User", "X-Remote-User", "X-Remote-Group", "X-Remote-Extra-Scopes", "X-Auth-Request-User", "X-Auth-Request-Email"),
    *("X-Authenticated-User", "X-WEBAUTH-USER", "Impersonate-User", "Impersonate-Group", "Tailscale-User-Login", "X-Spiffe-Id"),
    *("X-Original-URL", "X-Original-URI", "X-Original-Method", "X-Rewrite-URL", "X-Host", "X-Middleware-Subrequest"),
    *("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Envoy-Internal", "X-Envoy-Original-Path", "X-MS-Client-Principal"),
    *("X-Goog-Authenticated-User-Email", "X-Goog-IAP-JWT-Assertion", "X-Amzn-Oidc-Data", "Cf-Access-Jwt-Assertion", "CF-Connecting-IP"),
    *("X-SSL-Client-Cert", "SSL-Client-Verify", "X-Client-Cert", "Client-Cert", "X-Forwarded-Client-Cert", "X-ARR-ClientCert"),
    *("Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Authorization", "Proxy-Connection", "Host"),
    *(
        "HTTP2-Settings",
        "Content-Length",
        "Content-Type",
        "Content-Encoding",
        "Accept",
        "Accept-Encoding",
        "Expect",
        "Range",
        "Max-Forwards",
    ),
    *("Cookie", "Mcp-Session-Id", "Mcp-Protocol-Version", "MCP-Anything", "Last-Event-ID", "Sec-Fetch-Site"),
    # CGI and WSGI read an underscore as a hyphen.
    *("X_Forwarded_User", "X_Remote-User", "Mcp_Session_Id", "Content_Encoding"),
)
#: Headers by which APIs take a key or a token.
CREDENTIALS = (
    *(
        "X-Api-Key",
        "Api-Key",
        "ApiKey",
        "X-APIKey",
        "X_Api_Key",
        "Private-Token",
        "Job-Token",
        "X-Gitlab-Token",
        "X-Auth-Token",
        "X-Auth-Key",
    ),
    *("X-Access-Token", "X-Amz-Security-Token", "X-Amz-Date", "X-Goog-Api-Key", "X-Goog-User-Project", "X-Functions-Key", "X-Vault-Token"),
    *("Ocp-Apim-Subscription-Key", "DD-API-KEY", "DD-Application-Key", "X-Shopify-Access-Token", "X-Figma-Token", "X-Client-Secret"),
    *("X-User", "X-User-Email", "X-Password", "X-Authorization", "X-Auth", "X-Subject-Token", "X-Signature", "X-JWT", "Token"),
)
HARMLESS = {
    "X-Request-Id": "r-1",
    "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "X-Author": "ann",
    "Accept-Language": "de",
}


class Stage(NamedTuple):
    """A gateway and the MCP server at `url` behind its connectors `open`, `keyed` and `closed`. own: the `auth` of the latter two."""

    gateway: RunningGateway
    server: ScriptedServer
    url: str
    own: dict[str, Any]

    async def ask(self, connector: str, headers: dict[str, str], **fields: Any) -> httpx.Response:
        """A request that makes a call over the connector with the caller's headers."""
        tool = mcp_tool(connector, headers=headers, **fields)
        body = {"model": self.gateway.plays(ECHO, ANSWER), "input": "hi", "tools": [tool]}
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            return await http.post(f"{self.gateway.url}/responses", json=body)

    def calls_with(self, name: str) -> list[str]:
        """What the server got in this header."""
        return [headers[name.lower()] for _, headers, _ in self.server.requests if name.lower() in headers]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(victim: RunningGateway) -> AsyncIterator[Stage]:
    server = ScriptedServer()
    async with serving(server.app()) as url:
        victim.secret("own", "the-own-credential")
        own: dict[str, Any] = {"bearer": {"secretKeyRef": {"name": "own", "key": "token"}}}
        await victim.connector(url, connectorID="open")
        await victim.connector(url, connectorID="keyed", auth=own)
        await victim.connector(url, connectorID="closed", auth=own, callerAuthorization="Forbid")
        yield Stage(victim, server, url, own)


def assert_refused(answer: httpx.Response, name: str, says: str) -> None:
    told = answer.json().get("error") or {}
    assert (answer.status_code, told.get("param"), told.get("code")) == (400, "tools[0].headers", "invalid_value")
    assert name in told["message"]
    assert says in told["message"]
    assert FORGED not in told["message"]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", RESERVED)
async def test_identity_proxy_and_transport_headers_are_never_a_callers(stage: Stage, name: str) -> None:
    assert_refused(await stage.ask("open", {name: FORGED}), name, "remove it")
    assert FORGED not in stage.calls_with(name)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", CREDENTIALS)
async def test_credentials_are_a_callers_only_where_the_connector_has_none(stage: Stage, name: str) -> None:
    assert_refused(await stage.ask("keyed", {name: FORGED}), name, "credential of its own")
    assert FORGED not in stage.calls_with(name)
    assert (await stage.ask("open", {name: "a-users-own-key"})).status_code == httpx.codes.OK
    assert "a-users-own-key" in stage.calls_with(name)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("connector", ["open", "keyed"])
async def test_other_headers_reach_the_server(stage: Stage, connector: str) -> None:
    assert (await stage.ask(connector, HARMLESS)).status_code == httpx.codes.OK
    for name, value in HARMLESS.items():
        assert value in stage.calls_with(name)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", [*HARMLESS, "X-Api-Key", "X-Forwarded-User"])
async def test_forbid_means_no_header_of_a_caller(stage: Stage, name: str) -> None:
    assert_refused(await stage.ask("closed", {name: FORGED}), name, "")
    assert FORGED not in stage.calls_with(name)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_connector_names_the_headers_that_it_takes(stage: Stage) -> None:
    await stage.gateway.connector(stage.url, connectorID="listed", auth=stage.own, callerHeaders=["X-Api-Key", "x-tenant"])
    assert (await stage.ask("listed", {"x-api-key": "a-tenants-key", "X-Tenant": "red"})).status_code == httpx.codes.OK
    assert ("a-tenants-key" in stage.calls_with("X-Api-Key"), "red" in stage.calls_with("X-Tenant")) == (True, True)
    for name in (*HARMLESS, "Private-Token", "X-Forwarded-User"):
        assert_refused(await stage.ask("listed", {name: FORGED}), name, "")
        assert FORGED not in stage.calls_with(name)
