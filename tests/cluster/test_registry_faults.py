"""Registries that misbehave, keys that are missing or change, operators that start or end meanwhile: nothing is lost."""

import base64
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from junctor.api.names import ACCEPT_SHRINK_ANNOTATION, SYNC_REQUESTED_ANNOTATION
from tests.cluster.api import wait_for
from tests.cluster.registries import (
    MANY,
    MAPS,
    WEATHER,
    annotate,
    ask_for_sync,
    change,
    conditions,
    ids,
    status,
    synced,
    told,
)
from tests.cluster.system import REGISTRY, System
from tests.support.fake_registry import FakeRegistry, Fault, Stall, Status
from tests.support.mcp_servers import self_signed
from tests.support.ports import free_port
from tests.support.registry_data import record, remote


@pytest.fixture
def system(two_gateways: System) -> System:
    return two_gateways


def answering(status: int, **more: Any) -> Callable[[object], Fault]:
    return lambda _: Status(status, **more)


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
    system.create_registry("nowhere", f"http://127.0.0.1:{free_port()}")
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


# --- an older chart --------------------------------------------------------------------------------------------------------------------


def refused(system: System) -> int:
    """How often the operator was not permitted to read registries."""
    return sum(
        event["user"].get("username") == system.release.operator_user
        and event.get("objectRef", {}).get("resource") == "mcpregistries"
        and event.get("responseStatus", {}).get("code") == 403
        for event in system.control_plane.audit_events()
    )


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
