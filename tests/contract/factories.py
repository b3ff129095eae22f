"""The implementations that the contract tests run against. To have another one tested, add its factory here.

A factory gives `MapObjects` of a map that has no objects yet.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from junctor.api.configuration import GatewaySpec
from junctor.kube.client import KubernetesApi
from junctor.operator.map_objects import ConfigMapObjects
from junctor.reconcile.ports import MapObjects
from junctor.standalone.adapters import MemoryMapObjects

Factory = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[MapObjects]]


@asynccontextmanager
async def in_memory(request: pytest.FixtureRequest) -> AsyncIterator[MapObjects]:
    """What standalone uses."""
    yield MemoryMapObjects("junctor-connectors")


@asynccontextmanager
async def on_kubernetes(request: pytest.FixtureRequest) -> AsyncIterator[MapObjects]:
    """What the operator uses, on a real API server, in a namespace of its own."""
    api = await KubernetesApi.connect(request.getfixturevalue("control_plane").kubeconfig)
    try:
        yield ConfigMapObjects(api, GatewaySpec(namespace=request.getfixturevalue("namespace")))
    finally:
        await api.close()


FACTORIES: list[Factory] = [in_memory, on_kubernetes]
