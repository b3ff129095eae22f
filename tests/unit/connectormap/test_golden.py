"""What another version published is read, and written again byte for byte.

`contract.json` was written by the code before the contract had types. A change of it is a change of the map format: pods of both versions
run side by side during an upgrade.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from junctor.api.conditions import Reason
from junctor.api.registry import MCPRegistrySpec
from junctor.api.resources import ConnectorResource, RegistryResource
from junctor.connectormap.credentials import credential_object, credential_object_name, credential_version, reference_hash
from junctor.connectormap.digests import digest_lines, revision_of
from junctor.connectormap.entry import Entry
from junctor.connectormap.head import Head
from junctor.connectormap.layout import Layout
from junctor.connectormap.messages import Acknowledgement, ReloadRefusal, ReloadSignal
from junctor.connectormap.reader import read_layout
from junctor.planning.entries import entry_of, registry_entry_of
from junctor.registry.mapping import map_server
from junctor.registry.records import ServerRecord
from junctor.registry.rules import MappingRules

MAP = "junctor-connectors"
GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent.parent / "golden" / "contract.json").read_text())
LINES = [Entry.parse(line) for line in GOLDEN["map"]["lines"]]


@pytest.mark.parametrize("case", GOLDEN["entries"], ids=lambda case: f"{case['id']}-{case['unavailable']}")
def test_a_resource_becomes_the_same_entry(case: dict[str, Any]) -> None:
    if case["kind"] == "registry":
        entry = registry_entry_of(RegistryResource.of(case["resource"]), case["id"])
    else:
        unavailable = case["unavailable"] and Reason(case["unavailable"])
        entry = entry_of(ConnectorResource.of(case["resource"]), case["id"], GOLDEN["versions"], unavailable)
    assert (entry.line.decode(), entry.digest) == (case["line"], case["digest"])
    assert Entry.parse(case["line"]) == entry


@pytest.mark.parametrize("case", GOLDEN["servers"], ids=lambda case: str(case["record"]["server"]["name"]))
def test_a_record_of_a_registry_becomes_the_same_entry(case: dict[str, Any]) -> None:
    rules = MappingRules.of(MCPRegistrySpec.model_validate(GOLDEN["registry_spec"]), "internal", "team-a")
    entry = map_server(ServerRecord.parse(case["record"]), rules)
    assert isinstance(entry, Entry)
    assert (entry.line.decode(), entry.digest) == (case["line"], case["digest"])
    assert entry.resolve_credentials(GOLDEN["versions"]).line.decode() == case["resolved"]
    assert entry.resolve_credentials({}).line.decode() == case["unresolved"]


def test_credentials_are_named_and_stored_as_before() -> None:
    for name in ("keys", "token", "own"):
        reference = reference_hash("team-a", name, "value")
        credential = GOLDEN["versions"][reference]
        assert credential == f"{reference}.{credential_version(b'k' * 32, name.encode())}"
        assert credential_object_name(MAP, credential_object(credential)) == GOLDEN["credential_objects"][credential]


def test_shards_and_head_are_the_same_texts() -> None:
    wanted = GOLDEN["map"]
    layout = Layout.build(MAP, LINES)
    assert {shard.ref.name: shard.text for shard in layout.shards.values()} == wanted["shards"]
    head = Head.parse(wanted["head"], MAP)
    assert head.to_text() == wanted["head"]
    written = Head(
        head.installation, 3, 40, revision_of(digest_lines(entry.digest for entry in LINES)), len(LINES), layout.refs(), head.registries
    )
    assert written.to_text() == wanted["head"]
    assert read_layout(MAP, head.shards, wanted["shards"]).entries() == {entry.id: entry for entry in LINES}


def test_a_large_map_is_laid_out_in_the_same_shards() -> None:
    entries = [Entry.of({"id": f"connector_{n}", "description": "x" * 600, "available": True}, n) for n in range(400)]
    layout = Layout.build(MAP, entries)
    assert [shard.ref.name for _, shard in sorted(layout.shards.items())] == GOLDEN["large_map"]["shards"]
    assert revision_of(digest_lines(entry.digest for entry in entries)) == GOLDEN["large_map"]["revision"]


def test_messages_between_the_planes_are_the_same_texts() -> None:
    wanted = GOLDEN["messages"]
    revision = revision_of(digest_lines(entry.digest for entry in LINES))
    applied_at = datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    acknowledgement = Acknowledgement(41, revision, {"a": "requires x/9", "mcp::internal": "no"}, applied_at)
    assert json.dumps(ReloadSignal(41, ("10.0.0.1",)).to_json()) == wanted["signal"]
    assert json.dumps(acknowledgement.to_json()) == wanted["acknowledgement"]
    assert json.dumps(ReloadRefusal("shard s: no", 40, revision).to_json()) == wanted["refusal"]
    assert json.dumps(ReloadRefusal("no").to_json()) == wanted["refusal_of_a_new_pod"]
    assert ReloadSignal.parse(json.loads(wanted["signal"])) == ReloadSignal(41, ("10.0.0.1",))
    assert Acknowledgement.parse(json.loads(wanted["acknowledgement"]), 41) == acknowledgement
    assert ReloadRefusal.parse(json.loads(wanted["refusal"]), 41) == ReloadRefusal("shard s: no", 40, revision)
