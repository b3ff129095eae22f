"""Kubernetes Events about what no condition says."""

import logging
from collections.abc import Mapping

from junctor.api.resources import Resource
from junctor.planning.retain import Hold
from junctor.reconcile.ports import ObjectReference
from junctor.reconcile.status_queue import StatusQueue

logger = logging.getLogger(__name__)


class Notices:
    """Posts each of them once."""

    def __init__(self, queue: StatusQueue) -> None:
        self._queue = queue
        self._holding: set[str] = set()
        self._ignoring: set[tuple[str, int]] = set()

    def report_hold(self, gateway: str, hold: Hold | None, head: ObjectReference | None) -> None:
        """An Event about the map's head when a gateway begins to keep connectors that are lost. hold: of its plan."""
        if hold is None:
            self._holding.discard(gateway)
            return
        if gateway in self._holding:
            return
        self._holding.add(gateway)
        until = "until the kind is back" if hold.until == float("inf") else "for a minute"
        message = f"{hold.lost} of {hold.of} connectors are gone without having been deleted one by one; gateways keep them {until}"
        logger.warning("gateway %s: %s", gateway, message)
        if head is not None:
            self._queue.event(head, warning=True, reason="ConnectorLossHeld", message=message)

    def report_ignored_fields(self, resources: Mapping[str, Resource]) -> None:
        """An Event for a field that only describes and that this version does not know, once for each generation."""
        self._ignoring = {reported for reported in self._ignoring if reported[0] in resources}
        for uid, resource in resources.items():
            if resource.ignored and (uid, resource.generation) not in self._ignoring:
                self._ignoring.add((uid, resource.generation))
                message = f"this operator does not know {', '.join(resource.ignored)}; ignored, upgrade the operator to use it"
                self._queue.event(ObjectReference.of(resource), warning=True, reason="FieldIgnored", message=message)
