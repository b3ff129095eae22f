"""What a platform team sees of an MCPRegistry: apply, change, break, delete; statuses are compared with what gateways serve."""

import re
from collections import Counter
from collections.abc import Callable

import pytest

from junctor.api.conditions import SkipReason
from junctor.api.names import SYNC_REQUESTED_ANNOTATION
from tests.cluster.api import ApiError, wait_for
from tests.cluster.registries import (
    MANY,
    WEATHER,
    annotate,
    ask_for_sync,
    change,
    conditions,
    delete,
    ids,
    status,
    synced,
    told,
)
from tests.cluster.resources import fresh_namespace
from tests.cluster.system import REGISTRY, System
from tests.support.fake_registry import FakeRegistry, Status
from tests.support.registry_data import EPOCH, record, remote, servers

#: Of the operator's requests, those that change nothing.
READS = {"get", "list", "watch"}


@pytest.fixture
def system(two_gateways: System) -> System:
    return two_gateways


def written(system: System) -> list[tuple[str, str]]:
    """What the operator has written so far: verb and resource."""
    return [
        (event["verb"], "/".join(filter(None, (event["objectRef"]["resource"], event["objectRef"].get("subresource")))))
        for event in system.control_plane.audit_events()
        if event["user"].get("username") == system.release.operator_user and event["verb"] not in READS
    ]


def kubectl(system: System, *arguments: str, text: str | None = None) -> str:
    return system.control_plane.kubectl(*arguments, "--namespace", system.team, input=text).stdout


# --- apply, look, change, delete ------------------------------------------------------------------------------------------------------


def test_apply_wait_get_describe_delete(system: System) -> None:
    rows = servers(60)
    with FakeRegistry(rows) as registry:
        manifest = f"""
apiVersion: junctor.dev/v1alpha1
kind: MCPRegistry
metadata: {{name: community}}
spec: {{url: "{registry.url}"}}
"""
        kubectl(system, "apply", "-f", "-", text=manifest)
        kubectl(system, "wait", "--for=condition=Ready", "mcpr/community", "--timeout=60s")
    published = ids("community", *rows)
    system.wait_served(*published)
    header, row = kubectl(system, "get", "mcpr", "community").splitlines()
    assert re.split(r"\s{2,}", header) == ["NAME", "ID", "URL", "SYNCED", "PUBLISHED", "LAST SYNC", "READY", "AGE"]
    seconds = r"\d+s"
    assert re.fullmatch(rf"community +community +{registry.url} +True +{len(published)} +{seconds} +True +{seconds}", row)
    assert "served by 1 of 1 pods" in kubectl(system, "get", "mcpr", "community", "-o", "wide")
    wait_for(
        lambda: re.search("Ready (Unknown|False) -> True", kubectl(system, "describe", "mcpr", "community")),
        describe=lambda: f"an Event tells of it: {told(system, 'community')}",
    )
    kubectl(system, "delete", "mcpr", "community")
    system.wait_served()


def test_the_status_counts_servers_and_names_examples_of_those_that_are_skipped(system: System) -> None:
    rows = servers(200)
    with FakeRegistry(rows) as registry:
        created = system.create_registry("counted", registry.url, registryID="other")
        system.wait_ready("counted", of=REGISTRY)
    listed = [row for row in rows if row.latest and row.status != "deleted"]
    skipped = Counter(row.outcome for row in listed if row.outcome is not None)
    body = system.api.get(REGISTRY, "counted", system.team)
    assert (body["spec"], body["metadata"]["generation"], body["metadata"].get("finalizers")) == (created["spec"], 1, None)
    shown = body["status"]
    assert (shown["registryID"], shown["observedGeneration"]) == ("other", 1)
    assert (shown["discovered"], shown["published"]) == (len(listed), len(ids("other", *rows)))
    assert {item["reason"]: item["count"] for item in shown["skipped"]} == skipped
    assert skipped[SkipReason.CONFIGURATION_REQUIRED] > 5
    for item in shown["skipped"]:
        names = {row.name for row in listed if row.outcome == item["reason"]}
        assert len(item["examples"]) == min(5, len(names))
        assert {example.split(":")[0] for example in item["examples"]} <= names
    assert shown["gateways"] == [{"name": name, "acknowledged": 1, "pods": 1, "reason": "Ready"} for name in ("default", "second")]
    assert {kind: verdict for kind, (verdict, _) in conditions(system, "counted").items()} == dict.fromkeys(
        ("Accepted", "ResolvedRefs", "Synced", "Programmed", "Ready"), "True"
    )
    system.wait_served(*ids("other", *rows))


