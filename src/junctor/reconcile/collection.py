"""Objects of one kind as events and LISTs show them.

Events may come late, twice, or never (a broken watch loses deletions); a LIST may be older than an event. The resourceVersion decides:
the API server orders the versions of one resource (they are integers, Kubernetes 1.35 and later document it).
"""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from junctor.net.formats import KubernetesObjectView

T = TypeVar("T")


class Collection(Generic[T]):
    """Objects of one kind by uid, read into `T`. read: gets the body and what was known before; None for what does not matter."""

    def __init__(self, read: Callable[[KubernetesObjectView, T | None], T | None]) -> None:
        self._read = read
        self._versions: dict[str, int] = {}
        self._deleted: dict[str, int] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._listed = -1
        self.items: dict[str, T] = {}
        self.synced = False

    def observe(self, body: KubernetesObjectView, *, deleted: bool = False) -> bool:
        """Apply an event; True when it changed something that matters."""
        uid, version = _identity(body)
        if uid not in self._versions and version <= self._listed:
            return False  # a LIST that is at least as new does not hold it
        return self._observe(body, deleted)

    def _observe(self, body: KubernetesObjectView, deleted: bool = False) -> bool:
        uid, version = _identity(body)
        if version < self._versions.get(uid, -1) or (version <= self._deleted.get(uid, -1) and not deleted):
            return False
        if deleted:
            return self._remove(uid, version)
        # An object of another uid had the name before: it was deleted, even if no event said so.
        name = (body["metadata"].get("namespace", ""), body["metadata"]["name"])
        before = self._names.get(name, uid)
        if version < self._versions.get(before, -1):
            return False
        removed = before != uid and self._remove(before, version)
        self._names[name] = uid
        self._versions[uid] = version
        return self._store(uid, body) or removed

    def _remove(self, uid: str, version: int) -> bool:
        self._versions.pop(uid, None)
        self._deleted[uid] = version
        return self.items.pop(uid, None) is not None

    def named(self, namespace: str, name: str) -> T | None:
        """Return the object with this name; None when there is none, or when it does not matter."""
        uid = self._names.get((namespace, name))
        return None if uid is None else self.items.get(uid)

    def listing(self) -> "Listing[T]":
        """Begin a whole LIST, to be added page by page."""
        return Listing(self)

    def _finish(self, present: set[str], listed: int) -> bool:
        if listed < self._listed:
            self._versions, self._deleted, self._listed = {}, {}, -1
            return False
        for uid in [uid for uid in (*self._versions, *self.items) if uid not in present and self._versions.get(uid, -1) <= listed]:
            self._versions.pop(uid, None)
            self.items.pop(uid, None)
        self._deleted = {uid: own for uid, own in self._deleted.items() if own > listed}
        self._names = {name: uid for name, uid in self._names.items() if uid in self._versions}
        self._listed = listed
        self.synced = True
        return True

    def _store(self, uid: str, body: KubernetesObjectView) -> bool:
        before = self.items.get(uid)
        after = self._read(body, before)
        if after is None:
            return self.items.pop(uid, None) is not None
        self.items[uid] = after
        return after is not before and after != before


class Listing(Generic[T]):
    """A LIST on its way into a collection. Nothing is removed before `finish`: half a LIST does not say what was deleted."""

    def __init__(self, collection: Collection[T]) -> None:
        self._collection = collection
        self._present: set[str] = set()

    def add(self, bodies: Iterable[KubernetesObjectView]) -> None:
        """Add a page."""
        for body in bodies:
            self._present.add(body["metadata"]["uid"])
            self._collection._observe(body)

    def finish(self, version: str) -> bool:
        """End the LIST, which has this resourceVersion: remove what it does not hold, unless a newer event said that it exists.

        False when the LIST is older than one before it: the API server was restored from a backup, versions begin anew, LIST again.
        """
        return self._collection._finish(self._present, int(version or 0))


def _identity(body: KubernetesObjectView) -> tuple[str, int]:
    metadata = body["metadata"]
    return metadata["uid"], int(metadata.get("resourceVersion") or 0)
