"""Objects in memory that behave as on the API server, as far as the loop can tell.

Refused     the object is not taken; what was stored before stays. The message names the field and what to do.
"""

import base64
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from junctor.api.kinds import BY_NAME

Body = Mapping[str, Any]
#: What listeners get: the kind, the whole object, and whether it was deleted.
Listener = Callable[[str, Body, bool], None]

_UIDS: Final = uuid.UUID("5a4f6a0e-8f0e-4c55-9d6f-0e5a6b2d9c11")


class Refused(Exception):
    """The store does not take an object."""


class Key(NamedTuple):
    """What identifies an object among those that exist. namespace: "" for kinds without one."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class ObjectStore:
    """The objects. Bodies that it gives out are never changed afterwards: every change makes a new one."""

    def __init__(self) -> None:
        self._objects: dict[Key, Body] = {}
        self._incarnations: dict[Key, int] = {}
        self._listeners: list[Listener] = []
        self.version = 0

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` after every change."""
        self._listeners.append(listener)

    def get(self, key: Key) -> Body | None:
        """An object, or None."""
        return self._objects.get(key)

    def list(self, kind: str) -> list[Body]:
        """The objects of a kind, by namespace and name."""
        return [self._objects[key] for key in sorted(self._objects) if key.kind == kind]

    def apply(self, key: Key, manifest: Body, created: str) -> bool:
        """Create or change an object as a manifest says; True when that changed something. Raises Refused.

        created: the creationTimestamp, should this be the first time that the object is seen.
        """
        before = self._objects.get(key)
        wanted = _content(key, manifest)
        if before is None:
            number = self._incarnations[key] = self._incarnations.get(key, 0) + 1
            # A new object has a new uid, as on the API server: whoever saw the deletion takes it for another one.
            uid = str(uuid.uuid5(_UIDS, f"{key.kind}/{key.namespace}/{key.name}/{number}"))
            metadata = {"uid": uid, "generation": 1, "creationTimestamp": created}
            self._store(key, wanted, metadata, {})
            return True
        if _essence(before) == _essence(wanted):
            return False
        _check_identity(key, before, wanted)
        known = before["metadata"]
        generation = known["generation"] + (before.get("spec") != wanted.get("spec"))
        self._store(key, wanted, {**known, "generation": generation}, before.get("status", {}))
        return True

    def delete(self, key: Key) -> None:
        """Delete an object; one that does not exist is no error."""
        body = self._objects.pop(key, None)
        if body is not None:
            self.version += 1
            self._notify(key, {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}, True)

    def set_status(self, key: Key, uid: str, status: Body) -> None:
        """Replace the status; an object that is gone, or another one of the same name, is left alone."""
        before = self._objects.get(key)
        if before is not None and before["metadata"]["uid"] == uid and before.get("status") != status:
            self._store(key, before, before["metadata"], status)

    def _store(self, key: Key, wanted: Body, metadata: Mapping[str, Any], status: Body) -> None:
        self.version += 1
        given = {name: wanted["metadata"][name] for name in ("labels", "annotations") if wanted["metadata"].get(name)}
        identity = {"name": key.name} | ({"namespace": key.namespace} if key.namespace else {})
        kept = {name: metadata[name] for name in ("uid", "generation", "creationTimestamp")}
        body = {**wanted, "metadata": {**identity, **kept, "resourceVersion": str(self.version), **given}}
        if status:
            body["status"] = dict(status)
        self._objects[key] = body
        self._notify(key, body, False)

    def _notify(self, key: Key, body: Body, deleted: bool) -> None:
        for listener in self._listeners:
            listener(key.kind, body, deleted)


def _content(key: Key, manifest: Body) -> dict[str, Any]:
    """A manifest as it is stored: without status (except a pod's, which is all that matters of it), stringData as data."""
    ignored = {"stringData"} if key.kind == "Pod" else {"stringData", "status"}
    body = {name: value for name, value in manifest.items() if name not in ignored}
    body["metadata"] = dict(manifest.get("metadata") or {})
    plain = manifest.get("stringData") or {}
    if plain:
        body["data"] = {**(manifest.get("data") or {}), **{name: base64.b64encode(text.encode()).decode() for name, text in plain.items()}}
    return body


def _essence(body: Body) -> tuple[Body, Any, Any]:
    """What a manifest says of an object."""
    content = {name: value for name, value in body.items() if name not in ("metadata", "status")}
    if body["kind"] == "Pod":
        content["status"] = body.get("status")
    metadata = body["metadata"]
    return content, metadata.get("labels") or {}, metadata.get("annotations") or {}


def _check_identity(key: Key, before: Body, wanted: Body) -> None:
    kind = BY_NAME.get(key.kind)
    if kind and kind.id_of(before.get("spec") or {}, key.name) != kind.id_of(wanted.get("spec") or {}, key.name):
        raise Refused(f"spec.{kind.id_field}: {kind.id_immutable}")