def test_a_sync_that_finds_nothing_new_costs_one_status_write_and_nothing_else(system: System, registry: FakeRegistry) -> None:
    system.create_registry("quiet", registry.url)
    system.wait_ready("quiet", of=REGISTRY)
    ask_for_sync(system, "quiet", "first")
    before, head, events = written(system), system.head(), told(system, "quiet")
    for request in ("second", "third", "fourth"):
        ask_for_sync(system, "quiet", request)
    assert written(system)[len(before) :] == [("patch", "mcpregistries/status")] * 3
    assert system.head()["metadata"]["resourceVersion"] == head["metadata"]["resourceVersion"]
    assert told(system, "quiet") == events


def test_new_servers_and_versions_come_with_the_next_sync_which_asks_for_no_more_than_that(system: System, registry: FakeRegistry) -> None:
    system.create_registry("living", registry.url, sync={"intervalSeconds": 10})
    system.wait_ready("living", of=REGISTRY)
    asked, transitions, events = len(registry.requests), conditions(system, "living"), told(system, "living")
    news = record("com.acme/news", remotes=[remote("https://news.example.com/mcp")], updated=EPOCH + 86400 * 3650)
    moved = record("com.acme/weather", "2.0.0", remotes=[remote("https://new.example.com/mcp")], updated=EPOCH + 86400 * 3650)
    registry.publish(news)
    registry.publish(moved)
    system.wait_served(*ids("living", WEATHER, news))
    assert [gateway.connectors()["mcp::living::com.acme/weather"]["server_url"] for gateway in system.gateways] == [
        "https://new.example.com"
    ] * 2
    assert all("updated_since" in request.query for request in registry.requests[asked:] if request.page)
    wait_for(lambda: status(system, "living")["published"] == 2, describe="the status counts it")
    system.wait_ready("living", of=REGISTRY)
    assert conditions(system, "living") == transitions, "no condition was turned off by a sync that worked"
    assert [message for message in told(system, "living")[len(events) :] if "True -> " in message] == []


def test_a_forced_sync_with_a_long_request_is_done_once(system: System, registry: FakeRegistry) -> None:
    system.create_registry("wordy", registry.url)
    system.wait_ready("wordy", of=REGISTRY)
    annotate(system, "wordy", SYNC_REQUESTED_ANNOTATION, "because " * 100)
    wait_for(lambda: status(system, "wordy").get("lastHandledSyncRequest", "").startswith("because "), describe="it is done")
    asked = len(registry.requests)
    ask_for_sync(system, "wordy", "another")
    assert len(registry.requests) == asked + 1


def test_a_changed_filter_takes_what_it_excludes_at_once_and_is_ready_after_a_full_walk(system: System, registry: FakeRegistry) -> None:
    registry.rows = [WEATHER, *MANY]
    system.create_registry("chosen", registry.url)
    system.wait_served(*ids("chosen", WEATHER, *MANY))
    system.wait_ready("chosen", of=REGISTRY)
    registry.fault = lambda _: Status(401)
    change(system, "chosen", filter={"exclude": ["com.acme/*"]})
    synced(system, "chosen", "False", "RegistryUnauthorized")
    system.wait_condition("chosen", "Programmed", "Unknown", "Syncing", of=REGISTRY)
    system.wait_condition("chosen", "Ready", "Unknown", "NotProgrammed", of=REGISTRY)
    system.wait_served(*ids("chosen", *MANY))
    registry.fault = lambda _: None
    ask_for_sync(system, "chosen", "now")
    system.wait_ready("chosen", of=REGISTRY)
    assert "updated_since" not in registry.requests[-1].query
    assert system.condition("chosen", "Synced", of=REGISTRY)["message"] == "30 of 31 servers are published"
    system.wait_served(*ids("chosen", *MANY))


