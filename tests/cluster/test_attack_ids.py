"""A tenant's connector waits for the id of another team's connector, and the operator restarts while the id is free."""

from collections.abc import Iterator

import pytest

from junctor.api.names import API_VERSION
from tests.cluster.api import Api, wait_for
from tests.cluster.resources import fresh_namespace
from tests.cluster.system import CONNECTOR, System

ID = "connector_github"


@pytest.fixture
def tenant(api: Api) -> Iterator[str]:
    """The namespace of somebody who may create connectors there."""
    with fresh_namespace(api) as name:
        yield name


def accepted(system: System, tenant: str) -> dict[str, str]:
    status = system.api.get(CONNECTOR, "waiting", tenant).get("status", {})
    return next((dict(item) for item in status.get("conditions", ()) if item["type"] == "Accepted"), {})


def test_free_id_is_kept_for_its_namespace_although_the_operator_restarts(own_system: System, tenant: str) -> None:
    system = own_system.start(gateways=1, values={"operator": {"namespaces": [own_system.team, tenant]}})
    system.create("github", connectorID=ID)
    system.wait_ready("github")
    spec = {"connectorID": ID, "url": "https://tenant.example.com/mcp"}
    metadata = {"name": "waiting", "namespace": tenant}
    system.api.create({"apiVersion": API_VERSION, "kind": "MCPConnector", "metadata": metadata, "spec": spec})
    wait_for(lambda: accepted(system, tenant).get("reason") == "IDConflict", describe="the tenant's connector waits")

    system.delete("github")
    wait_for(lambda: accepted(system, tenant).get("reason") == "IDQuarantined", describe=lambda: f"{accepted(system, tenant)}")
    told = accepted(system, tenant)["message"]
    assert f"in namespace {system.team}, and another namespace may take it from 20" in told
    system.operator.kill()
    system.operator.restart()
    system.create("probe")
    system.wait_ready("probe")
    assert set(system.gateways[0].connectors()) == {"probe"}
    assert accepted(system, tenant)["message"] == told, "neither the id nor the time changed"

    system.create("github", connectorID=ID)
    system.wait_ready("github")
    assert system.gateways[0].connectors()[ID]["origin"]["namespace"] == system.team
