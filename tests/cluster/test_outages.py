"""What the operator cannot see is never taken for nothing: missing CRD, refused LISTs, an API server that is away. A cluster of its own."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from junctor.api.names import CONNECTOR_CRD, REGISTRY_CRD
from tests.cluster.api import Api, wait_for
from tests.cluster.controlplane import ControlPlane
from tests.cluster.resources import install_crds
from tests.cluster.system import CONNECTOR, REGISTRY, System, new_system
from tests.support.fake_registry import FakeRegistry
from tests.support.registry_data import PUBLISHED, servers

#: As many as have to vanish at once before a loss is held back, and then some.
MANY = 24


@contextmanager
def started(control_plane: ControlPlane, api: Api, logs: pytest.TempPathFactory, **values: object) -> Iterator[System]:
    """A system that looks at the whole cluster."""
    with new_system(control_plane, api, logs.mktemp("logs"), team_labels={"mcp": "yes"}) as system:
        yield system.start(values=values)
        for body in api.list(CONNECTOR):
            api.delete(CONNECTOR, body["metadata"]["name"], body["metadata"]["namespace"])


@pytest.fixture
def system(own_control_plane: ControlPlane, own_api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    install_crds(own_api)
    with started(own_control_plane, own_api, tmp_path_factory) as system:
        yield system


def delete_crd(api: Api, name: str = CONNECTOR_CRD) -> None:
    crd = "apiextensions.k8s.io/v1/CustomResourceDefinition"
    api.delete(crd, name)
    wait_for(lambda: api.find(crd, name) is None, describe="the CRD is gone")


def test_an_operator_that_starts_before_the_crd_waits_for_it(
    own_control_plane: ControlPlane, own_api: Api, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with started(own_control_plane, own_api, tmp_path_factory) as system:
        wait_for(lambda: "MCPConnector does not exist" in system.operator.log(), describe="the operator says what is missing")
        install_crds(own_api)
        system.create("first")
        system.wait_ready("first")
        system.wait_served("first")
        system.delete("first")
        system.wait_served()


def test_a_crd_deleted_while_running_removes_nothing_from_the_gateways(system: System) -> None:
    names = ("one", "two", "three")
    for name in names:
        system.create(name)
    system.wait_ready(*names)
    delete_crd(system.api)
    wait_for(lambda: "what is published of it stays" in system.operator.log(), describe="the operator notices")
    for gateway in system.gateways:
        assert set(gateway.connectors()) == set(names)
    install_crds(system.api)
    system.create("four")
    system.wait_ready("four")
    system.wait_served("four")


def test_without_the_crd_of_registries_what_is_published_of_them_stays_and_connectors_are_served(system: System) -> None:
    rows = servers(MANY, mix=PUBLISHED, older=False)
    found = {f"mcp::community::{row.name}" for row in rows}
    with FakeRegistry(rows) as registry:
        system.create_registry("community", registry.url)
        system.wait_ready("community", of=REGISTRY)
        delete_crd(system.api, REGISTRY_CRD)
        wait_for(lambda: "registries are not read" in system.operator.log(), describe="the operator notices")
        system.create("one")
        system.wait_ready("one")
        system.wait_served("one", *found)
        system.operator.kill()
        system.operator.restart()
        system.create("two")
        system.wait_ready("two")
        system.wait_served("one", "two", *found)
        assert "older than this operator" not in system.operator.log()

        install_crds(system.api)
        system.create_registry("community", registry.url)
        system.wait_ready("community", of=REGISTRY)
        system.wait_served("one", "two", *found)
        system.api.delete(REGISTRY, "community", system.team)
        # Where the operator does not watch the new kind yet, it holds the loss for a minute.
        system.wait_served("one", "two", timeout=180.0)


def test_deleting_all_connectors_at_once_is_followed_at_once(system: System) -> None:
    names = [f"many-{number}" for number in range(MANY)]
    for name in names:
        system.create(name)
    system.wait_served(*names)
    system.control_plane.kubectl("delete", "mcpconnectors", "--all", "--namespace", system.team)
    system.wait_served()


def test_connectors_that_vanish_while_nobody_watches_are_held_and_then_followed(system: System) -> None:
    names = [f"many-{number}" for number in range(MANY)]
    for name in names:
        system.create(name)
    system.wait_served(*names)
    system.operator.terminate()
    system.control_plane.kubectl("delete", "mcpconnectors", "--all", "--namespace", system.team)
    system.operator.restart()
    wait_for(
        lambda: any(item["reason"] == "ConnectorLossHeld" for item in system.events(system.namespace)),
        describe="an Event tells of the loss",
    )
    system.create("new")
    system.wait_ready("new")
    assert set(system.gateways[0].connectors()) == {*names, "new"}
    system.wait_served("new", timeout=180.0)


def test_a_namespace_that_is_relabelled_away_takes_its_connectors_along(
    own_control_plane: ControlPlane, own_api: Api, tmp_path_factory: pytest.TempPathFactory
) -> None:
    install_crds(own_api)
    gateways = [{"name": "default", "namespaceSelector": {"matchLabels": {"mcp": "yes"}}}]
    with started(own_control_plane, own_api, tmp_path_factory, gateways=gateways) as system:
        system.create("one")
        system.wait_ready("one")
        own_api.patch("v1/Namespace", system.team, {"metadata": {"labels": {"mcp": None}}})
        system.wait_condition("one", "Accepted", "False", "NoMatchingGateway")
        system.wait_served()
        own_api.patch("v1/Namespace", system.team, {"metadata": {"labels": {"mcp": "yes"}}})
        system.wait_ready("one")
        system.wait_served("one")


def test_a_list_that_is_refused_is_not_an_empty_one(system: System) -> None:
    for name in ("one", "two"):
        system.create(name)
    system.wait_ready("one", "two")
    system.operator.kill()
    binding = next(body for body in system.release.objects if body["kind"] == "ClusterRoleBinding")
    system.api.delete("rbac.authorization.k8s.io/v1/ClusterRoleBinding", binding["metadata"]["name"])
    system.operator.restart()
    wait_for(lambda: "cannot be listed" in system.operator.log(), describe="the operator says that it cannot list")
    for gateway in system.gateways:
        assert set(gateway.connectors()) == {"one", "two"}
    system.api.create(binding)
    system.create("three")
    system.wait_ready("three")
    system.wait_served("one", "two", "three")


def test_a_deletion_during_an_outage_of_the_operator_is_noticed(system: System) -> None:
    system.create("short-lived")
    system.create("long-lived")
    system.wait_ready("short-lived", "long-lived")
    system.operator.pause()
    system.delete("short-lived")
    system.operator.resume()
    system.wait_served("long-lived")


def test_sigterm_ends_operator_and_gateways_with_success(system: System) -> None:
    system.create("one")
    system.wait_ready("one")
    system.operator.terminate()
    assert system.operator.returncode == 0
    for gateway in system.gateways:
        gateway.process.terminate()
        assert gateway.process.returncode == 0
