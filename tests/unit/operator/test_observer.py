"""What handlers tell the loop: changes wake it, statuses do not, and a new listing after a lull asks for a full LIST."""

from typing import Any
from unittest.mock import Mock, call

import pytest

from junctor.api.names import CREDENTIALS_LABEL, MAP_LABEL
from junctor.net.clock import Clock
from junctor.operator.observer import Observer
from junctor.reconcile.snapshot import Snapshot
from junctor.reconcile.stored_map import ObjectEvent
from tests.unit.planning.building import KEY
from tests.unit.reconcile.bodies import configuration, connector_body, pod_body, secret_body


class StoppedClock(Clock):
    """A clock that only a test moves. passed: seconds."""

    passed = 1000.0

    def monotonic(self) -> float:
        return self.passed


@pytest.fixture
def loop() -> Mock:
    made = Mock()
    made.snapshot = Snapshot(configuration(), KEY)
    return made


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def observer(loop: Mock, clock: StoppedClock) -> Observer:
    return Observer(loop, configuration(), frozenset(), clock)


def map_object(name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "junctor", "uid": f"uid-{name}", "resourceVersion": "7"}
    return {"metadata": metadata | {"labels": {MAP_LABEL: "junctor-connectors"} | (labels or {})}}


@pytest.mark.parametrize("kind", [None, "ADDED", "MODIFIED"])
def test_new_connector_wakes_the_loop(observer: Observer, loop: Mock, kind: str | None) -> None:
    observer.resource("MCPConnector", kind, connector_body("a", 5))
    loop.wake.assert_called_once()
    assert "uid-a" in loop.snapshot.connectors.items


def test_status_of_a_connector_wakes_only_its_report(observer: Observer, loop: Mock) -> None:
    observer.resource("MCPConnector", "ADDED", connector_body("a", 5))
    loop.wake.reset_mock()
    observer.resource("MCPConnector", "MODIFIED", connector_body("a", 6, status={"connectorID": "a"}))
    loop.wake.assert_not_called()
    loop.wake_statuses.assert_called_once_with("uid-a")


def test_deleted_connector_wakes_the_loop_and_is_remembered_as_deleted(observer: Observer, loop: Mock) -> None:
    observer.resource("MCPConnector", "ADDED", connector_body("a", 5))
    loop.wake.reset_mock()
    observer.resource("MCPConnector", "DELETED", connector_body("a", 6))
    loop.wake.assert_called_once()
    assert loop.snapshot.inputs().deleted == {"uid-a"}


def test_connectors_and_secrets_of_other_namespaces_are_ignored(loop: Mock, clock: StoppedClock) -> None:
    observer = Observer(loop, configuration(), frozenset({"team-b"}), clock)
    observer.resource("MCPConnector", "ADDED", connector_body("a", 5))
    observer.secret("ADDED", secret_body("token", 5, value="one"))
    observer.pod("ADDED", pod_body("gw-0", 5))
    assert not loop.snapshot.connectors.items
    assert not loop.snapshot.secrets.items
    assert loop.snapshot.pods_of("default")


def test_secret_and_pod_wake_the_loop_when_they_change(observer: Observer, loop: Mock) -> None:
    observer.secret("ADDED", secret_body("token", 5, value="one"))
    observer.pod("ADDED", pod_body("gw-0", 5))
    assert loop.wake.call_count == 2
    observer.secret("MODIFIED", secret_body("token", 6, value="one"))
    observer.pod("MODIFIED", pod_body("gw-0", 6))
    assert loop.wake.call_count == 2


def test_namespace_wakes_the_loop(observer: Observer, loop: Mock) -> None:
    observer.namespace("ADDED", {"metadata": {"name": "team-a", "uid": "n", "resourceVersion": "5", "labels": {"a": "b"}}})
    loop.wake.assert_called_once()


