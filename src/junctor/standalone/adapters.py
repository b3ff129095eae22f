"""The ports of the reconcile loop in memory: the map, the signal to the gateway in the same process, statuses, and reads."""

import asyncio
import secrets
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from junctor.connectormap.credentials import credential_version
from junctor.connectormap.head import HEAD_KEY, SHARD_KEY
from junctor.connectormap.messages import Acknowledgement
from junctor.gateway.serving.map_loader import MapLoader, NotAccepted, ReloadError
from junctor.net.formats import KubernetesObjectView
from junctor.net.timestamps import rfc3339
from junctor.offline.manifests import ObjectKey
from junctor.planning.statuses import StatusUpdate
from junctor.reconcile.collection import Collection
from junctor.reconcile.ports import Conflict, MapRejected, ObjectReference, Pod, PodUnreachable, StoredCredentials, StoredObject
from junctor.reconcile.reconciler import Reconciler
from junctor.reconcile.snapshot import Snapshot
from junctor.standalone.objects import ObjectStore
from junctor.standalone.summary import EventSummary

KEPT_EVENTS: Final = 1000


class MemoryMapObjects:
    """The objects of one connector map (port `MapObjects`), and a gateway's source of the same map (`MapSource`)."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._installation = ""
        self._key = secrets.token_bytes(32)
        self._version = 0
        self._head: StoredObject | None = None
        self._shards: dict[str, StoredObject] = {}
        self._credentials: dict[int, dict[str, bytes]] = {}
        self._written: dict[int, StoredCredentials] = {}
        #: Set once a head is written.
        self.published = asyncio.Event()

    def _next(self) -> str:
        self._version += 1
        return str(self._version)

    def _new(self, name: str, data: Mapping[str, str]) -> StoredObject:
        return StoredObject(name, str(uuid.uuid4()), self._next(), True, data)

    # --- MapObjects -------------------------------------------------------------------------------------------------------------------

    async def installation(self, remembered: str) -> str:
        """Return the remembered installation, or a new one."""
        self._installation = self._installation or remembered or str(uuid.uuid4())
        return self._installation

    async def installation_key(self) -> bytes:
        """Return the key, which lives as long as the process."""
        return self._key

    async def read_head(self) -> StoredObject | None:
        """Return the head."""
        return self._head

    async def write_head(self, text: str, expected: StoredObject | None) -> StoredObject:
        """Create or replace the head."""
        stored = self._head
        if (stored and (stored.uid, stored.version)) != (expected and (expected.uid, expected.version)):
            raise Conflict(f"the head {self._name} is not the one that was expected")
        uid = stored.uid if stored else str(uuid.uuid4())
        self._head = StoredObject(self._name, uid, self._next(), True, {HEAD_KEY: text})
        self.published.set()
        return self._head

    async def list_shards(self) -> Sequence[StoredObject]:
        """Return every shard."""
        return list(self._shards.values())

    async def create_shard(self, name: str, text: str) -> StoredObject:
        """Create a shard, once."""
        stored = self._shards.get(name)
        if stored is not None and stored.data.get(SHARD_KEY) != text:
            raise Conflict(f"shard {name} exists with another content")
        if stored is None:
            stored = self._shards[name] = self._new(name, {SHARD_KEY: text})
        return stored

    async def delete_shard(self, shard: StoredObject) -> None:
        """Delete exactly this shard."""
        stored = self._shards.get(shard.name)
        if stored is not None and (stored.uid, stored.version) == (shard.uid, shard.version):
            del self._shards[shard.name]

    async def list_credentials(self) -> Sequence[StoredCredentials]:
        """Return the credential objects that exist."""
        return [self._written[number] for number in sorted(self._written)]

    async def add_credentials(self, number: int, values: Mapping[str, bytes]) -> StoredCredentials:
        """Add values to a credential object, which is created when necessary."""
        self._credentials[number] = {**self._credentials.get(number, {}), **values}
        return self._describe(number)

    async def remove_credentials(self, stored: StoredCredentials, keys: frozenset[str]) -> StoredCredentials | None:
        """Remove keys; an object without keys is deleted."""
        current = self._written.get(stored.number)
        if current is None:
            return None
        if (current.uid, current.version) != (stored.uid, stored.version):
            raise Conflict(f"credential object {stored.number} of {self._name} changed since it was read")
        left = {key: value for key, value in self._credentials[stored.number].items() if key not in keys}
        self._credentials[stored.number] = left
        if left:
            return self._describe(stored.number)
        del self._credentials[stored.number], self._written[stored.number]
        return None

    def _describe(self, number: int) -> StoredCredentials:
        values = self._credentials[number]
        stored = self._written.get(number)
        intact = frozenset(key for key, value in values.items() if credential_version(self._key, value) == key.split(".")[-1])
        uid = stored.uid if stored else str(uuid.uuid4())
        self._written[number] = StoredCredentials(number, uid, self._next(), intact, frozenset(values))
        return self._written[number]

    # --- MapSource --------------------------------------------------------------------------------------------------------------------

    @property
    def head_name(self) -> str:
        """The name of the map."""
        return self._name

    async def fetch_head(self) -> str | None:
        """Return the head's text."""
        return self._head.data[HEAD_KEY] if self._head else None

    async def authenticate(self, head: str) -> None:
        """Accept every head: this process made it."""

    async def fetch_shard(self, name: str) -> str | None:
        """Return a shard's text."""
        return self._shards[name].data[SHARD_KEY] if name in self._shards else None

    async def fetch_credentials(self, number: int) -> Mapping[str, bytes]:
        """Return the values of a credential object."""
        return self._credentials.get(number, {})

    async def close(self) -> None:
        """Do nothing: the source holds no connection."""


