"""A registry that changes every record at each sync, against the real etcd."""

import re

import httpx
import pytest

from junctor.api.names import SYNC_REQUESTED_ANNOTATION
from tests.cluster.api import wait_for
from tests.cluster.controlplane import ControlPlane
from tests.cluster.registries import annotate
from tests.cluster.system import REGISTRY, System
from tests.support.attacks import MIB, memory
from tests.support.hostile_registry import HostileRegistry, endless


@pytest.fixture
def system(own_system: System) -> System:
    return own_system.start(gateways=1)


def stored(control_plane: ControlPlane) -> float:
    """MiB that etcd has stored."""
    metrics = httpx.get(f"{control_plane.etcd}/metrics", trust_env=False, timeout=60).text
    found = re.search(r"^etcd_mvcc_db_total_size_in_use_in_bytes (\S+)$", metrics, re.MULTILINE)
    assert found
    return float(found[1]) / MIB


def written(system: System) -> int:
    """How many shards the operator has written so far."""
    return sum(
        event["verb"] == "create" and event["objectRef"]["resource"] == "configmaps"
        for event in system.control_plane.audit_events()
        if event["user"].get("username") == system.release.operator_user
    )


def test_a_registry_that_changes_everything_at_each_sync_writes_at_a_bounded_rate(system: System) -> None:
    before = stored(system.control_plane)
    with HostileRegistry(endless(salted=True)) as registry:
        system.create_registry("churning", registry.url, sync={"intervalSeconds": 10})
        for number in range(2):
            wait_for(lambda: registry.syncs > number, 120, "a sync begins")  # noqa: B023  # it is called in this turn only
            seen = written(system)
            wait_for(lambda: written(system) > seen, 120, lambda: f"a sync is published\n{system.operator.tail(10)}")  # noqa: B023
            annotate(system, "churning", SYNC_REQUESTED_ANNOTATION, f"again-{number}")
        # The bucket is empty now: nobody gets another sync, however often it is requested, and connectors are served as ever.
        syncs = registry.syncs
        for number in range(3):
            annotate(system, "churning", SYNC_REQUESTED_ANNOTATION, f"and-again-{number}")
            system.create(f"good-{number}")
            system.wait_condition(f"good-{number}", "Ready", "True", timeout=180)
        assert registry.syncs <= syncs + 1
        assert system.condition("churning", "Synced", of=REGISTRY)["reason"] == "PartialSync"
    assert stored(system.control_plane) - before <= 2.5 * 128
    assert memory(system.operator).peak <= 400
