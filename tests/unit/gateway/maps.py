"""Maps for tests: contents of entries, a writer's steps, and a source in memory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from junctor.connectormap.credentials import credential_object
from junctor.connectormap.digests import digest_lines, revision_of
from junctor.connectormap.entry import Entry
from junctor.connectormap.head import Head
from junctor.connectormap.ids import is_registry_entry
from junctor.connectormap.layout import Layout
from junctor.connectormap.reader import ConnectorMap
from junctor.gateway.serving.connector import Connector, Registry
from junctor.gateway.serving.served_map import PreparedMap, PreparedShard, ServedMap
from junctor.gateway.serving.sources import SourceUnavailable

MAP = "junctor-connectors"
INSTALLATION = "5f0c7a52-0000-4000-8000-000000000001"


def content(connector_id: str, **fields: Any) -> dict[str, Any]:
    """An entry's content as the planner makes it; `fields` on top."""
    return {
        "id": connector_id,
        "origin": {"kind": "MCPConnector", "namespace": "team-a", "name": connector_id, "uid": f"uid-{connector_id}", "generation": 1},
        "available": True,
        "url": f"https://{connector_id.replace('_', '-').replace(':', '-')}.example.com/mcp",
        "transport": "Auto",
        "callerAuthorization": "Allow",
        "tools": {},
        "approval": {"mode": "AsRequested"},
        "limits": {"connectTimeoutSeconds": 10},
        "requires": [],
    } | fields


def registry(registry_id: str = "internal", **fields: Any) -> dict[str, Any]:
    """The content of a registry's entry; `fields` on top."""
    origin = {"kind": "MCPRegistry", "namespace": "team-a", "name": registry_id, "uid": f"uid-{registry_id}", "generation": 1}
    return {
        "id": f"mcp::{registry_id}",
        "origin": origin,
        "available": True,
        "registry": {"id": registry_id, "url": f"https://{registry_id}.example.com"},
        "callerAuthorization": "Allow",
        "tools": {},
        "approval": {"mode": "AsRequested"},
        "limits": {"connectTimeoutSeconds": 10, "callTimeoutSeconds": 60, "maxConcurrentCalls": 100, "maxResultBytes": 1048576},
        "addresses": "public",
        "requires": ["registry/1"],
    } | fields


def discovered(server: str = "io.github.acme/weather", registry_id: str = "internal", **fields: Any) -> dict[str, Any]:
    """The content of a discovered server's entry; `fields` on top."""
    return {
        "id": f"mcp::{registry_id}::{server}",
        "available": True,
        "url": "https://mcp.acme.com/mcp",
        "transport": "StreamableHTTP",
        "version": "1.2.0",
        "requires": ["registry/1"],
    } | fields


def bearer(key: str) -> dict[str, Any]:
    """The `auth` of an entry that uses a credential."""
    return {"bearer": {"credential": key}}


def connector(of: Mapping[str, Any]) -> Connector:
    """The connector of an entry's content."""
    return Connector.of(Entry.of(of))


def served_map(*contents: Mapping[str, Any], credentials: Mapping[str, bytes] | None = None) -> ServedMap:
    """A map that serves these entries and was never written."""
    entries = [Entry.of(each) for each in contents]
    registries = {entry.id: Registry.of(entry) for entry in entries if is_registry_entry(entry.id)}
    shard = PreparedShard.of(entries, {}, registries)
    ids = tuple(sorted(shard.connectors))
    unwritten = cast(ConnectorMap, None)
    prepared = PreparedMap(unwritten, {"": shard}, shard.connectors, ids, shard.credentials, registries, shard.discovered)
    return ServedMap.of(prepared, credentials or {}, datetime.now(UTC))


@dataclass
class MemorySource:
    """A map source whose objects a test writes by hand."""

    config_maps: dict[str, str] = field(default_factory=dict)
    secrets: dict[int, dict[str, bytes]] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    away: bool = False
    head_name: str = MAP

    async def fetch_head(self) -> str | None:
        return self._read(MAP)

    async def authenticate(self, head: str) -> None:
        pass

    async def fetch_shard(self, name: str) -> str | None:
        return self._read(name)

    async def fetch_credentials(self, number: int) -> Mapping[str, bytes]:
        self._read(f"credentials-{number}")
        return dict(self.secrets.get(number, {}))

    async def close(self) -> None:
        pass

    def _read(self, name: str) -> str | None:
        if self.away:
            raise SourceUnavailable("the API server is away")
        self.reads.append(name)
        return self.config_maps.get(name)


def layout_of(*contents: Mapping[str, Any], since: int = 1) -> Layout:
    return Layout.build(MAP, [Entry.of(item, since) for item in contents])


def head_of(layout: Layout, sequence: int, installation: str = INSTALLATION) -> Head:
    entries = layout.entries()
    return Head(
        installation, 1, sequence, revision_of(digest_lines(entry.digest for entry in entries.values())), len(entries), layout.refs()
    )


def steps(source: MemorySource, layout: Layout, sequence: int, credentials: Mapping[str, bytes] | None = None) -> Iterator[None]:
    """What a writer does, one step each: credentials, shards, head, then what is not needed any more."""
    for key, value in (credentials or {}).items():
        source.secrets.setdefault(credential_object(key), {})[key] = value
        yield
    for shard in layout.shards.values():
        source.config_maps[shard.ref.name] = shard.text
        yield
    source.config_maps[MAP] = head_of(layout, sequence).to_text()
    yield
    wanted = {ref.name for ref in layout.refs()} | {MAP}
    for name in sorted(source.config_maps.keys() - wanted):
        del source.config_maps[name]
        yield
    used = {key for entry in layout.entries().values() for key in entry.credentials}
    for values in source.secrets.values():
        for key in sorted(values.keys() - used):
            del values[key]
            yield


def publish(source: MemorySource, sequence: int, *contents: Mapping[str, Any], credentials: Mapping[str, bytes] | None = None) -> Layout:
    """All steps at once."""
    layout = layout_of(*contents, since=sequence)
    for _ in steps(source, layout, sequence, credentials):
        pass
    return layout
