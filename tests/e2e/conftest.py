"""One gateway for the tests that can share it."""

from collections.abc import AsyncIterator, Iterator

import pytest
from openai import AsyncOpenAI

from tests.support.running_gateway import RunningGateway, running_gateway


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
