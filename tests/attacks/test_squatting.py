"""A tenant's connector waits for the id of the platform's connector, to get its callers' tokens while the platform replaces it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import openai

from tests.support.mcp_servers import ScriptedServer, serving
from tests.support.running_gateway import ANSWER, ECHO, RunningGateway, mcp_tool, running_gateway

ID = "connector_github"


def write(manifests: Path, namespace: str, name: str, url: str, **spec: Any) -> Path:
    path = manifests / f"{namespace}.yaml"
    metadata = {"name": name, "namespace": namespace}
    body = {"apiVersion": "junctor.dev/v1alpha1", "kind": "MCPConnector", "metadata": metadata}
    path.write_text(json.dumps(body | {"spec": {"connectorID": ID, "url": f"{url}/mcp", **spec}}))
    return path


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    while not await holds():  # noqa: ASYNC110  # nothing tells
        await asyncio.sleep(0.01)


async def served_url(gateway: RunningGateway, http: httpx.AsyncClient) -> str | None:
    answer = await http.get(f"{gateway.url}/connectors/{ID}")
    return answer.json()["server_url"] if answer.is_success else None


async def accepted(gateway: RunningGateway, http: httpx.AsyncClient, name: str) -> dict[str, Any]:
    for body in (await http.get(f"{gateway.management}/-/resources")).json()["resources"]:
        if body["metadata"]["name"] == name:
            for condition in body.get("status", {}).get("conditions", ()):
                if condition["type"] == "Accepted":
                    return dict(condition)
    return {}


async def call(gateway: RunningGateway) -> list[str]:
    """What a caller sees who sends a token of its own and wants no approvals."""
    tool = mcp_tool(ID, authorization="users-github-token")
    async with gateway.client() as client:
        try:
            response = await client.responses.create(model=gateway.plays(ECHO, ANSWER), tools=[tool], input="say hi")
        except openai.APIStatusError as error:
            return [f"HTTP {error.status_code}"]
    return [item.type for item in response.output]


async def test_tenant_who_waits_for_an_id_gets_no_callers_while_the_platform_recreates_its_connector(tmp_path: Path) -> None:
    platform, tenant = ScriptedServer(), ScriptedServer()
    with running_gateway(tmp_path) as gateway:
        manifests = tmp_path / "manifests"
        async with (
            serving(platform.app()) as platform_url,
            serving(tenant.app()) as tenant_url,
            httpx.AsyncClient(trust_env=False, timeout=60) as http,
            asyncio.timeout(60),
        ):

            async def is_served() -> bool:
                return await served_url(gateway, http) is not None

            async def is_gone() -> bool:
                return await served_url(gateway, http) != platform_url

            async def is_waiting() -> bool:
                return (await accepted(gateway, http, "waiting")).get("reason") == "IDConflict"

            policy = {"approval": {"mode": "Always"}, "callerAuthorization": "Require"}
            file = write(manifests, "platform", "github", platform_url, **policy)
            await until(is_served)
            assert await call(gateway) == ["mcp_list_tools", "mcp_approval_request"]
            write(manifests, "tenant-x", "waiting", tenant_url)
            await until(is_waiting)

            file.unlink()
            await until(is_gone)
            seen = await call(gateway)
            assert "users-github-token" not in str(tenant.requests), f"the tenant's server got the caller's token; the caller saw {seen}"
            assert seen == ["HTTP 400"]
            waiting = await accepted(gateway, http, "waiting")
            assert waiting["reason"] == "IDQuarantined"
            assert "in namespace platform, and another namespace may take it from 20" in waiting["message"]

            write(manifests, "platform", "github", platform_url, **policy)
            await until(is_served)
            assert await call(gateway) == ["mcp_list_tools", "mcp_approval_request"]
            assert tenant.requests == []
