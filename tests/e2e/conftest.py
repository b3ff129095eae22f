"""One gateway for the tests that can share it, and standalones for those that cannot."""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from openai import AsyncOpenAI

from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.running_standalone import Running, Standalone, new_standalone


@pytest.fixture(scope="session")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that runs until the last test ends."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture
async def client(shared_gateway: RunningGateway) -> AsyncIterator[AsyncOpenAI]:
    """Its strict client."""
    async with shared_gateway.client() as client:
        yield client


@pytest.fixture(scope="module")
def module_standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    """A standalone for all tests of a module."""
    with new_standalone(tmp_path_factory.mktemp("standalone")) as running:
        yield running.standalone


@pytest.fixture
def running(module_standalone: Standalone) -> Iterator[Running]:
    """The module's standalone on an empty directory; what a test leaves there is removed after it."""
    with closing(Running(module_standalone)) as running:
        yield running
        running.remove_all()


@pytest.fixture
def own_running(tmp_path: Path) -> Iterator[Running]:
    """A standalone for one test, which ends it."""
    with new_standalone(tmp_path) as running:
        yield running
