"""The step record: what the head of the map stores about registries."""

from dataclasses import replace

import pytest

from junctor.api.sync_report import SyncReport
from junctor.connectormap.head import RegistryRecord
from junctor.connectormap.view import Origin
from junctor.planning.discovered import registry_records
from junctor.planning.inputs import Inputs, Published
from tests.unit.planning.building import discovered, server, synced

ID, UID = "mcp::internal", "uid-registry"
FOUND = discovered(server("a"), server("b"), digest="sha256:rules", watermark="2025-01-01T00:00:00Z")
STORED = RegistryRecord("internal", UID, 9, "2024-12-31T00:00:00Z", "sha256:before")
FRESH = RegistryRecord("internal", UID, 2)
SYNCED = RegistryRecord("internal", UID, 2, "2025-01-01T00:00:00Z", "sha256:rules")


def origin(entry_id: str, uid: str) -> Origin:
    """The resource of a registry's entry."""
    return Origin("MCPRegistry", "team-a", entry_id, uid, 1)


@pytest.mark.parametrize(
    ("syncs", "stored", "expected"),
    [
        ({}, None, FRESH),
        ({UID: synced(FOUND)}, None, SYNCED),
        ({UID: synced(FOUND)}, STORED, SYNCED),
        ({}, STORED, replace(STORED, connectors=2)),
        ({UID: synced(None)}, STORED, replace(STORED, connectors=2)),
        ({}, replace(STORED, uid="another"), FRESH),
        ({"another": synced(FOUND)}, None, FRESH),
    ],
    ids=["nothing-known", "synced", "synced-again", "not-synced-yet", "sync-failed", "of-another-resource", "another-is-synced"],
)
def test_record_says_where_the_next_sync_begins(
    syncs: dict[str, SyncReport], stored: RegistryRecord | None, expected: RegistryRecord
) -> None:
    published = Published(records={ID: stored} if stored else {})
    records = registry_records({ID: FOUND.entries}, {ID: origin(ID, UID)}, Inputs({}, syncs=syncs), published)
    assert records == (expected,)


def test_records_are_in_the_order_of_their_ids() -> None:
    ids = ["mcp::b", "mcp::a", "mcp::c"]
    records = registry_records({key: {} for key in ids}, {key: origin(key, f"uid-{key}") for key in ids}, Inputs({}), Published())
    assert [record.id for record in records] == ["a", "b", "c"]
