"""Builders for tests of registries: records as they are sent, and rules, with all that a test does not care about filled in."""

from typing import Any

from junctor.api.registry import MCPRegistrySpec
from junctor.connectormap.credentials import reference_hash
from junctor.connectormap.entry import Entry
from junctor.registry.mapping import Skipped, map_server
from junctor.registry.records import OFFICIAL_META, ServerRecord
from junctor.registry.rules import MappingRules
from tests.support.entries import content_of

NAME = "io.github.acme/weather"
URL = "https://mcp.acme.com/mcp"
NAMESPACE = "team-a"


def remote(url: str = URL, **fields: Any) -> dict[str, Any]:
    """A place where a server can be called (fields as in server.json)."""
    return {"type": "streamable-http", "url": url} | fields


def raw(*remotes: dict[str, Any], meta: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A record of a list. meta: what the official registry adds."""
    server = {"name": NAME, "description": "Forecasts.", "version": "1.2.3", "remotes": list(remotes or (remote(),))}
    told = {"status": "active", "publishedAt": "2025-10-17T12:00:00Z", "updatedAt": "2025-10-18T12:00:00Z", "isLatest": True}
    return {"server": server | fields, "_meta": {OFFICIAL_META: told | (meta or {})}}


def rules(**spec: Any) -> MappingRules:
    """The rules of a registry `internal` in NAMESPACE."""
    return MappingRules.of(MCPRegistrySpec.model_validate({"url": "https://registry.acme.com"} | spec), "internal", NAMESPACE)


def ref(name: str) -> dict[str, Any]:
    """A Secret key, as it stands below secretKeyRef."""
    return {"secretKeyRef": {"name": name, "key": "value"}}


def hashed(name: str) -> str:
    """How an entry names that Secret key before its version is known."""
    return reference_hash(NAMESPACE, name, "value")


def credentials(*variables: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """An entry of spec.credentials for all servers below acme.com."""
    return {"servers": ["*"], "hosts": ["*.acme.com"]} | ({"variables": list(variables)} if variables else {}) | fields


def plain(name: str, value: str) -> dict[str, Any]:
    """A variable with its value."""
    return {"name": name, "value": value}


def secret(name: str, of: str = "token") -> dict[str, Any]:
    """A variable with the value of a Secret."""
    return {"name": name, "valueFrom": ref(of)}


def mapped(record: dict[str, Any], **spec: Any) -> Entry | Skipped:
    """What a record becomes."""
    return map_server(ServerRecord.parse(record), rules(**spec))


def published(record: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """The content of the entry that a record becomes."""
    found = mapped(record, **spec)
    assert isinstance(found, Entry), found
    return content_of(found)


def skipped(record: dict[str, Any], **spec: Any) -> Skipped:
    """Why a record becomes none."""
    found = mapped(record, **spec)
    assert isinstance(found, Skipped), found
    return found
