"""Writes and removes what the head of a map refers to: shards, and credentials."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from junctor.connectormap.connector_map import Layout, Shard, credential_object
from junctor.reconcile.ports import MapObjects, PortError
from junctor.reconcile.stored import Stored, light

_PARALLEL_WRITES: Final = 8


class MapParts:
    """The parts of one map. known: what is stored, kept up to date. Each method may raise PortError, with a part of its work done."""

    def __init__(self, objects: MapObjects, known: Stored, checkpoint: Callable[[str], None]) -> None:
        self._objects = objects
        self._known = known
        self._checkpoint = checkpoint

    async def write_credentials(self, wanted: frozenset[str], values: Callable[[frozenset[str]], Mapping[str, bytes]]) -> None:
        """Store what is missing of the wanted credentials. values: gives their values."""
        held = {key for stored in self._known.credentials.values() for key in stored.intact}
        missing = wanted - held
        if not missing:
            return
        self._checkpoint("credentials")
        by_object: dict[int, dict[str, bytes]] = {}
        for credential, value in values(frozenset(missing)).items():
            by_object.setdefault(credential_object(credential), {})[credential] = value
        for number, group in by_object.items():
            self._known.credentials[number] = await self._objects.add_credentials(number, group)

    async def write_shards(self, layout: Layout) -> None:
        """Store the shards that are missing; those that hold something else are replaced."""
        missing = [shard for shard in layout.shards.values() if shard.ref.name not in self._known.shards]
        if not missing:
            return
        self._checkpoint("shards")
        bound = asyncio.Semaphore(_PARALLEL_WRITES)

        async def write(shard: Shard) -> None:
            name = shard.ref.name
            async with bound:
                if name in self._known.broken:
                    broken = self._known.broken.pop(name)
                    self._known.gone.add(broken.uid)
                    await self._objects.delete_shard(broken)
                self._known.shards[name] = light(await self._objects.create_shard(name, shard.text))

        try:
            async with asyncio.TaskGroup() as group:
                for shard in missing:
                    group.create_task(write(shard))
        except* PortError as failed:
            raise failed.exceptions[0] from failed

    async def remove_shards(self, needed: frozenset[str]) -> None:
        """Delete the shards that are not needed."""
        for shards in (self._known.shards, self._known.broken):
            for name in [name for name in shards if name not in needed]:
                self._checkpoint("clean-up")
                self._known.gone.add(shards[name].uid)
                await self._objects.delete_shard(shards[name])
                del shards[name]

    async def remove_credentials(self, needed: frozenset[str]) -> None:
        """Remove the credentials that are not needed."""
        for number, stored in list(self._known.credentials.items()):
            surplus = stored.all_keys - needed
            if surplus:
                self._checkpoint("clean-up-credentials")
                left = await self._objects.remove_credentials(stored, surplus)
                if left is None:
                    self._known.gone.add(stored.uid)
                    del self._known.credentials[number]
                else:
                    self._known.credentials[number] = left

    def surplus(self, shards: frozenset[str], credentials: frozenset[str]) -> bool:
        """Whether more is stored than these."""
        return any(name not in shards for name in (*self._known.shards, *self._known.broken)) or any(
            not stored.all_keys <= credentials for stored in self._known.credentials.values()
        )
