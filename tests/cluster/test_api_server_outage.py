"""Two minutes without an API server. They are idle, so the test has a file of its own, which runs beside the others."""

import time
from collections.abc import Iterator

import pytest

from tests.cluster.api import Api
from tests.cluster.controlplane import ControlPlane
from tests.cluster.resources import install_crds
from tests.cluster.system import System, new_system

OUTAGE_SECONDS = 120.0
PAUSE_SECONDS = 0.5


@pytest.fixture
def system(own_control_plane: ControlPlane, own_api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    install_crds(own_api)
    with new_system(own_control_plane, own_api, tmp_path_factory.mktemp("logs")) as system:
        yield system.start(values={})


# After so long an outage the controllers of the control plane need their time too.
@pytest.mark.timeout(600)
def test_gateways_serve_through_an_outage_of_the_api_server_and_everything_converges_after_it(system: System) -> None:
    for name in ("kept", "changed", "deleted"):
        system.create(name)
    system.wait_ready("kept", "changed", "deleted")
    system.control_plane.kill_apiserver()
    back = time.monotonic() + OUTAGE_SECONDS
    asked = 0
    while time.monotonic() < back:
        for gateway in system.gateways:
            assert set(gateway.connectors()) == {"kept", "changed", "deleted"}
            asked += 1
        time.sleep(PAUSE_SECONDS)
    assert asked > 100
    assert system.operator.running
    system.control_plane.start_apiserver()
    system.patch("changed", description="after the outage")
    system.delete("deleted")
    system.create("new")
    system.wait_condition("new", "Ready", "True", timeout=60.0)
    system.wait_served("kept", "changed", "new", timeout=60.0)
    assert [gateway.connectors()["changed"]["description"] for gateway in system.gateways] == ["after the outage"] * 2
    system.wait_ready("changed")
