"""Statuses by server-side apply and Events (port `StatusSink`)."""

import os
from datetime import UTC, datetime

from junctor.api.names import API_VERSION, FIELD_MANAGER, GROUP, VERSION
from junctor.kube import client
from junctor.kube.client import KubernetesApi, object_path
from junctor.net.timestamps import rfc3339
from junctor.operator.map_objects import port_errors
from junctor.planning.statuses import StatusUpdate
from junctor.reconcile.ports import ObjectReference

_HOST = os.environ.get("HOSTNAME", "junctor-operator")


class KubernetesStatusSink:
    """Writes under the field manager of the operator.

    The API server ignores a uid in a status that is applied (tried on 1.36), so a status can reach a new resource of the same name. The
    watch shows that at once, and the new one's own status follows.
    """

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api

    @port_errors
    async def write_status(self, update: StatusUpdate) -> None:
        """Apply a status."""
        resource = update.resource
        body = {
            "apiVersion": API_VERSION,
            "kind": resource.kind,
            "metadata": {"name": resource.name, "namespace": resource.namespace},
            "status": dict(update.status),
        }
        path = object_path(resource.plural, resource.namespace, resource.name, group=GROUP, version=VERSION)
        try:
            await self._api.apply(f"{path}/status", body, field_manager=FIELD_MANAGER)
        except client.NotFound:
            return  # deleted

    @port_errors
    async def post_event(self, regarding: ObjectReference, *, warning: bool, reason: str, message: str) -> None:
        """Create an Event in the object's namespace."""
        now = rfc3339(datetime.now(UTC))
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{regarding.name[:200]}.", "namespace": regarding.namespace},
            "involvedObject": regarding.as_json(),
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message,
            "source": {"component": "junctor-operator", "host": _HOST},
            "reportingComponent": "junctor.dev/operator",
            "reportingInstance": _HOST,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._api.create(object_path("events", regarding.namespace), body)
        except client.NotFound:
            return  # the namespace was deleted
