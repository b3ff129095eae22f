"""Gateway pods without a node: Pod objects that nothing schedules, with a status that tests write, and addresses on loopback.

A process that listens on the pod's address is the test's business: the operator lists the pods and calls them as it does anywhere.
"""

from datetime import UTC, datetime
from typing import Self

from junctor.api.names import GATEWAY_LABEL
from tests.cluster.api import Api, Object, wait_for

_POD = "v1/Pod"
_GATE = f"{GATEWAY_LABEL}-test"


class GatewayPod:
    """One pod of a gateway. `ip` is its address, on loopback, such as 127.0.0.2.

    A pod with ready=True (the default) is Running and Ready when `create` returns.
    """

    def __init__(self, api: Api, namespace: str, name: str, ip: str) -> None:
        self._api = api
        self.namespace = namespace
        self.name = name
        self.ip = ip
        self.ready = False

    @classmethod
    def create(cls, api: Api, namespace: str, name: str, ip: str, *, gateway: str = "default", ready: bool = True) -> Self:
        """Make the pod object and its status."""
        pod = cls(api, namespace, name, ip)
        wait_for(lambda: api.find("v1/ServiceAccount", "default", namespace), describe=f"the default service account of {namespace}")
        api.create(_body(namespace, name, gateway))
        pod.set_status(ip=ip, ready=ready)
        return pod

    def set_ready(self, ready: bool) -> None:
        """Turn the condition Ready on or off."""
        self.set_status(ip=self.ip, ready=ready)

    def set_ip(self, ip: str) -> None:
        """Move the pod to another address."""
        self.set_status(ip=ip, ready=self.ready)

    def set_status(self, *, ip: str, ready: bool) -> None:
        """Write phase Running, address and readiness."""
        self.ip, self.ready = ip, ready
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        status = "True" if ready else "False"
        conditions = [{"type": kind, "status": status, "lastTransitionTime": now} for kind in ("Ready", "ContainersReady")]
        addresses = {"podIP": ip, "podIPs": [{"ip": ip}]}
        self._api.patch_status(
            _POD, self.name, {"phase": "Running", **addresses, "conditions": conditions, "startTime": now}, self.namespace
        )

    def read(self) -> Object:
        """The stored object."""
        return self._api.get(_POD, self.name, self.namespace)

    def delete(self) -> None:
        """Remove the object at once."""
        self._api.delete(_POD, self.name, self.namespace, grace_seconds=0)


def create_gateway_pods(api: Api, namespace: str, ips: list[str], *, gateway: str = "default", ready: bool = True) -> list[GatewayPod]:
    """One pod for each address, named after the gateway: default-0, default-1, ..."""
    return [GatewayPod.create(api, namespace, f"{gateway}-{i}", ip, gateway=gateway, ready=ready) for i, ip in enumerate(ips)]


def _body(namespace: str, name: str, gateway: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {GATEWAY_LABEL: gateway}},
        "spec": {
            "schedulingGates": [{"name": _GATE}],
            "automountServiceAccountToken": False,
            "containers": [{"name": "gateway", "image": "gateway.invalid/gateway"}],
        },
    }
