"""Syncs registries from snapshot files instead of over the network."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from junctor.api.registry import MCPRegistrySpec, effective_registry_id
from junctor.api.resources import RegistryResource, Resource
from junctor.api.sync_report import SyncReport
from junctor.registry.rules import MappingRules
from junctor.registry.snapshot_file import SnapshotError, open_snapshot
from junctor.registry.sync import RegistrySync


class UnknownRegistry(Exception):
    """No valid registry has the id of a snapshot. registry_id: that id."""

    def __init__(self, registry_id: str) -> None:
        super().__init__(f"no valid MCPRegistry has the id {registry_id}")
        self.registry_id = registry_id


def sync_snapshots(files: Mapping[str, Path], resources: Mapping[str, Resource]) -> dict[str, SyncReport]:
    """Sync the registries among the resources that have a snapshot. files: by registry id. resources, and the reports: by uid.

    Raises SnapshotError for a file that cannot be used, and UnknownRegistry.
    """
    reports: dict[str, SyncReport] = {}
    unused = dict(files)
    for uid, resource in resources.items():
        if not isinstance(resource, RegistryResource) or resource.spec is None:
            continue
        registry_id = effective_registry_id(resource.raw_spec, resource.name)
        if registry_id in files:
            unused.pop(registry_id, None)
            reports[uid] = _sync_snapshot(files[registry_id], registry_id, resource, resource.spec)
    for registry_id in unused:
        raise UnknownRegistry(registry_id)
    return reports


def _sync_snapshot(file: Path, registry_id: str, resource: RegistryResource, spec: MCPRegistrySpec) -> SyncReport:
    rules = MappingRules.of(spec, registry_id, resource.namespace)
    with open_snapshot(file) as reader:
        result = asyncio.run(RegistrySync(rules, None, now=lambda: reader.taken).full(reader))
    if not result.complete:
        raise SnapshotError(f"{file}: {result.finding.message}")
    return SyncReport(
        generation=resource.generation, synced=result.finding, discovered=result.discovered, current=True, counts=result.counts
    )