@pytest.mark.parametrize(("kind", "deleted"), [("MODIFIED", False), ("DELETED", True)])
def test_change_of_a_map_object_reaches_its_gateway(observer: Observer, loop: Mock, kind: str, deleted: bool) -> None:
    observer.map_object(kind, map_object("junctor-connectors"))
    loop.map_object_changed.assert_called_once_with("default", ObjectEvent("junctor-connectors", "uid-junctor-connectors", 7, deleted))


def test_published_credentials_are_an_object_of_the_map_and_no_secret_of_users(observer: Observer, loop: Mock) -> None:
    observer.secret("MODIFIED", map_object("junctor-connectors-credentials-3", {CREDENTIALS_LABEL: "published"}))
    loop.map_object_changed.assert_called_once()
    assert not loop.snapshot.secrets.items


def test_object_of_an_unknown_map_is_ignored(observer: Observer, loop: Mock) -> None:
    observer.map_object("MODIFIED", map_object("other", {MAP_LABEL: "other"}))
    loop.map_object_changed.assert_not_called()


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED"])
def test_changed_definition_asks_for_a_full_list(observer: Observer, loop: Mock, kind: str) -> None:
    observer.definition(kind)
    assert loop.request_refresh.call_args_list == [call(again_after=(1.0, 5.0, 20.0, 130.0))]


def test_listing_at_the_start_asks_for_nothing(observer: Observer, loop: Mock, clock: StoppedClock) -> None:
    for number in range(5):
        observer.resource("MCPConnector", None, connector_body(f"c-{number}", number))
        clock.passed += 1
    observer.definition(None)
    loop.request_refresh.assert_not_called()


def synced_without_registries(loop: Mock) -> None:
    snapshot = loop.snapshot
    for collection in (snapshot.connectors, snapshot.secrets, snapshot.pods):
        collection.listing().finish("1")
    snapshot.defined.add("MCPConnector")


@pytest.mark.parametrize(("known", "kind", "asked"), [(False, "ADDED", 1), (False, None, 1), (False, "DELETED", 0), (True, "ADDED", 0)])
def test_object_of_an_undefined_kind_requests_a_full_list(
    observer: Observer, loop: Mock, known: bool, kind: str | None, asked: int
) -> None:
    synced_without_registries(loop)
    if known:
        loop.snapshot.defined.add("MCPRegistry")
    observer.resource("MCPRegistry", kind, connector_body("r", 5))
    assert loop.request_refresh.call_count == asked


def test_listing_after_a_lull_asks_for_a_full_list(observer: Observer, loop: Mock, clock: StoppedClock) -> None:
    observer.resource("MCPConnector", None, connector_body("a", 5))
    clock.passed += 60
    observer.resource("MCPConnector", None, connector_body("a", 5))
    loop.request_refresh.assert_called_once()


def test_kind_without_objects_at_the_start_that_is_listed_anew_asks_for_a_full_list(
    observer: Observer, loop: Mock, clock: StoppedClock
) -> None:
    """A listing without objects gives no event, so that only the start of the process tells how long ago it was."""
    clock.passed += 60
    observer.resource("MCPConnector", None, connector_body("a", 5))
    loop.request_refresh.assert_called_once_with()


def test_each_kind_that_is_listed_anew_asks_for_a_full_list(observer: Observer, loop: Mock, clock: StoppedClock) -> None:
    observer.resource("MCPConnector", None, connector_body("a", 5))
    observer.pod(None, pod_body("gw-0", 5))
    clock.passed += 60
    observer.pod(None, pod_body("gw-0", 5))
    clock.passed += 3  # the watch of connectors comes back later: what was deleted in between was in no LIST
    observer.resource("MCPConnector", None, connector_body("a", 5))
    assert loop.request_refresh.call_count == 2


def test_ordinary_events_after_a_lull_ask_for_nothing(observer: Observer, loop: Mock, clock: StoppedClock) -> None:
    observer.resource("MCPConnector", None, connector_body("a", 5))
    clock.passed += 60
    observer.resource("MCPConnector", "MODIFIED", connector_body("a", 6))
    loop.request_refresh.assert_not_called()
