"""What a platform team sees of an MCPRegistry: apply, change, break, delete; statuses are compared with what gateways serve."""

import base64
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from junctor.api.conditions import SkipReason
from junctor.api.names import ACCEPT_SHRINK_ANNOTATION, SYNC_REQUESTED_ANNOTATION
from tests.cluster.api import Api, ApiError, wait_for
from tests.cluster.controlplane import ControlPlane
from tests.cluster.resources import fresh_namespace
from tests.cluster.system import REGISTRY, System, new_system
from tests.support.fake_registry import FakeRegistry, Fault, Stall, Status
from tests.support.mcp_servers import closed_port, self_signed
from tests.support.registry_data import EPOCH, PUBLISHED, Row, record, remote, servers

#: As many as have to vanish at once before a loss is held back, and then some.
MANY = servers(30, mix=PUBLISHED, older=False)
WEATHER = record("com.acme/weather", remotes=[remote("https://weather.example.com/mcp")])
TOKEN = {"name": "X-Token", "isRequired": True, "isSecret": True}
MAPS = record("com.acme/maps", remotes=[remote("https://maps.example.com/mcp", headers=[TOKEN])])
LOCAL = record("com.acme/local", packages=[{"registryType": "npm", "identifier": "@acme/local"}])
#: Of the operator's requests, those that change nothing.
READS = {"get", "list", "watch"}


