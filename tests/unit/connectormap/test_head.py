"""The head of a map: its records of registries, whose exact text the golden files hold."""

from typing import Any

import pytest

from junctor.connectormap.head import Head, RegistryRecord

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
