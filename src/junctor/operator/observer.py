"""Watch events as the loop takes them: into the snapshot, and as reasons to look again."""

from typing import Any, Final

from junctor.api.configuration import OperatorConfiguration
from junctor.api.names import CREDENTIALS_LABEL, CREDENTIALS_PUBLISHED, CREDENTIALS_SIGNING_KEY, MAP_LABEL
from junctor.net.clock import Clock
from junctor.net.formats import KubernetesObjectView
from junctor.reconcile.collection import Collection
from junctor.reconcile.reconciler import Reconciler
from junctor.reconcile.stored_map import ObjectEvent

DELETED: Final = "DELETED"
ADDED: Final = "ADDED"
#: After a broken watch kopf lists a kind anew (events of type None) and never reports the deletions in between. A pause this long before
#: such an event separates a new listing from the one at the start.
_LULL_SECONDS: Final = 10.0

#: Seconds after which everything is listed again when a CRD changed. kopf looks for the kind when the CRD's event arrives, perhaps before
#: it is served; the API server serves open watches by the old schema for two request timeouts (of 60 s by default).
_AFTER_DEFINITION: Final = (1.0, 5.0, 20.0, 130.0)


class Observer:
    """Passed to every kopf handler as `memo`. namespaces: those whose connectors and Secrets count; empty means all."""

    def __init__(
        self,
        reconciler: Reconciler,
        configuration: OperatorConfiguration,
        namespaces: frozenset[str],
        clock: Clock | None = None,
    ) -> None:
        self._reconciler = reconciler
        self._namespaces = namespaces
        self._gateways = {(gateway.namespace, gateway.map): gateway.name for gateway in configuration.gateways}
        self._clock = clock or Clock()
        self._began = self._clock.monotonic()
        self._listed_at: dict[str, float] = {}

    def resource(self, resource_kind: str, kind: str | None, body: KubernetesObjectView) -> None:
        """An MCPConnector or MCPRegistry."""
        self._note_listing(resource_kind, kind)
        if not self._in_scope(body):
            return
        snapshot = self._reconciler.snapshot
        if kind in (None, ADDED) and snapshot.complete and resource_kind not in snapshot.defined:
            self._reconciler.request_refresh()  # the last LIST found no such kind, or was not permitted
        if snapshot.observe_resource(resource_kind, body, deleted=kind == DELETED):
            self._reconciler.wake()
        else:
            self._reconciler.wake_statuses(body["metadata"]["uid"])

    def secret(self, kind: str | None, body: KubernetesObjectView) -> None:
        """A labelled Secret: a user's, or one of a map."""
        labels = body["metadata"].get("labels") or {}
        if labels.get(CREDENTIALS_LABEL) in (CREDENTIALS_PUBLISHED, CREDENTIALS_SIGNING_KEY):
            self.map_object(kind, body)
        elif self._in_scope(body):
            self._observe("secrets", self._reconciler.snapshot.secrets, kind, body)

    def pod(self, kind: str | None, body: KubernetesObjectView) -> None:
        """A pod with the gateway label."""
        self._observe("pods", self._reconciler.snapshot.pods, kind, body)

    def namespace(self, kind: str | None, body: KubernetesObjectView) -> None:
        """A namespace."""
        self._observe("namespaces", self._reconciler.snapshot.namespaces, kind, body)

    def map_object(self, kind: str | None, body: KubernetesObjectView) -> None:
        """A ConfigMap or Secret of a map."""
        self._note_listing("map objects", kind)
        metadata = body["metadata"]
        gateway = self._gateways.get((metadata.get("namespace", ""), (metadata.get("labels") or {}).get(MAP_LABEL, "")))
        if gateway is not None:
            event = ObjectEvent(metadata["name"], metadata["uid"], int(metadata["resourceVersion"]), kind == DELETED)
            self._reconciler.map_object_changed(gateway, event)

    def definition(self, kind: str | None) -> None:
        """A CRD was created, changed or deleted.

        Neither kopf nor its open watches notice at once, so full LISTs are requested: see _AFTER_DEFINITION.
        """
        if kind is not None:
            self._reconciler.request_refresh(again_after=_AFTER_DEFINITION)

    def _observe(self, what: str, collection: Collection[Any], kind: str | None, body: KubernetesObjectView) -> None:
        self._note_listing(what, kind)
        if collection.observe(body, deleted=kind == DELETED):
            self._reconciler.wake()

    def _in_scope(self, body: KubernetesObjectView) -> bool:
        return not self._namespaces or body["metadata"].get("namespace") in self._namespaces

    def _note_listing(self, what: str, kind: str | None) -> None:
        """Ask for full LISTs when kopf lists a kind anew. Each kind counts by itself, because each watch breaks by itself."""
        if kind is not None:
            return
        now = self._clock.monotonic()
        # A kind that had no objects at the start was listed then all the same.
        if now - self._listed_at.get(what, self._began) > _LULL_SECONDS:
            self._reconciler.request_refresh()
        self._listed_at[what] = now
