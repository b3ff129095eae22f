"""One gateway for the tests that can share it, and standalones for those that cannot."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from openai import AsyncOpenAI

from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.running_standalone import Running, Standalone


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


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A standalone on an empty directory; its log is `log` in tmp_path."""
    directory = tmp_path / "connectors"
    directory.mkdir()
    with Standalone(directory, tmp_path / "log") as standalone:
        running = Running(standalone)
        yield running
        running.client.close()
