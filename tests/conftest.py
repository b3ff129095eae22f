"""One control plane and one official MCP registry for the whole session, a namespace for each test."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.cluster.api import Api
from tests.cluster.controlplane import ControlPlane
from tests.cluster.resources import fresh_namespace, install_crds
from tests.cluster.tools import find_binary, find_registry
from tests.support.registry_server import RegistryServer

# A test is red for what the code does: neither a slow machine nor an example that nobody has met before turns it red. To look for
# new examples: HYPOTHESIS_PROFILE=explore .venv/bin/pytest FILE.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", _PATIENT, derandomize=True)
settings.register_profile("explore", _PATIENT, max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

#: The files that take longest, half a minute or more, longest first. A worker of `make test` runs a file at a time: one that began last
#: would leave the others without work.
LONGEST = (
    "cluster/test_api_server_outage.py",
    "cluster/test_outages.py",
    "cluster/test_map_objects.py",
    "cluster/test_gateway_pods.py",
    "e2e/test_loop_faults.py",
    "e2e/test_errors_page.py",
    "e2e/test_leaks.py",
    "cluster/test_rbac.py",
    "e2e/test_demo.py",
    "e2e/test_standalone_registry.py",
    "cluster/test_registry_story.py",
    "e2e/test_hostile_servers.py",
    "cluster/test_registries.py",
    "e2e/test_responses_page.py",
    "e2e/test_openai_examples.py",
    "cluster/test_gateway_release.py",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are cores, because tests wait most of their time; at most five, each with a control plane of 550 MB."""
    return min(len(os.sched_getaffinity(0)), 4) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; else the order stays."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST)}
    if missing := [str(path) for path in ranks if not path.exists()]:
        raise pytest.UsageError(f"LONGEST in tests/conftest.py names {', '.join(missing)}, which does not exist")
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what the tests need before the first one, where the progress shows and no test's time limit counts."""
    gc.collect()
    gc.freeze()  # what is imported stays anyway: test servers collect garbage at their end, which then takes no time
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