@pytest.fixture(scope="module")
def two_gateways(control_plane: ControlPlane, api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """An operator with two gateways, one pod each."""
    with new_system(control_plane, api, tmp_path_factory.mktemp("logs")) as system:
        system.start(gateways=1, values={"operator": {"namespaces": [system.team]}, "gateways": [{"name": "default"}, {"name": "second"}]})
        system.add_gateway("second")
        yield system


@pytest.fixture
def system(two_gateways: System) -> Iterator[System]:
    yield two_gateways
    two_gateways.delete_all()


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry([WEATHER, MAPS, LOCAL]) as running:
        yield running


def ids(registry_id: str, *rows: Row) -> set[str]:
    return {f"mcp::{registry_id}::{row.name}" for row in rows if row.latest and row.outcome is None}


def status(system: System, name: str) -> dict[str, Any]:
    found: dict[str, Any] = system.api.get(REGISTRY, name, system.team).get("status", {})
    return found


def conditions(system: System, name: str) -> dict[str, tuple[str, str]]:
    """Status and time of the last transition of each condition."""
    return {item["type"]: (item["status"], item["lastTransitionTime"]) for item in status(system, name)["conditions"]}


def annotate(system: System, name: str, key: str, value: str) -> None:
    system.api.patch(REGISTRY, name, {"metadata": {"annotations": {key: value}}}, system.team)


def ask_for_sync(system: System, name: str, request: str) -> None:
    """Force a sync, and wait until it is done."""
    annotate(system, name, SYNC_REQUESTED_ANNOTATION, request)
    wait_for(
        lambda: status(system, name).get("lastHandledSyncRequest") == request,
        describe=lambda: f"sync {request} of {name} is done: {status(system, name)}\n{system.operator.tail(15)}",
    )


def change(system: System, name: str, **spec: Any) -> None:
    system.api.patch(REGISTRY, name, {"spec": spec}, system.team)


def delete(system: System, name: str) -> None:
    system.api.delete(REGISTRY, name, system.team)


def synced(system: System, name: str, told: str, reason: str, timeout: float = 30.0) -> str:
    """Wait for a verdict of the condition Synced; its message."""
    return str(system.wait_condition(name, "Synced", told, reason, timeout, of=REGISTRY)["message"])


def written(system: System) -> list[tuple[str, str]]:
    """What the operator has written so far: verb and resource."""
    return [
        (event["verb"], "/".join(filter(None, (event["objectRef"]["resource"], event["objectRef"].get("subresource")))))
        for event in system.control_plane.audit_events()
        if event["user"].get("username") == system.release.operator_user and event["verb"] not in READS
    ]


def told(system: System, name: str) -> list[str]:
    """The messages of the Events about a registry."""
    return [item["message"] for item in system.events() if item["involvedObject"]["name"] == name]


def answering(status: int, **more: Any) -> Callable[[object], Fault]:
    return lambda _: Status(status, **more)


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
        kubectl(system, "wait", "--for=condition=Ready", "mcpr/community", "--timeout=30s")
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
        "https://new.example.com/mcp"
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
    registry.fault = answering(401)
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


# --- registries that misbehave --------------------------------------------------------------------------------------------------------


def test_what_is_wrong_with_a_registry_is_told_and_what_was_published_stays(system: System, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    html = answering(200, body=b"<!doctype html><title>Welcome</title>", kind="text/html")
    wrong: dict[str, tuple[Callable[[Any], Fault], str, str]] = {
        "a-website": (html, "NotARegistry", "text/html"),
        "another-api": (answering(200, body=b'{"items": []}'), "NotARegistry", "servers"),
        "a-wrong-path": (answering(404, body=b"not found", kind="text/plain"), "NotARegistry", "404"),
        "a-locked-one": (answering(401), "RegistryUnauthorized", "401"),
    }
    with ExitStack() as stack:
        running = {name: stack.enter_context(FakeRegistry([WEATHER])) for name in wrong}
        running["a-certificate"] = stack.enter_context(FakeRegistry([WEATHER], tls=(certificate, key)))
        trusted: dict[str, Any] = {"tls": {"caBundle": certificate.read_text()}}
        for name, registry in running.items():
            system.create_registry(name, registry.url, **(trusted if name == "a-certificate" else {}))
        served = {connector_id for name in running for connector_id in ids(name, WEATHER)}
        system.wait_served(*served)
        system.wait_ready(*running, of=REGISTRY)

        for name, (fault, _, _) in wrong.items():
            running[name].fault = fault
            annotate(system, name, SYNC_REQUESTED_ANNOTATION, "now")
        change(system, "a-certificate", tls=None)

        for name, (_, reason, detail) in wrong.items():
            assert detail in synced(system, name, "False", reason)
            assert system.condition(name, "Ready", of=REGISTRY)["status"] == "True"
            assert "lastHandledSyncRequest" not in status(system, name)
        assert "self-signed certificate" in synced(system, "a-certificate", "False", "RegistryTLSFailed")
        system.wait_served(*served)
        wait_for(lambda: any("Synced True -> False" in message for message in told(system, "a-website")), describe="an Event tells of it")

        running["a-website"].fault = lambda _: None
        ask_for_sync(system, "a-website", "again")
        synced(system, "a-website", "True", "Synced")
        change(system, "a-certificate", **trusted)
        synced(system, "a-certificate", "True", "Synced")


def test_a_registry_that_shrinks_suspiciously_keeps_its_connectors_until_somebody_confirms(system: System, registry: FakeRegistry) -> None:
    registry.rows = MANY
    system.create_registry("shrinking", registry.url)
    system.wait_ready("shrinking", of=REGISTRY)
    registry.rows = MANY[:3]
    ask_for_sync(system, "shrinking", "now")
    message = synced(system, "shrinking", "False", "SuspiciousShrink")
    assert "27 of 30" in message
    system.wait_served(*ids("shrinking", *MANY))
    assert system.condition("shrinking", "Ready", of=REGISTRY)["status"] == "True"
    digest = re.search(rf"{ACCEPT_SHRINK_ANNOTATION}: ([0-9a-f]{{12}})", message)
    assert digest is not None
    annotate(system, "shrinking", ACCEPT_SHRINK_ANNOTATION, "0" * 12)
    wait_for(lambda: "number 2" in synced(system, "shrinking", "False", "SuspiciousShrink"), describe="another digest confirms nothing")
    annotate(system, "shrinking", ACCEPT_SHRINK_ANNOTATION, digest[1])
    synced(system, "shrinking", "True", "Synced")
    system.wait_served(*ids("shrinking", *MANY[:3]))
    assert status(system, "shrinking")["published"] == 3


@pytest.mark.timeout(200)
def test_an_operator_that_starts_while_the_registry_is_down_changes_nothing(system: System) -> None:
    with FakeRegistry([WEATHER, *MANY]) as registry:
        system.create_registry("lasting", registry.url)
        # Without servers there is nothing in the map to remember it by but the head.
        system.create_registry("empty", registry.url, filter={"include": ["nobody/*"]})
        system.wait_ready("lasting", "empty", of=REGISTRY)
        system.wait_served(*ids("lasting", WEATHER, *MANY))
    before = {name: conditions(system, name) | {"Synced": ()} for name in ("lasting", "empty")}
    fields = ("lastSyncTime", "lastFullSyncTime", "discovered", "published", "skipped")
    counted = {name: [status(system, name).get(field) for field in fields] for name in before}
    system.operator.kill()
    system.operator.restart()
    system.create_registry("nowhere", f"http://127.0.0.1:{closed_port()}")
    for name in ("lasting", "empty", "nowhere"):
        assert "nothing accepts connections" in synced(system, name, "False", "RegistryUnreachable", timeout=90.0)
    assert {name: conditions(system, name) | {"Synced": ()} for name in before} == before
    assert {name: [status(system, name).get(field) for field in fields] for name in before} == counted
    system.wait_condition("nowhere", "Ready", "Unknown", "NotProgrammed", of=REGISTRY)
    system.wait_served(*ids("lasting", WEATHER, *MANY))
    # The Event of the start is that of the sync, once.
    assert [message for message in told(system, "lasting") if "Programmed True" in message or "Ready True" in message] == []


def test_an_operator_ends_while_a_registry_keeps_it_waiting(system: System, registry: FakeRegistry) -> None:
    registry.fault = lambda _: Stall()
    system.create_registry("stalling", registry.url)
    wait_for(lambda: registry.requests, describe="the registry is asked")
    system.operator.terminate()
    assert system.operator.returncode == 0
    system.operator.restart()


# --- Secrets ---------------------------------------------------------------------------------------------------------------------------


def test_the_key_of_a_registry_may_come_later_and_change(system: System, registry: FakeRegistry) -> None:
    registry.manner.key = "first-key-of-the-registry"
    system.create_registry("private", registry.url, auth={"bearer": {"secretKeyRef": {"name": "registry-key", "key": "token"}}})
    assert f"{system.team}/registry-key" in synced(system, "private", "False", "UnresolvedRefs")
    system.wait_condition("private", "ResolvedRefs", "False", "SecretNotFound", of=REGISTRY)
    assert registry.requests == []
    system.secret("registry-key", {"token": registry.manner.key})
    system.wait_ready("private", of=REGISTRY)
    system.wait_served(*ids("private", WEATHER))

    registry.manner.key = "second-key-of-the-registry"
    annotate(system, "private", SYNC_REQUESTED_ANNOTATION, "now")
    synced(system, "private", "False", "RegistryUnauthorized")
    system.api.patch("v1/Secret", "registry-key", {"stringData": {"token": registry.manner.key}}, system.team)
    synced(system, "private", "True", "Synced")
    assert not any(word in system.operator.log() for word in ("first-key", "second-key"))


def test_a_rotated_credential_of_a_server_is_published_without_asking_the_registry(system: System, registry: FakeRegistry) -> None:
    header = {"name": "X-Token", "valueFrom": {"secretKeyRef": {"name": "maps-key", "key": "token"}}}
    system.create_registry(
        "keyed", registry.url, credentials=[{"servers": ["com.acme/maps"], "hosts": ["maps.example.com"], "headers": [header]}]
    )
    system.wait_condition("keyed", "ResolvedRefs", "False", "SecretNotFound", of=REGISTRY)
    system.wait_condition("keyed", "Ready", "True", of=REGISTRY)
    system.wait_served(*ids("keyed", WEATHER, MAPS))
    assert [gateway.connectors()["mcp::keyed::com.acme/maps"]["available"] for gateway in system.gateways] == [False, False]
    asked = len(registry.requests)
    system.secret("maps-key", {"token": "first-value-of-the-key"})
    wait_for(
        lambda: all(gateway.connectors()["mcp::keyed::com.acme/maps"]["available"] for gateway in system.gateways),
        describe="the server can be called",
    )
    assert published_credentials(system) == {"first-value-of-the-key"}
    sequences = [gateway.revision()["sequence"] for gateway in system.gateways]
    system.api.patch("v1/Secret", "maps-key", {"stringData": {"token": "second-value-of-the-key"}}, system.team)
    wait_for(
        lambda: all(gateway.revision()["sequence"] > before for gateway, before in zip(system.gateways, sequences, strict=True)),
        describe="the gateways serve the new version",
    )
    wait_for(lambda: published_credentials(system) == {"second-value-of-the-key"}, describe="the old value is removed")
    assert len(registry.requests) == asked
    system.wait_condition("keyed", "ResolvedRefs", "True", of=REGISTRY)
    assert "second-value" not in str(system.api.list("v1/ConfigMap", system.namespace)) + system.operator.log()


def published_credentials(system: System) -> set[str]:
    """The values in the Secrets of both maps."""
    secrets = system.api.list("v1/Secret", system.namespace, labels="junctor.dev/connector-map")
    return set(
        decoded(text for secret in secrets if "-credentials-" in secret["metadata"]["name"] for text in secret.get("data", {}).values())
    )


def decoded(texts: Iterable[str]) -> Iterator[str]:
    return (base64.b64decode(text).decode() for text in texts)


def refused(system: System) -> int:
    """How often the operator was not permitted to read registries."""
    return sum(
        event["user"].get("username") == system.release.operator_user
        and event.get("objectRef", {}).get("resource") == "mcpregistries"
        and event.get("responseStatus", {}).get("code") == 403
        for event in system.control_plane.audit_events()
    )


# --- an older chart --------------------------------------------------------------------------------------------------------------------


def test_with_the_permissions_of_an_older_chart_connectors_are_served_and_published_servers_stay(
    system: System, registry: FakeRegistry
) -> None:
    system.create_registry("granted", registry.url)
    system.wait_ready("granted", of=REGISTRY)
    roles = [body for body in system.api.list("rbac.authorization.k8s.io/v1/Role", system.team) if body.get("rules")]
    older = [
        [{**rule, "resources": [name for name in rule["resources"] if "mcpregistries" not in name]} for rule in role["rules"]]
        for role in roles
    ]
    assert older != [role["rules"] for role in roles]
    system.operator.kill()
    said, before = len(system.operator.log()), refused(system)
    try:
        for role, rules in zip(roles, older, strict=True):
            system.api.patch("rbac.authorization.k8s.io/v1/Role", role["metadata"]["name"], {"rules": rules}, system.team)
        system.operator.restart()
        system.create("plain")
        system.wait_ready("plain")
        system.wait_served("plain", *ids("granted", WEATHER))
        wait_for(lambda: refused(system) > before + 3, describe="the operator has tried again")
        since = system.operator.log()[said:]
        assert since.count("registries are not read, what is published of them stays") == 1
        assert len([line for line in since.splitlines() if "mcpregistries" in line and "will retry" in line]) == 1
    finally:
        for role in roles:
            system.api.patch("rbac.authorization.k8s.io/v1/Role", role["metadata"]["name"], {"rules": role["rules"]}, system.team)
    registry.publish(record("com.acme/news", remotes=[remote("https://news.example.com/mcp")]))
    ask_for_sync(system, "granted", "now")
    system.wait_served("plain", *ids("granted", WEATHER), "mcp::granted::com.acme/news")
