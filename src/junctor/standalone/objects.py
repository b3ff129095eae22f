"""Objects in memory that behave for the reconcile loop as on the API server.

ObjectRefused     the object is invalid, and the stored one stays. The message names the field and what to do.
"""

import base64
import uuid
from collections.abc import Callable
from typing import Any, Final

from junctor.api.kinds import BY_NAME
from junctor.net.formats import KubernetesObject, KubernetesObjectView
from junctor.offline.manifests import ObjectKey

#: Arguments of a listener: the kind, the whole object, and whether it was deleted.
Listener = Callable[[str, KubernetesObjectView, bool], None]

_UIDS: Final = uuid.UUID("5a4f6a0e-8f0e-4c55-9d6f-0e5a6b2d9c11")


class ObjectRefused(Exception):
    """The store refuses an object."""


class ObjectStore:
    """The objects. Bodies are immutable: every change stores a new one."""

    def __init__(self) -> None:
        self._objects: dict[ObjectKey, KubernetesObjectView] = {}
        self._incarnations: dict[ObjectKey, int] = {}
        self._listeners: list[Listener] = []
        self.version = 0

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` after every change."""
        self._listeners.append(listener)

    def get(self, key: ObjectKey) -> KubernetesObjectView | None:
        """Return an object, or None."""
        return self._objects.get(key)

    def list(self, kind: str) -> list[KubernetesObjectView]:
        """Return the objects of a kind, sorted by namespace and name."""
        return [self._objects[key] for key in sorted(self._objects) if key.kind == kind]

    def apply(self, key: ObjectKey, manifest: KubernetesObjectView, created: str) -> bool:
        """Create or change an object as a manifest says. Returns whether anything changed.

        Args:
            key: what identifies the object.
            manifest: the desired object.
            created: the creationTimestamp of a new object, RFC 3339.

        Raises:
            ObjectRefused: the change is not allowed.
        """
        before = self._objects.get(key)
        desired = _content(key, manifest)
        if before is None:
            number = self._incarnations[key] = self._incarnations.get(key, 0) + 1
            # As on the API server, an object that is created again has a new uid and counts as another one.
            uid = str(uuid.uuid5(_UIDS, f"{key.kind}/{key.namespace}/{key.name}/{number}"))
            metadata = {"uid": uid, "generation": 1, "creationTimestamp": created}
            self._store(key, desired, metadata, {})
            return True
        if _comparable(before) == _comparable(desired):
            return False
        _check_identity(key, before, desired)
        known = before["metadata"]
        generation = known["generation"] + (before.get("spec") != desired.get("spec"))
        self._store(key, desired, {**known, "generation": generation}, before.get("status", {}))
        return True

    def delete(self, key: ObjectKey) -> None:
        """Delete an object if it exists."""
        body = self._objects.pop(key, None)
        if body is not None:
            self.version += 1
            self._notify(key, {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}, True)

    def set_status(self, key: ObjectKey, uid: str, status: KubernetesObjectView) -> None:
        """Replace the status, unless the object was deleted or created again under another uid."""
        before = self._objects.get(key)
        if before is not None and before["metadata"]["uid"] == uid and before.get("status") != status:
            self._store(key, before, before["metadata"], status)

    def _store(self, key: ObjectKey, desired: KubernetesObjectView, metadata: KubernetesObjectView, status: KubernetesObjectView) -> None:
        self.version += 1
        labelling = {name: desired["metadata"][name] for name in ("labels", "annotations") if desired["metadata"].get(name)}
        identity = {"name": key.name} | ({"namespace": key.namespace} if key.namespace else {})
        kept = {name: metadata[name] for name in ("uid", "generation", "creationTimestamp")}
        body = {**desired, "metadata": {**identity, **kept, "resourceVersion": str(self.version), **labelling}}
        if status:
            body["status"] = dict(status)
        self._objects[key] = body
        self._notify(key, body, False)

    def _notify(self, key: ObjectKey, body: KubernetesObjectView, deleted: bool) -> None:
        for listener in self._listeners:
            listener(key.kind, body, deleted)


def _content(key: ObjectKey, manifest: KubernetesObjectView) -> KubernetesObject:
    """Return a manifest as it is stored: stringData moved to data, without the status (except a pod's, which the loop needs)."""
    ignored = {"stringData"} if key.kind == "Pod" else {"stringData", "status"}
    body = {name: value for name, value in manifest.items() if name not in ignored}
    body["metadata"] = dict(manifest.get("metadata") or {})
    plain = manifest.get("stringData") or {}
    if plain:
        body["data"] = {**(manifest.get("data") or {}), **{name: base64.b64encode(text.encode()).decode() for name, text in plain.items()}}
    return body


def _comparable(body: KubernetesObjectView) -> tuple[KubernetesObjectView, Any, Any]:
    """Return what a manifest determines of an object."""
    content = {name: value for name, value in body.items() if name not in ("metadata", "status")}
    if body["kind"] == "Pod":
        content["status"] = body.get("status")
    metadata = body["metadata"]
    return content, metadata.get("labels") or {}, metadata.get("annotations") or {}


def _check_identity(key: ObjectKey, before: KubernetesObjectView, desired: KubernetesObjectView) -> None:
    kind = BY_NAME.get(key.kind)
    if kind and kind.id_of(before.get("spec") or {}, key.name) != kind.id_of(desired.get("spec") or {}, key.name):
        raise ObjectRefused(f"spec.{kind.id_field}: {kind.id_immutable}")