class InProcessSignal:
    """The signal to the gateway of this process (port `Signal`). loader: set once the gateway has one."""

    def __init__(self) -> None:
        self.loader: MapLoader | None = None

    async def reload(self, pod: Pod, sequence: int, peers: Sequence[str], *, deadline: float) -> Acknowledgement:
        """Make the gateway load the map, and return what it serves afterwards."""
        if self.loader is None:
            raise PodUnreachable("the gateway is starting")
        try:
            async with asyncio.timeout(deadline):
                served = await self.loader.reload(sequence)
        except TimeoutError as error:
            raise PodUnreachable(f"the map was not loaded within {deadline:g} s") from error
        except NotAccepted as error:
            serving = self.loader.served()
            raise MapRejected(str(error), serving.sequence if serving else None) from error
        except ReloadError as error:
            raise PodUnreachable(str(error)) from error
        return served.acknowledgement()


class MemoryStatusSink:
    """Writes statuses into the object store and keeps the last events (port `StatusSink`)."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.events: deque[EventSummary] = deque(maxlen=KEPT_EVENTS)

    async def write_status(self, update: StatusUpdate) -> None:
        """Write a status."""
        resource = update.resource
        self._store.set_status(ObjectKey(resource.kind, resource.namespace, resource.name), resource.uid, update.status)

    async def post_event(self, regarding: ObjectReference, *, warning: bool, reason: str, message: str) -> None:
        """Keep an event."""
        time = rfc3339(datetime.now(UTC), "milliseconds")
        kind = "Warning" if warning else "Normal"
        self.events.append({"time": time, "type": kind, "reason": reason, "message": message, "regarding": regarding.as_json()})


class StoreCluster:
    """Reads the object store for the loop (port `Cluster`)."""

    def __init__(self, store: ObjectStore, snapshot: Snapshot) -> None:
        self._store = store
        self._snapshot = snapshot

    async def refresh(self) -> bool:
        """Replace every collection."""
        snapshot = self._snapshot
        collections: dict[str, Collection[Any]] = {
            **snapshot.kinds,
            "Secret": snapshot.secrets,
            "Namespace": snapshot.namespaces,
            "Pod": snapshot.pods,
        }
        for kind, collection in collections.items():
            listing = collection.listing()
            listing.add(self._store.list(kind))
            listing.finish(str(self._store.version))
        snapshot.defined.update(snapshot.kinds)
        return True

    async def still_defined(self, kind: str) -> bool:
        """Return True: the kinds are part of the program."""
        return True


class StoreObserver:
    """A listener of the object store that puts changes into the snapshot and wakes the loop."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler

    def __call__(self, kind: str, body: KubernetesObjectView, deleted: bool) -> None:
        """Observe a change."""
        snapshot = self._reconciler.snapshot
        if kind in snapshot.kinds:
            changed = snapshot.observe_resource(kind, body, deleted=deleted)
        elif kind == "Secret":
            changed = snapshot.secrets.observe(body, deleted=deleted)
        elif kind == "Namespace":
            changed = snapshot.namespaces.observe(body, deleted=deleted)
        elif kind == "Pod":
            changed = snapshot.pods.observe(body, deleted=deleted)
        else:
            return
        if changed:
            self._reconciler.wake()
        else:
            self._reconciler.wake_statuses()
