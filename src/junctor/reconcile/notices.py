"""Kubernetes Events about what no condition says."""

import logging
from collections.abc import Mapping

from junctor.api.names import API_VERSION
from junctor.api.resources import Resource
from junctor.planning.plan import GatewayPlan
from junctor.reconcile.gateway_state import GatewayState
from junctor.reconcile.status_queue import StatusQueue

logger = logging.getLogger(__name__)


class Notices:
    """Posts each of them once."""

    def __init__(self, queue: StatusQueue) -> None:
        self._queue = queue
        self._told: set[tuple[str, int]] = set()

    def hold(self, gateway: GatewayState, plan: GatewayPlan) -> None:
        """An Event when a gateway's plan begins to hold a loss back."""
        if plan.held is None or gateway.held is not None:
            gateway.held = plan.held
            return
        gateway.held = plan.held
        held = plan.held
        until = "until the kind is back" if held.until == float("inf") else "for a minute"
        message = f"{held.lost} of {held.of} connectors are gone without having been deleted one by one; gateways keep them {until}"
        logger.warning("gateway %s: %s", gateway.configuration.name, message)
        head = gateway.publisher.head_reference()
        if head is not None:
            self._queue.event(head, warning=True, reason="ConnectorLossHeld", message=message)

    def ignored_fields(self, resources: Mapping[str, Resource]) -> None:
        """An Event for a field that only describes and that this version does not know, once for each generation."""
        reported = self._told
        reported -= {known for known in reported if known[0] not in resources}
        for uid, resource in resources.items():
            if resource.ignored and (uid, resource.generation) not in reported:
                reported.add((uid, resource.generation))
                self._queue.event(
                    {
                        "apiVersion": API_VERSION,
                        "kind": resource.kind,
                        "namespace": resource.namespace,
                        "name": resource.name,
                        "uid": uid,
                    },
                    warning=True,
                    reason="FieldIgnored",
                    message=f"this operator does not know {', '.join(resource.ignored)}; ignored, upgrade the operator to use it",
                )
