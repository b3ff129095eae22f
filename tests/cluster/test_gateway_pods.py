"""Signals and acknowledgements on real Pod objects: pods that come, go, restart, move, hang and refuse."""

import pytest

from tests.cluster.api import wait_for
from tests.cluster.system import CONNECTOR, System


@pytest.fixture
def system(own_system: System) -> System:
    return own_system.start(gateways=0)


def resource_version(system: System, name: str) -> str:
    return str(system.api.get(CONNECTOR, name, system.team)["metadata"]["resourceVersion"])


def test_without_pods_a_connector_is_programmed_and_nobody_says_that_it_is_ready(system: System) -> None:
    system.create("lonely")
    system.wait_condition("lonely", "Programmed", "True")
    system.wait_condition("lonely", "Ready", "Unknown", "NoGatewayPods")
    system.add_gateway()
    system.wait_ready("lonely")


def test_a_pod_that_joins_serves_the_map_and_changes_no_status(system: System) -> None:
    system.add_gateway()
    system.create("steady")
    system.wait_ready("steady")
    before = resource_version(system, "steady")
    joined = system.add_gateway()
    system.create("later")
    system.wait_ready("later")
    assert set(joined.connectors()) == {"steady", "later"}
    assert resource_version(system, "steady") == before


def test_a_pod_that_never_answers_is_named_and_holds_up_nobody_else(system: System) -> None:
    healthy, stuck = system.add_gateway(), system.add_gateway()
    system.create("before")
    system.wait_ready("before")
    stuck.process.pause()
    system.create("after")
    found = system.wait_condition("after", "Ready", "False", "GatewayUnreachable")
    assert stuck.pod.name in found["message"]
    assert "1 of 2 pods" in found["message"]
    assert set(healthy.connectors()) == {"before", "after"}
    assert system.condition("before", "Ready")["status"] == "True"
    system.create("third")
    wait_for(lambda: "third" in healthy.connectors(), describe="the next change reaches the healthy pod")
    stuck.process.resume()
    system.wait_ready("after", "third")
    assert set(stuck.connectors()) == {"before", "after", "third"}


def test_a_pod_that_goes_away_is_waited_for_no_longer(system: System) -> None:
    system.add_gateway()
    gone = system.add_gateway()
    gone.process.pause()
    system.create("patient")
    system.wait_condition("patient", "Ready", "False", "GatewayUnreachable")
    gone.pod.delete()
    system.wait_ready("patient")
    gone.process.kill()


def test_a_pod_that_loses_readiness_is_waited_for_no_longer(system: System) -> None:
    system.add_gateway()
    sick = system.add_gateway()
    sick.process.pause()
    system.create("patient")
    system.wait_condition("patient", "Ready", "False", "GatewayUnreachable")
    sick.pod.set_ready(False)
    system.wait_ready("patient")
    sick.process.resume()


def test_a_pod_that_restarts_or_moves_is_signalled_where_it_is(system: System) -> None:
    pod = system.add_gateway()
    system.create("one")
    system.wait_ready("one")
    pod.process.restart()
    pod.process.wait_until_ready(f"http://{pod.address}:8322/-/readyz")
    process, address = system.start_gateway_process()
    process.wait_until_ready(f"http://{address}:8322/-/readyz")
    pod.process.kill()
    pod.pod.set_ip(address)
    system.create("two")
    system.wait_ready("two")
    assert set(pod.connectors()) == {"one", "two"}


def test_a_gateway_that_nobody_can_signal_follows_by_itself(system: System) -> None:
    """As behind a network policy that blocks the operator: the slow poll delivers."""
    process, address = system.start_gateway_process()
    process.wait_until_ready(f"http://{address}:8322/-/readyz")
    system.add_gateway()
    system.create("hidden")
    system.wait_ready("hidden")
    wait_for(lambda: '"sequence": 2' in process.log() or "sequence 2 " in process.log(), describe=lambda: f"it polls\n{process.tail()}")


def test_a_pod_that_refuses_the_map_is_named_with_its_reason(system: System) -> None:
    """A gateway of another map that already serves another installation refuses this one's head."""
    system.add_gateway()
    refusing = system.add_gateway()
    system.create("one")
    system.wait_ready("one")
    system.operator.kill()
    anchor = f"{system.map_name}-anchor"
    system.api.delete("v1/ConfigMap", anchor, system.namespace)
    wait_for(
        lambda: system.api.find("v1/ConfigMap", system.map_name, system.namespace) is None,
        timeout=60,
        describe="the garbage collector removes the map of the deleted anchor",
    )
    system.operator.restart()
    found = system.wait_condition("one", "Ready", "False", "GatewayRejected", timeout=60)
    assert "installation" in found["message"]
    assert set(refusing.connectors()) == {"one"}
    for item in system.gateways:
        item.process.restart()
    system.wait_ready("one")


def test_two_gateways_select_by_labels_and_the_status_speaks_for_both(own_system: System) -> None:
    system, team = own_system, own_system.team
    gateways = [
        {"name": "default", "idPolicies": [{"pattern": "platform_*", "namespaces": ["platform"]}]},
        {"name": "lab", "connectorSelector": {"matchLabels": {"stage": "lab"}}, "defaultConnectorID": "{namespace}.{name}"},
    ]
    system.start(gateways=0, values={"operator": {"namespaces": [team]}, "gateways": gateways})
    default, lab = system.add_gateway("default"), system.add_gateway("lab")
    system.create("everywhere", labels={"stage": "lab"})
    system.create("default-only")
    system.wait_ready("everywhere", "default-only")
    assert set(default.connectors()) == {"everywhere", "default-only"}
    assert set(lab.connectors()) == {f"{team}.everywhere"}
    status = system.api.get(CONNECTOR, "everywhere", team)["status"]
    assert [(item["name"], item["acknowledged"], item["pods"]) for item in status["gateways"]] == [("default", 1, 1), ("lab", 1, 1)]

    system.create("reserved", connectorID="platform_tools")
    assert "platform" in system.wait_condition("reserved", "Accepted", "False", "IDNotPermitted")["message"]

    lab.process.pause()
    system.patch("everywhere", description="new")
    assert system.wait_condition("everywhere", "Ready", "False", "GatewayUnreachable")["message"].startswith("gateway lab: ")
    lab.process.resume()
    system.wait_ready("everywhere")
