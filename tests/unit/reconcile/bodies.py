"""Kubernetes objects as events and LISTs give them."""

import base64
from typing import Any

from junctor.api.configuration import OperatorConfiguration
from junctor.api.names import CREDENTIALS_LABEL, GATEWAY_LABEL
from tests.unit.planning.building import URL


def configuration(*gateways: dict[str, Any]) -> OperatorConfiguration:
    """An operator's configuration; without gateways: one that selects everything."""
    return OperatorConfiguration.model_validate(
        {
            "apiVersion": "config.junctor.dev/v1alpha1",
            "kind": "OperatorConfiguration",
            "gateways": list(gateways) or [{"name": "default", "namespace": "junctor"}],
        }
    )


def connector_body(
    name: str, version: int, *, uid: str = "", namespace: str = "team-a", generation: int = 1, **spec: Any
) -> dict[str, Any]:
    """An MCPConnector. labels, status, deletionTimestamp: taken out of `spec`."""
    body: dict[str, Any] = {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
            "generation": generation,
            "creationTimestamp": "2025-01-01T00:00:00Z",
            "labels": spec.pop("labels", {}),
        },
    }
    if "deletionTimestamp" in spec:
        body["metadata"]["deletionTimestamp"] = spec.pop("deletionTimestamp")
    if "status" in spec:
        body["status"] = spec.pop("status")
    body["spec"] = {"url": URL} | spec
    return body


def registry_body(name: str, version: int, *, generation: int = 1, **spec: Any) -> dict[str, Any]:
    """An MCPRegistry. annotations, status: taken out of `spec`."""
    annotations, status = spec.pop("annotations", {}), spec.pop("status", None)
    body = connector_body(name, version, uid=f"uid-registry-{name}", generation=generation)
    body["metadata"]["annotations"] = annotations
    return body | {"spec": spec} | ({"status": status} if status else {})


def secret_body(
    name: str, version: int, *, uid: str = "", namespace: str = "team-a", label: str | None = "true", **keys: str
) -> dict[str, Any]:
    """A Secret of users."""
    labels = {} if label is None else {CREDENTIALS_LABEL: label}
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": uid or f"uid-{name}", "resourceVersion": str(version), "labels": labels},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in keys.items()},
    }


def pod_body(
    name: str,
    version: int,
    *,
    uid: str = "",
    gateway: str = "default",
    namespace: str = "junctor",
    ready: bool = True,
    address: str | None = "10.0.0.1",
    restarts: int = 0,
    since: str = "2025-01-01T00:00:00Z",
) -> dict[str, Any]:
    """A gateway pod."""
    status: dict[str, Any] = {
        "conditions": [{"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": since}],
        "containerStatuses": [{"containerID": f"containerd://{restarts}", "restartCount": restarts}],
    }
    if address is not None:
        status["podIP"] = address
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
            "labels": {GATEWAY_LABEL: gateway},
        },
        "status": status,
    }
