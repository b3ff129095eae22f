"""One control plane and one official MCP registry for the whole session, a namespace for each test."""

from collections.abc import Iterator

import pytest

from tests.cluster.api import Api
from tests.cluster.controlplane import ControlPlane
from tests.cluster.resources import fresh_namespace, install_crds
from tests.cluster.tools import find_binary, find_registry
from tests.support.registry_server import RegistryServer


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what the tests need before the first one, where the progress shows and no test's time limit counts."""
    wanted = any(
        not {"control_plane", "own_control_plane"}.isdisjoint(getattr(item, "fixturenames", ())) or "contract" in item.nodeid
        for item in session.items
    )
    registry = any("registry_server" in getattr(item, "fixturenames", ()) for item in session.items)
    if not session.config.option.collectonly:
        with session.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            if wanted:
                find_binary()
            if registry:
                find_registry()


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A control plane that knows Junctor's resources."""
    with ControlPlane() as control_plane, control_plane.api() as api:
        install_crds(api)
        yield control_plane


@pytest.fixture(scope="session")
def api(control_plane: ControlPlane) -> Iterator[Api]:
    """The administrator's client."""
    with control_plane.api() as api:
        yield api


@pytest.fixture(scope="session")
def registry_server() -> Iterator[RegistryServer]:
    """An official MCP registry that knows no servers at first; what a test publishes in it stays."""
    with RegistryServer() as registry:
        yield registry


@pytest.fixture
def namespace(api: Api) -> Iterator[str]:
    """A fresh namespace with its default service account; its deletion goes on after the test."""
    with fresh_namespace(api) as name:
        yield name
