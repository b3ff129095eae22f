"""What the tests of registries on a real API server have in common: servers, and what is asked of a system and seen of it."""

from typing import Any

from junctor.api.names import SYNC_REQUESTED_ANNOTATION
from tests.cluster.api import wait_for
from tests.cluster.system import REGISTRY, System
from tests.support.registry_data import PUBLISHED, Row, record, remote, servers

#: As many as have to vanish at once before a loss is held back, and then some.
MANY = servers(30, mix=PUBLISHED, older=False)
WEATHER = record("com.acme/weather", remotes=[remote("https://weather.example.com/mcp")])
TOKEN = {"name": "X-Token", "isRequired": True, "isSecret": True}
MAPS = record("com.acme/maps", remotes=[remote("https://maps.example.com/mcp", headers=[TOKEN])])
LOCAL = record("com.acme/local", packages=[{"registryType": "npm", "identifier": "@acme/local"}])


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


def synced(system: System, name: str, told: str, reason: str, timeout: float = 60.0) -> str:
    """Wait for a verdict of the condition Synced; its message."""
    return str(system.wait_condition(name, "Synced", told, reason, timeout, of=REGISTRY)["message"])


def told(system: System, name: str) -> list[str]:
    """The messages of the Events about a registry."""
    return [item["message"] for item in system.events() if item["involvedObject"]["name"] == name]
