"""The object store behaves as an API server does, for what the loop relies on."""

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from junctor.api.connector import ID_IMMUTABLE_MESSAGE
from junctor.offline.manifests import ObjectKey
from junctor.standalone.objects import ObjectRefused, ObjectStore

KEY = ObjectKey("MCPConnector", "team-a", "x")
CREATED = "2025-01-01T00:00:00.000000Z"


def connector(**fields: Any) -> dict[str, Any]:
    labels = fields.pop("labels", {})
    return {"kind": "MCPConnector", "metadata": {"name": "x", "labels": labels}, "spec": {"url": "https://a.example/"} | fields}


def metadata(store: ObjectStore) -> Mapping[str, Any]:
    body = store.get(KEY)
    assert body is not None
    found: Mapping[str, Any] = body["metadata"]
    return found


def test_new_object_gets_what_the_api_server_gives() -> None:
    store = ObjectStore()
    assert store.apply(KEY, connector(labels={"a": "b"}), CREATED)
    assert metadata(store) == {
        "name": "x",
        "namespace": "team-a",
        "uid": metadata(store)["uid"],
        "generation": 1,
        "resourceVersion": "1",
        "creationTimestamp": CREATED,
        "labels": {"a": "b"},
    }


def test_same_manifest_again_changes_nothing() -> None:
    store = ObjectStore()
    store.apply(KEY, connector(), CREATED)
    assert not store.apply(KEY, connector(), "2026-01-01T00:00:00Z")
    assert metadata(store)["resourceVersion"] == "1"


@pytest.mark.parametrize(("change", "generation"), [({"title": "new"}, 2), ({"labels": {"a": "b"}}, 1)])
def test_generation_counts_changes_of_the_spec_only(change: dict[str, Any], generation: int) -> None:
    store = ObjectStore()
    store.apply(KEY, connector(), CREATED)
    uid = metadata(store)["uid"]
    assert store.apply(KEY, connector(**change), "2026-01-01T00:00:00Z")
    assert metadata(store)["generation"] == generation
    assert metadata(store)["resourceVersion"] == "2"
    assert metadata(store)["uid"] == uid
    assert metadata(store)["creationTimestamp"] == CREATED


def test_resource_versions_increase_over_all_objects() -> None:
    store = ObjectStore()
    store.apply(KEY, connector(), CREATED)
    other = KEY._replace(name="y")
    store.apply(other, connector(), CREATED)
    store.delete(KEY)
    store.apply(other, connector(title="new"), CREATED)
    body = store.get(other)
    assert body is not None
    assert body["metadata"]["resourceVersion"] == "4"


def test_recreated_object_is_another_one() -> None:
    store = ObjectStore()
    store.apply(KEY, connector(), CREATED)
    first = metadata(store)["uid"]
    store.delete(KEY)
    store.apply(KEY, connector(), CREATED)
    assert metadata(store)["uid"] != first


def test_status_is_kept_apart_from_manifests() -> None:
    store = ObjectStore()
    store.apply(KEY, connector() | {"status": {"written": "by a user"}}, CREATED)
    body = store.get(KEY)
    assert body is not None
    assert "status" not in body
    store.set_status(KEY, metadata(store)["uid"], {"connectorID": "x"})
    assert not store.apply(KEY, connector(), CREATED)
    store.apply(KEY, connector(title="new"), CREATED)
    body = store.get(KEY)
    assert body is not None
    assert body["status"] == {"connectorID": "x"}
    assert body["metadata"]["generation"] == 2


def test_status_of_an_object_that_is_gone_or_another_one_is_dropped() -> None:
    store = ObjectStore()
    store.set_status(KEY, "uid", {"connectorID": "x"})
    store.apply(KEY, connector(), CREATED)
    store.set_status(KEY, "of another one", {"connectorID": "x"})
    body = store.get(KEY)
    assert body is not None
    assert "status" not in body


@pytest.mark.parametrize(
    ("before", "after"),
    [({"connectorID": "a"}, {"connectorID": "b"}), ({}, {"connectorID": "a"}), ({"connectorID": "a"}, {})],
)
def test_id_cannot_be_changed_set_or_removed(before: dict[str, Any], after: dict[str, Any]) -> None:
    store = ObjectStore()
    store.apply(KEY, connector(**before), CREATED)
    with pytest.raises(ObjectRefused, match=r"spec.connectorID: ") as refusal:
        store.apply(KEY, connector(**after), CREATED)
    assert ID_IMMUTABLE_MESSAGE in str(refusal.value)
    body = store.get(KEY)
    assert body is not None
    assert body["spec"].get("connectorID") == before.get("connectorID")
    assert body["metadata"]["resourceVersion"] == "1"


def test_the_id_of_a_registry_stays_as_well() -> None:
    store, key = ObjectStore(), ObjectKey("MCPRegistry", "team-a", "x")
    registry = {"kind": "MCPRegistry", "metadata": {"name": "x"}}
    store.apply(key, registry | {"spec": {"url": "https://registry.example.com"}}, CREATED)
    with pytest.raises(ObjectRefused, match=r"spec.registryID: the registry id cannot be changed"):
        store.apply(key, registry | {"spec": {"url": "https://registry.example.com", "registryID": "y"}}, CREATED)


def test_writing_out_the_id_that_it_has_is_no_change_of_the_id() -> None:
    store = ObjectStore()
    store.apply(KEY, connector(), CREATED)
    assert store.apply(KEY, connector(connectorID="x"), CREATED)


def test_string_data_is_stored_as_data() -> None:
    store = ObjectStore()
    key = ObjectKey("Secret", "team-a", "s")
    store.apply(key, {"kind": "Secret", "metadata": {}, "data": {"a": "eA=="}, "stringData": {"b": "ü"}}, CREATED)
    body = store.get(key)
    assert body is not None
    assert body["data"] == {"a": "eA==", "b": base64.b64encode("ü".encode()).decode()}
    assert "stringData" not in body


def test_listeners_see_every_change_and_deletions_with_a_newer_version() -> None:
    store = ObjectStore()
    seen: list[tuple[str, str, bool]] = []
    store.subscribe(lambda kind, body, deleted: seen.append((kind, body["metadata"]["resourceVersion"], deleted)))
    store.apply(KEY, connector(), CREATED)
    store.apply(KEY, connector(), CREATED)
    store.delete(KEY)
    store.delete(KEY)
    assert seen == [("MCPConnector", "1", False), ("MCPConnector", "2", True)]


def test_given_bodies_never_change() -> None:
    store = ObjectStore()
    store.apply(KEY, connector(), CREATED)
    before = store.get(KEY)
    store.apply(KEY, connector(title="new"), CREATED)
    assert before is not None
    assert before["metadata"]["generation"] == 1
    assert "title" not in before["spec"]
