"""What the API server has of one map: its objects as far as they are known, and the writes that bring them to what they should be."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from junctor.connectormap.credentials import credential_object
from junctor.connectormap.digests import sha256
from junctor.connectormap.errors import ConnectorMapError
from junctor.connectormap.head import HEAD_KEY, SHARD_KEY, Head
from junctor.connectormap.layout import Layout, Shard
from junctor.connectormap.signature import signing_key_name
from junctor.process import in_thread
from junctor.reconcile.ports import MapObjects, PortError, Signature, StoredCredentials, StoredObject

_PARALLEL_WRITES: Final = 8


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """A watch event about an object of a map, as far as it matters here."""

    name: str
    uid: str
    version: int
    deleted: bool


@dataclass(frozen=True, slots=True)
class StoredObjects:
    """All objects of a map at one moment, shards with their texts."""

    head: StoredObject | None
    shards: Sequence[StoredObject]
    credentials: Sequence[StoredCredentials]


@dataclass(slots=True)
class StoredMap:
    """The stored objects of one map. `replace` fills it and own writes keep it current; writes may raise PortError with a part done.

    damaged: shards whose text is not what their name says. deleted_uids: what this process deleted; events about it may come later.
    """

    objects: MapObjects = field(repr=False)
    map_name: str
    head: StoredObject | None = None
    shards: dict[str, StoredObject] = field(default_factory=dict)
    damaged: dict[str, StoredObject] = field(default_factory=dict)
    credentials: dict[int, StoredCredentials] = field(default_factory=dict)
    deleted_uids: set[str] = field(default_factory=set)

    # --- knowledge --------------------------------------------------------------------------------------------------------------------

    async def list(self) -> StoredObjects:
        """Read all objects of the map. Raises PortError."""
        head, shards, credentials = await asyncio.gather(
            self.objects.read_head(), self.objects.list_shards(), self.objects.list_credentials()
        )
        return StoredObjects(head, shards, credentials)

    async def replace(self, listed: StoredObjects) -> None:
        """Take over what `list` returned; the texts of the shards are not kept."""
        # In a thread: the digests of a large map take a while.
        self.shards, self.damaged = await in_thread(lambda: split_by_integrity(listed.shards))
        self.head, self.credentials = listed.head, {item.number: item for item in listed.credentials}

    def is_own_write(self, event: ObjectEvent) -> bool:
        """Whether an event says nothing new: it is the echo of an own write, or older than one."""
        if event.uid in self.deleted_uids:
            return True
        if event.name in (f"{self.map_name}-anchor", signing_key_name(self.map_name)):
            return not event.deleted
        known = self._object(event.name)
        if known is None:
            return event.deleted
        if event.deleted:
            return known.uid != event.uid
        return event.version <= int(known.version)

    def _object(self, name: str) -> StoredObject | StoredCredentials | None:
        if name == self.map_name:
            return self.head
        if name in self.shards:
            return self.shards[name]
        number = name.removeprefix(f"{self.map_name}-credentials-")
        return self.credentials.get(int(number)) if number.isdigit() else None

    def has_surplus(self, shards: frozenset[str], credentials: frozenset[str]) -> bool:
        """Whether more is stored than these."""
        return any(name not in shards for name in (*self.shards, *self.damaged)) or any(
            not stored.all_keys <= credentials for stored in self.credentials.values()
        )

    # --- writes -----------------------------------------------------------------------------------------------------------------------

    async def write_credentials(self, needed: frozenset[str], values: Mapping[str, bytes]) -> None:
        """Store what is missing of the needed credentials, as far as `values` has it."""
        missing = needed - {key for stored in self.credentials.values() for key in stored.intact}
        by_object: dict[int, dict[str, bytes]] = {}
        for credential in missing & values.keys():
            by_object.setdefault(credential_object(credential), {})[credential] = values[credential]
        for number, group in by_object.items():
            self.credentials[number] = await self.objects.add_credentials(number, group)

    async def write_shards(self, layout: Layout) -> None:
        """Store the shards that are missing; damaged ones are replaced."""
        missing = [shard for shard in layout.shards.values() if shard.ref.name not in self.shards]
        slots = asyncio.Semaphore(_PARALLEL_WRITES)

        async def write(shard: Shard) -> None:
            name = shard.ref.name
            async with slots:
                if name in self.damaged:
                    damaged = self.damaged.pop(name)
                    self.deleted_uids.add(damaged.uid)
                    await self.objects.delete_shard(damaged)
                self.shards[name] = without_data(await self.objects.create_shard(name, shard.text))

        try:
            async with asyncio.TaskGroup() as group:
                for shard in missing:
                    group.create_task(write(shard))
        except* PortError as failed:
            raise failed.exceptions[0] from failed

    async def write_head(self, head: Head) -> None:
        """Write the head. Raises Conflict when somebody else wrote it since it was read."""
        self.head = await self.objects.write_head(head.to_text(), self.head)

    async def remove_shards(self, needed: frozenset[str]) -> None:
        """Delete the shards that are not needed."""
        for shards in (self.shards, self.damaged):
            for name in [name for name in shards if name not in needed]:
                self.deleted_uids.add(shards[name].uid)
                await self.objects.delete_shard(shards[name])
                del shards[name]

    async def remove_credentials(self, needed: frozenset[str]) -> None:
        """Remove the credentials that are not needed."""
        for number, stored in list(self.credentials.items()):
            surplus = stored.all_keys - needed
            if surplus:
                remaining = await self.objects.remove_credentials(stored, surplus)
                if remaining is None:
                    self.deleted_uids.add(stored.uid)
                    del self.credentials[number]
                else:
                    self.credentials[number] = remaining


def parsed_head(stored: StoredObject | None) -> Head | None:
    """The stored head; None when there is none, when it cannot be read, or when somebody else wrote it."""
    if stored is None or stored.signature is Signature.INVALID:
        return None
    try:
        return Head.parse(stored.data.get(HEAD_KEY, ""), stored.name)
    except ConnectorMapError:
        return None


def split_by_integrity(shards: Sequence[StoredObject]) -> tuple[dict[str, StoredObject], dict[str, StoredObject]]:
    """The intact shards and the damaged ones, by name, without their texts. A shard's name ends with 12 digits of its text's digest."""
    intact: dict[str, StoredObject] = {}
    damaged: dict[str, StoredObject] = {}
    for shard in shards:
        is_intact = sha256(shard.data.get(SHARD_KEY, ""))[7:19] == shard.name.rsplit("-", 1)[-1]
        (intact if is_intact else damaged)[shard.name] = without_data(shard)
    return intact, damaged


def without_data(stored: StoredObject) -> StoredObject:
    """A shard without its text: only the name and the preconditions are needed later."""
    return StoredObject(stored.name, stored.uid, stored.version, stored.owned)
