"""What the API server has of a map: which events are echoes of own writes, and which objects are surplus or damaged."""

import pytest

from junctor.connectormap.digests import sha256
from junctor.connectormap.head import HEAD_KEY, SHARD_KEY
from junctor.reconcile.ports import StoredCredentials, StoredObject
from junctor.reconcile.stored_map import ObjectEvent, StoredMap, parsed_head, split_by_integrity
from tests.unit.reconcile.fakes import MAP, Objects

SHARD = f"{MAP}-0-aaaaaaaaaaaa"
DAMAGED = f"{MAP}-1-bbbbbbbbbbbb"


@pytest.fixture
def stored_map() -> StoredMap:
    """A map with a head, a shard and credentials, each at version 10; the uid "deleted" was deleted by this process."""
    return StoredMap(
        Objects(),
        MAP,
        head=StoredObject(MAP, "head", "10", True, {}),
        shards={SHARD: StoredObject(SHARD, "shard", "10", True, {})},
        damaged={DAMAGED: StoredObject(DAMAGED, "damaged", "10", True, {})},
        credentials={3: StoredCredentials(3, "secret", "10", frozenset({"a.1"}), frozenset({"a.1"}))},
        deleted_uids={"deleted"},
    )


@pytest.mark.parametrize(
    ("name", "uid", "version", "deleted", "is_own"),
    [
        (MAP, "head", 10, False, True),
        (MAP, "head", 9, False, True),
        (MAP, "head", 11, False, False),
        (MAP, "head", 11, True, False),
        (MAP, "the head before", 9, True, True),
        (SHARD, "shard", 10, False, True),
        (SHARD, "shard", 11, True, False),
        (SHARD, "deleted", 11, True, True),
        (f"{MAP}-credentials-3", "secret", 10, False, True),
        (f"{MAP}-credentials-3", "secret", 11, False, False),
        (f"{MAP}-credentials-4", "another", 11, False, False),
        (f"{MAP}-2-cccccccccccc", "unknown", 11, False, False),
        (f"{MAP}-2-cccccccccccc", "unknown", 11, True, True),
        (f"{MAP}-anchor", "anchor", 99, False, True),
        (f"{MAP}-anchor", "anchor", 99, True, False),
    ],
)
def test_event_is_an_own_write_when_it_says_nothing_new(
    stored_map: StoredMap, name: str, uid: str, version: int, deleted: bool, is_own: bool
) -> None:
    assert stored_map.is_own_write(ObjectEvent(name, uid, version, deleted)) is is_own


@pytest.mark.parametrize(
    ("shards", "credentials", "has_surplus"),
    [
        ({SHARD, DAMAGED}, {"a.1"}, False),
        ({SHARD, DAMAGED, "not stored yet"}, {"a.1", "not.stored"}, False),
        ({SHARD}, {"a.1"}, True),
        ({DAMAGED}, {"a.1"}, True),
        ({SHARD, DAMAGED}, set(), True),
    ],
    ids=["exact", "more needed", "damaged shard", "shard", "credential"],
)
def test_surplus_is_what_is_stored_and_not_needed(
    stored_map: StoredMap, shards: set[str], credentials: set[str], has_surplus: bool
) -> None:
    assert stored_map.has_surplus(frozenset(shards), frozenset(credentials)) is has_surplus


def test_shard_is_damaged_when_its_name_is_not_made_of_its_text() -> None:
    text = '{"entries": []}'
    good = StoredObject(f"{MAP}-0-{sha256(text)[7:19]}", "good", "1", True, {SHARD_KEY: text})
    edited = StoredObject(f"{MAP}-1-{sha256(text)[7:19]}", "edited", "1", True, {SHARD_KEY: text + " "})
    emptied = StoredObject(f"{MAP}-2-{sha256(text)[7:19]}", "emptied", "1", True, {})
    intact, damaged = split_by_integrity([good, edited, emptied])
    assert (set(intact), set(damaged)) == ({good.name}, {edited.name, emptied.name})
    assert not any(shard.data for shard in (*intact.values(), *damaged.values()))


@pytest.mark.parametrize("head", [None, StoredObject(MAP, "head", "1", True, {}), StoredObject(MAP, "head", "1", True, {HEAD_KEY: "[]"})])
def test_missing_or_unreadable_head_parses_to_none(head: StoredObject | None) -> None:
    assert parsed_head(head) is None
