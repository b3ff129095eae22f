"""The head of a map: its records of registries, whose exact text the golden files hold."""

import json
from dataclasses import replace
from typing import Any

import pytest

from junctor.connectormap.head import Head, RegistryRecord, ReleasedId
from junctor.connectormap.signature import is_signed, sign_head

EMPTY = Head("i", 1, 1, "sha256:r", 0, ())


def with_records(*records: Any) -> str:
    return EMPTY.to_text().replace('"registries":[]', '"registries":[' + ",".join(records) + "]")


@pytest.mark.parametrize(
    "record",
    [RegistryRecord("a", "u", 2), RegistryRecord("a", "u", 2, "", "sha256:d"), RegistryRecord("a", "u", 0, "2025-10-17T12:00:00Z", "d")],
    ids=["never synced", "without a watermark", "synced"],
)
def test_a_record_of_a_registry_is_read_as_it_was_written(record: RegistryRecord) -> None:
    head = Head("i", 1, 1, "sha256:r", 0, (), (record,))
    assert Head.parse(head.to_text(), "map").registries == (record,)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("1", ()),
        ("{}", ()),
        ('{"id":1}', ()),
        ('{"id":"a"}', (RegistryRecord("a"),)),
        ('{"id":"a","uid":1,"connectors":"x","watermark":null,"filterDigest":[],"new":1}', (RegistryRecord("a"),)),
    ],
)
def test_a_damaged_record_of_a_registry_costs_a_sync_and_not_the_map(text: str, read: tuple[RegistryRecord, ...]) -> None:
    assert Head.parse(with_records(text), "map").registries == read


RELEASED = ReleasedId("connector_github", "platform", 1_800_000_000)


def test_released_ids_are_read_as_they_were_written() -> None:
    head = replace(EMPTY, released=(RELEASED,))
    assert Head.parse(head.to_text(), "m") == head
    assert "released" not in EMPTY.to_text(), "heads without them stay as they were"


@pytest.mark.parametrize(
    "damaged",
    [{"id": "a", "namespace": "b"}, {"id": "a", "namespace": "b", "until": "c"}, {"id": "a", "namespace": "b", "until": 10**15}, 7],
)
def test_damaged_released_id_is_left_out(damaged: object) -> None:
    text = json.dumps(json.loads(EMPTY.to_text()) | {"released": [damaged, RELEASED.to_json()]})
    assert Head.parse(text, "m").released == (RELEASED,)


def test_head_with_fields_that_are_not_known_is_read() -> None:
    assert Head.parse(json.dumps(json.loads(EMPTY.to_text()) | {"mac": "x"}), "m") == EMPTY


def test_signature_belongs_to_one_text_in_one_place() -> None:
    signature = sign_head("text", b"key", "junctor", "a-connectors")
    assert is_signed("text", signature, b"key", "junctor", "a-connectors")
    for other in (("TEXT", b"key", "junctor", "a-connectors"), ("text", b"KEY", "junctor", "a-connectors")):
        assert not is_signed(other[0], signature, *other[1:])
    assert not is_signed("text", signature, b"key", "junctor", "b-connectors")
    assert not is_signed("text", signature, b"key", "other", "a-connectors")
    assert not is_signed("text", "\u00e4", b"key", "junctor", "a-connectors")
