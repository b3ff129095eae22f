"""Systems for the cluster tests."""

from collections.abc import Iterator

import pytest

from tests.cluster.api import Api
from tests.cluster.controlplane import ControlPlane
from tests.cluster.registries import LOCAL, MAPS, WEATHER
from tests.cluster.system import System, new_system
from tests.support.fake_registry import FakeRegistry


@pytest.fixture(scope="module")
def own_control_plane() -> Iterator[ControlPlane]:
    """A control plane for the tests of one module, which break it; it has no CRDs yet."""
    with ControlPlane() as control_plane:
        yield control_plane


@pytest.fixture(scope="module")
def own_api(own_control_plane: ControlPlane) -> Iterator[Api]:
    """The administrator's client of the module's control plane."""
    with own_control_plane.api() as api:
        yield api


@pytest.fixture(scope="module")
def module_system(control_plane: ControlPlane, api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """An operator and two gateways for all tests of a module."""
    with new_system(control_plane, api, tmp_path_factory.mktemp("logs")) as system:
        yield system.start()


@pytest.fixture
def shared_system(module_system: System) -> Iterator[System]:
    """The module's system; the connectors that a test leaves are deleted after it."""
    yield module_system
    module_system.delete_all()


@pytest.fixture
def own_system(control_plane: ControlPlane, api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system for one test, not started yet."""
    with new_system(control_plane, api, tmp_path_factory.mktemp("logs")) as system:
        yield system


@pytest.fixture(scope="module")
def module_gateways(control_plane: ControlPlane, api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """An operator with two gateways, one pod each, for all tests of a module."""
    with new_system(control_plane, api, tmp_path_factory.mktemp("logs")) as system:
        system.start(gateways=1, values={"operator": {"namespaces": [system.team]}, "gateways": [{"name": "default"}, {"name": "second"}]})
        system.add_gateway("second")
        yield system


@pytest.fixture
def two_gateways(module_gateways: System) -> Iterator[System]:
    """The module's system with two gateways; what a test leaves is deleted after it."""
    yield module_gateways
    module_gateways.delete_all()


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """A registry with one server that can be called, one that needs a key, and one that nobody can call."""
    with FakeRegistry([WEATHER, MAPS, LOCAL]) as running:
        yield running
