"""One gateway for each module of attacks, with a scripted model server behind it."""

from collections.abc import Iterator

import pytest

from tests.support.running_gateway import RunningGateway, running_gateway


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A `junctor standalone` for the attacks of one module: url (with /v1), management, process, model."""
    with running_gateway(tmp_path_factory.mktemp("victim")) as gateway:
        yield gateway
