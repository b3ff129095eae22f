"""The loop's ports for tests: objects that a test may edit by hand, calls that are counted and can fail, pods that answer as told."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from junctor.connectormap.credentials import credential_object
from junctor.connectormap.head import HEAD_KEY, SHARD_KEY, Head
from junctor.connectormap.messages import Acknowledgement
from junctor.connectormap.reader import ConnectorMap, read_map
from junctor.planning.statuses import StatusUpdate
from junctor.reconcile.ports import ObjectReference, Pod, PodUnreachable, StoredCredentials, StoredObject
from junctor.reconcile.stored_map import ObjectEvent
from junctor.standalone.adapters import MemoryMapObjects
from tests.unit.planning.building import KEY

MAP = "junctor-connectors"
INSTALLATION = "installation-1"


async def until(condition: Callable[[], object], *, deadline: float = 20.0) -> None:
    """Wait until a condition holds; a test that has to wait for the deadline fails."""
    async with asyncio.timeout(deadline):
        while not condition():  # noqa: ASYNC110 - the conditions are of many kinds, few have an event
            await asyncio.sleep(0.002)


READS: Final = frozenset({"installation", "read_head", "list_shards", "list_credentials"})


class Objects(MemoryMapObjects):
    """The objects of one map: standalone's, which a test may edit by hand, and whose calls are recorded and can fail.

    fault: called with the name of each call before it is done; raises to make it fail. after: called with the name of each write when it
    is done, so that a test may look in between. on_event: called with each change, as a watch reports it.
    """

    def __init__(self, fault: Callable[[str], None] = lambda call: None) -> None:
        super().__init__(MAP)
        self._installation, self._key = INSTALLATION, KEY
        self.fault = fault
        self.after: Callable[[str], Awaitable[None]] | None = None
        self.on_event: Callable[[ObjectEvent], object] = lambda event: None
        self.calls: list[str] = []

    @property
    def writes(self) -> list[str]:
        return [call for call in self.calls if call not in READS]

    @property
    def head(self) -> StoredObject | None:
        return self._head

    @property
    def shards(self) -> dict[str, StoredObject]:
        return self._shards

    @property
    def secrets(self) -> Mapping[int, Mapping[str, bytes]]:
        """The values of the credential Secrets, by number."""
        return self._credentials

    # --- by hand ----------------------------------------------------------------------------------------------------------------------

    def copy_from(self, other: "Objects") -> None:
        """Become a copy of another map's objects, as a new operator finds them."""
        self._head, self._version = other._head, max(self._version, other._version)
        self._shards, self._credentials, self._written = dict(other._shards), dict(other._credentials), dict(other._written)

    def edit_head(self, text: str) -> None:
        assert self._head is not None
        self._set_head(text, self._head.uid, owned=True)

    def place_head(self, text: str, *, owned: bool) -> None:
        self._set_head(text, f"uid-{self._next()}", owned=owned)

    def delete_head(self) -> None:
        assert self._head is not None
        deleted, self._head = self._head, None
        self._report(MAP, deleted.uid, self._next(), deleted=True)

    def remove_shard(self, name: str) -> None:
        self._report(name, self._shards.pop(name).uid, self._next(), deleted=True)

    def replace_shard(self, name: str, text: str) -> None:
        self._shards[name] = self._new(name, {SHARD_KEY: text})
        self._report(name, self._shards[name].uid, self._shards[name].version)

    def set_secret(self, number: int, values: Mapping[str, bytes]) -> None:
        self._credentials[number] = dict(values)
        self._report_secret(self._describe(number))

    def remove_secret(self, number: int) -> None:
        del self._credentials[number]
        self._report_secret(self._written.pop(number), deleted=True)

    # --- MapObjects -------------------------------------------------------------------------------------------------------------------

    async def installation(self, remembered: str) -> str:
        await self._called("installation")
        return await super().installation(remembered)

    async def read_head(self) -> StoredObject | None:
        await self._called("read_head")
        return await super().read_head()

    async def write_head(self, text: str, expected: StoredObject | None) -> StoredObject:
        await self._called("write_head")
        head = await super().write_head(text, expected)
        self._report(MAP, head.uid, head.version)
        await self._done("write_head")
        return head

    async def list_shards(self) -> Sequence[StoredObject]:
        await self._called("list_shards")
        return await super().list_shards()

    async def create_shard(self, name: str, text: str) -> StoredObject:
        await self._called("create_shard")
        before = self._shards.get(name)
        shard = await super().create_shard(name, text)
        if shard is not before:
            self._report(name, shard.uid, shard.version)
        await self._done("create_shard")
        return shard

    async def delete_shard(self, shard: StoredObject) -> None:
        await self._called("delete_shard")
        before = self._shards.get(shard.name)
        await super().delete_shard(shard)
        if before is not None and shard.name not in self._shards:
            self._report(shard.name, before.uid, self._next(), deleted=True)
        await self._done("delete_shard")

    async def list_credentials(self) -> Sequence[StoredCredentials]:
        await self._called("list_credentials")
        return await super().list_credentials()

    async def add_credentials(self, number: int, values: Mapping[str, bytes]) -> StoredCredentials:
        await self._called("add_credentials")
        stored = await super().add_credentials(number, values)
        self._report_secret(stored)
        await self._done("add_credentials")
        return stored

    async def remove_credentials(self, stored: StoredCredentials, keys: frozenset[str]) -> StoredCredentials | None:
        await self._called("remove_credentials")
        before = self._written.get(stored.number)
        left = await super().remove_credentials(stored, keys)
        if before is not None:
            self._report_secret(left or before, deleted=left is None)
        await self._done("remove_credentials")
        return left

    def _set_head(self, text: str, uid: str, *, owned: bool) -> None:
        self._head = StoredObject(MAP, uid, self._next(), owned, {HEAD_KEY: text})
        self._report(MAP, uid, self._head.version)

    def _report(self, name: str, uid: str, version: str, *, deleted: bool = False) -> None:
        self.on_event(ObjectEvent(name, uid, int(version), deleted))

    def _report_secret(self, stored: StoredCredentials, *, deleted: bool = False) -> None:
        name = f"{MAP}-credentials-{stored.number}"
        self._report(name, stored.uid, self._next() if deleted else stored.version, deleted=deleted)

    async def _called(self, call: str) -> None:
        self.calls.append(call)
        await asyncio.sleep(0)
        self.fault(call)

    async def _done(self, call: str) -> None:
        if self.after is not None:
            await self.after(call)