def test_a_changed_policy_is_served_without_asking_the_registry(system: System, registry: FakeRegistry) -> None:
    system.create_registry("governed", registry.url)
    system.wait_ready("governed", of=REGISTRY)
    asked, events = len(registry.requests), told(system, "governed")
    change(system, "governed", connectorTemplate={"access": {"subjects": [{"kind": "Group", "name": "nobody"}]}})
    system.wait_served()
    system.wait_ready("governed", of=REGISTRY)
    assert len(registry.requests) == asked
    assert [message for message in told(system, "governed")[len(events) :] if re.search("(Synced|Programmed) True", message)] == []


@pytest.mark.parametrize("leave", [lambda system: change(system, "leaving", state="Disabled"), lambda system: delete(system, "leaving")])
def test_a_disabled_or_deleted_registry_takes_its_connectors_along(
    system: System, registry: FakeRegistry, leave: Callable[[System], None]
) -> None:
    registry.rows = MANY
    system.create_registry("leaving", registry.url)
    system.wait_served(*ids("leaving", *MANY))
    leave(system)
    system.wait_served()


def test_a_registry_that_was_disabled_comes_back(system: System, registry: FakeRegistry) -> None:
    system.create_registry("sleepy", registry.url, state="Disabled")
    system.wait_condition("sleepy", "Ready", "True", "Disabled", of=REGISTRY)
    assert registry.requests == []
    change(system, "sleepy", state=None)
    system.wait_condition("sleepy", "Ready", "True", "Ready", of=REGISTRY)
    system.wait_served(*ids("sleepy", WEATHER))


# --- who owns an id, and where is looked ----------------------------------------------------------------------------------------------


def test_loser_of_an_id_conflict_names_the_winner_and_heals_when_it_goes(system: System, registry: FakeRegistry) -> None:
    with FakeRegistry([record("com.acme/other", remotes=[remote("https://other.example.com/mcp")])]) as other:
        system.create_registry("first", registry.url, registryID="shared")
        system.wait_ready("first", of=REGISTRY)
        system.create_registry("second", other.url, registryID="shared")
        found = system.wait_condition("second", "Accepted", "False", "IDConflict", of=REGISTRY)
        assert f"{system.team}/first" in found["message"]
        assert system.condition("first", "Ready", of=REGISTRY)["status"] == "True"
        assert other.requests == []
        delete(system, "first")
        system.wait_ready("second", of=REGISTRY)
        system.wait_served(*ids("shared", *other.rows))


def test_no_connector_takes_an_id_of_a_registry(system: System) -> None:
    with pytest.raises(ApiError, match="connectorID"):
        system.create("thief", connectorID="mcp::community::com.acme/weather")


def test_a_registry_in_a_namespace_that_is_not_watched_stays_pending(system: System, registry: FakeRegistry) -> None:
    with fresh_namespace(system.api) as elsewhere, FakeRegistry() as unread:
        system.create_registry("far", unread.url, namespace=elsewhere)
        system.create_registry("near", registry.url)
        system.wait_ready("near", of=REGISTRY)
        found = system.api.get(REGISTRY, "far", elsewhere)["status"]["conditions"]
        assert {(item["status"], item["reason"]) for item in found} == {("Unknown", "Pending")}
        assert unread.requests == []
        system.api.delete(REGISTRY, "far", elsewhere)


def test_ready_is_ready_on_every_gateway(system: System, registry: FakeRegistry) -> None:
    system.create_registry("both", registry.url)
    system.wait_ready("both", of=REGISTRY)
    slow = system.gateways[1]
    slow.process.pause()
    try:
        registry.publish(record("com.acme/news", remotes=[remote("https://news.example.com/mcp")]))
        annotate(system, "both", SYNC_REQUESTED_ANNOTATION, "now")
        wait_for(
            lambda: system.condition("both", "Ready", of=REGISTRY)["message"].startswith("gateway second: 1 of 1 pods"),
            describe=lambda: f"the gateway that is behind is named: {status(system, 'both')}",
        )
        assert {item["name"]: item["reason"] == "Ready" for item in status(system, "both")["gateways"]} == {
            "default": True,
            "second": False,
        }
        assert system.condition("both", "Synced", of=REGISTRY)["status"] == "True"
    finally:
        slow.process.resume()
    system.wait_ready("both", of=REGISTRY)
