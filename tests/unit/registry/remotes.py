"""What records say about remotes and headers."""

from typing import Any

from tests.unit.registry.building import published, raw, remote

SSE = {"type": "sse", "url": "https://mcp.acme.com/sse"}
BEARER = {"name": "Authorization", "value": "Bearer {token}", "variables": {"token": {"isRequired": True, "isSecret": True}}}


def headers(*wanted: dict[str, Any], **spec: Any) -> Any:
    return published(raw(remote(headers=list(wanted))), **spec).get("headers")
