"""What a thief of the operator's token may read: nothing of other namespaces that the operator does not need."""

from pathlib import Path
from typing import Any

import pytest

from junctor.kube.client import KubernetesApi, Refused, object_path
from tests.cluster.api import Api
from tests.cluster.controlplane import ControlPlane
from tests.cluster.release import install_release

TOKENS = {"gatewayDefaults": {"callers": {"mode": "kubernetes"}}}


async def refusals(kubeconfig: Path, namespaces: tuple[str | None, ...]) -> set[tuple[str, str | None]]:
    """The kinds that these credentials cannot list, each with the namespace; None is the whole cluster."""
    api = await KubernetesApi.connect(kubeconfig)
    found = set()
    for plural in ("configmaps", "pods", "secrets"):
        for namespace in namespaces:
            try:
                async for _ in api.list(object_path(plural, namespace)):
                    pass
            except Refused:
                found.add((plural, namespace))
    await api.close()
    return found


@pytest.mark.parametrize("narrow", [True, False], ids=["some namespaces", "whole cluster"])
async def test_the_token_of_the_operator_lists_no_pods_and_config_maps_elsewhere(
    control_plane: ControlPlane, api: Api, namespace: str, narrow: bool
) -> None:
    values: dict[str, Any] = {"operator": {"namespaces": [namespace]} if narrow else {"allNamespaces": True}}
    release = install_release(control_plane, namespace, {**TOKENS, **values, "gateways": [{"name": "default"}]})
    try:
        refused = await refusals(release.operator_kubeconfig, (None, "kube-system", namespace))
    finally:
        release.uninstall()
    kinds = ("configmaps", "pods", "secrets") if narrow else ("configmaps", "pods")
    assert refused == {(kind, elsewhere) for kind in kinds for elsewhere in (None, "kube-system")}
