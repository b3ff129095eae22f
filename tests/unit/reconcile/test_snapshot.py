"""The snapshot against events that come late, twice, never or out of order, and LISTs that race with them."""

from junctor.reconcile.snapshot import Snapshot
from tests.unit.planning.building import KEY
from tests.unit.reconcile.bodies import configuration, connector_body
from tests.unit.reconcile.snapshots import bodies, listed, snapshot

# --- events -------------------------------------------------------------------------------------------------------------------------


def test_event_changes_something_once_and_its_duplicate_nothing() -> None:
    collection = bodies()
    assert collection.observe(connector_body("a", 5))
    assert not collection.observe(connector_body("a", 5))


def test_older_event_does_not_bring_back_an_older_state() -> None:
    collection = bodies()
    collection.observe(connector_body("a", 7, url="new"))
    assert not collection.observe(connector_body("a", 5, url="old"))
    assert collection.items == {"uid-a": "new"}


def test_late_event_does_not_bring_back_a_deleted_object() -> None:
    collection = bodies()
    collection.observe(connector_body("a", 5))
    assert collection.observe(connector_body("a", 9), deleted=True)
    assert not collection.observe(connector_body("a", 7))
    assert collection.items == {}


def test_deletion_that_comes_before_the_object_keeps_it_away() -> None:
    collection = bodies()
    assert not collection.observe(connector_body("a", 9), deleted=True)
    assert not collection.observe(connector_body("a", 5))
    assert collection.items == {}


def test_late_event_does_not_bring_back_what_a_newer_list_did_not_hold() -> None:
    collection = bodies()
    collection.observe(connector_body("a", 5))
    listed(collection, 10)
    assert not collection.observe(connector_body("a", 8))
    assert collection.items == {}


def test_object_that_leaves_the_watched_selection_and_returns_is_seen_again() -> None:
    collection = bodies()
    collection.observe(connector_body("a", 5))
    collection.observe(connector_body("a", 6), deleted=True)
    assert collection.observe(connector_body("a", 8))
    assert "uid-a" in collection.items


def test_deleted_and_created_anew_under_one_name_are_two_objects() -> None:
    collection = bodies()
    collection.observe(connector_body("a", 5, uid="first"))
    collection.observe(connector_body("a", 6, uid="first"), deleted=True)
    collection.observe(connector_body("a", 7, uid="second"))
    assert set(collection.items) == {"second"}


def test_new_object_of_a_name_removes_the_old_one_although_no_event_said_so() -> None:
    collection = bodies()
    collection.observe(connector_body("a", 5, uid="first"))
    assert collection.observe(connector_body("a", 7, uid="second"))
    assert set(collection.items) == {"second"}
    assert not collection.observe(connector_body("a", 6, uid="first"))
    assert set(collection.items) == {"second"}


def test_one_name_in_two_namespaces_is_two_objects() -> None:
    collection = bodies()
    collection.observe(connector_body("a", 5, uid="first", namespace="x"))
    collection.observe(connector_body("a", 6, uid="second", namespace="y"))
    assert set(collection.items) == {"first", "second"}


def test_object_that_no_longer_matters_is_dropped() -> None:
    collection = bodies()
    collection.observe(connector_body("a", 5))
    assert collection.observe(connector_body("a", 6, ignored=True))
    assert not collection.observe(connector_body("a", 7, ignored=True))
    assert collection.items == {}


# --- LISTs --------------------------------------------------------------------------------------------------------------------------


def test_list_removes_what_it_does_not_hold() -> None:
    collection = bodies()
    collection.observe(connector_body("a", 5))
    listed(collection, 10, connector_body("b", 6))
    assert set(collection.items) == {"uid-b"}


def test_half_a_list_removes_nothing() -> None:
    collection = bodies()
    collection.observe(connector_body("a", 5))
    collection.listing().add([connector_body("b", 6)])
    assert set(collection.items) == {"uid-a", "uid-b"}
    assert not collection.synced


def test_object_created_during_a_list_stays() -> None:
    collection = bodies()
    listing = collection.listing()
    listing.add([connector_body("a", 5)])
    collection.observe(connector_body("b", 12))
    listing.finish("10")
    assert set(collection.items) == {"uid-a", "uid-b"}


def test_object_deleted_during_a_list_does_not_come_back_with_it() -> None:
    collection = bodies()
    collection.observe(connector_body("a", 5))
    listing = collection.listing()
    collection.observe(connector_body("a", 12), deleted=True)
    listing.add([connector_body("a", 5)])
    listing.finish("10")
    assert collection.items == {}
    listed(collection, 13)
    assert not collection.observe(connector_body("a", 11))
    assert collection.items == {}


def test_object_changed_during_a_list_keeps_the_newer_state() -> None:
    collection = bodies()
    listing = collection.listing()
    collection.observe(connector_body("a", 12, url="new"))
    listing.add([connector_body("a", 5, url="old")])
    listing.finish("10")
    assert collection.items == {"uid-a": "new"}


def test_later_list_brings_back_an_object_that_returned_into_the_selection() -> None:
    collection = bodies()
    collection.observe(connector_body("a", 5))
    collection.observe(connector_body("a", 6), deleted=True)
    listed(collection, 10, connector_body("a", 8))
    assert "uid-a" in collection.items


def test_empty_list_makes_a_collection_known() -> None:
    collection = bodies()
    listed(collection, 3)
    assert collection.synced
    assert collection.items == {}


def test_snapshot_is_complete_once_every_kind_was_listed() -> None:
    made = snapshot({"name": "x", "namespace": "junctor", "namespaceSelector": {"matchLabels": {"a": "b"}}})
    assert not made.complete
    for collection in (made.connectors, made.secrets, made.pods):
        listed(collection, 3)
        assert not made.complete
    listed(made.namespaces, 3)
    assert made.complete


def test_snapshot_is_complete_without_a_kind_that_is_not_defined_but_connectors_are_not_known() -> None:
    made = Snapshot(configuration(), KEY)
    listed(made.secrets, 3)
    listed(made.pods, 3)
    assert made.complete
    assert not made.inputs().connectors_known


# --- a restored API server --------------------------------------------------------------------------------------------------------------


def test_versions_that_went_back_are_believed_by_the_second_list() -> None:
    """After a restore of etcd the same objects come back with lower versions, and what was made since the backup is gone."""
    collection = bodies()
    assert listed(collection, 900, connector_body("kept", 800, url="new"), connector_body("made-since", 850))
    restored = connector_body("kept", 400, url="old")
    assert not listed(collection, 500, restored)
    assert set(collection.items) == {"uid-kept", "uid-made-since"}
    assert listed(collection, 501, restored)
    assert collection.items == {"uid-kept": "old"}
    assert collection.observe(connector_body("next", 502))