class Reader:
    """A gateway pod's look at a map: always whole, with every credential that it names."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.current: ConnectorMap | None = None

    async def read(self) -> ConnectorMap | None:
        """Read the map as a new pod does; the one before is not used. None when there is no head. Raises ConnectorMapError."""
        self.current = await read_map(MAP, self._objects.fetch_head, self._objects.fetch_shard)
        return self.current

    def missing_credentials(self) -> set[str]:
        """The credentials that the map names and the Secrets do not hold."""
        assert self.current is not None
        named = {credential for entry in self.current.entries.values() for credential in entry.credentials}
        return {key for key in named if key not in self._objects.secrets.get(credential_object(key), {})}


def head_of(objects: Objects) -> Head:
    assert objects.head is not None
    return Head.parse(objects.head.data[HEAD_KEY], MAP)


@dataclass
class Pods:
    """Gateway pods (port `Signal`): each gives its answer of `answers`; without one it serves the sequence that it is signalled,
    unless it serves a higher one already: pods never go back.

    serving: the sequence that each pod serves. running: calls that are not answered yet. busy: those of them that do not wait for an
    answer of the test's.
    """

    answers: dict[str, Callable[[int], Awaitable[Acknowledgement]]] = field(default_factory=dict)
    serving: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    peers: list[Sequence[str]] = field(default_factory=list)
    running: int = 0
    busy: int = 0
    most: int = 0

    async def reload(self, pod: Pod, sequence: int, peers: Sequence[str], *, deadline: float) -> Acknowledgement:
        self.asked.append((pod.name, sequence))
        self.peers.append(peers)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            self.busy += 1
            try:
                await asyncio.sleep(0)
            finally:
                self.busy -= 1
            answer = self.answers.get(pod.name)
            async with asyncio.timeout(deadline):
                return await answer(sequence) if answer is not None else self._load(pod.name, sequence)
        except TimeoutError as error:
            raise PodUnreachable("no answer in time") from error
        finally:
            self.running -= 1

    def _load(self, name: str, sequence: int) -> Acknowledgement:
        self.serving[name] = max(sequence, self.serving.get(name, 0))
        return Acknowledgement(self.serving[name], "sha256:")

    def asked_of(self, name: str) -> list[int]:
        return [sequence for pod, sequence in self.asked if pod == name]


def pod(name: str, *, address: str = "10.0.0.1", incarnation: str = "1") -> Pod:
    return Pod(f"uid-{name}", name, address, incarnation)


@dataclass
class Sink:
    """Statuses and Events (port `StatusSink`). fault: called with each update before it is written; raises to make it fail."""

    fault: Callable[[StatusUpdate], None] = lambda update: None
    on_status: Callable[[StatusUpdate], None] = lambda update: None
    statuses: list[StatusUpdate] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)
    events: list[tuple[ObjectReference, bool, str, str]] = field(default_factory=list)

    async def write_status(self, update: StatusUpdate) -> None:
        self.attempts.append(update.resource.name)
        await asyncio.sleep(0)
        self.fault(update)
        self.statuses.append(update)
        self.on_status(update)

    async def post_event(self, regarding: ObjectReference, *, warning: bool, reason: str, message: str) -> None:
        self.events.append((regarding, warning, reason, message))

    def last(self, name: str) -> dict[str, tuple[str, str]]:
        """Status and reason by condition type, of the last status of a resource; empty when there is none."""
        for update in reversed(self.statuses):
            if update.resource.name == name:
                return {item["type"]: (item["status"], item["reason"]) for item in update.status["conditions"]}
        return {}
