"""The loop's ports for tests: objects that a test may edit by hand, calls that are counted and can fail, pods that answer as told."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from junctor.connectormap.credentials import credential_object, credential_version
from junctor.connectormap.head import HEAD_KEY, SHARD_KEY, Head
from junctor.connectormap.messages import Acknowledgement
from junctor.connectormap.reader import ConnectorMap, read_map
from junctor.planning.statuses import StatusUpdate
from junctor.reconcile.ports import Conflict, ObjectReference, Pod, PodUnreachable, StoredCredentials, StoredObject
from junctor.reconcile.stored_map import ObjectEvent
from tests.unit.planning.building import KEY

MAP = "junctor-connectors"
INSTALLATION = "installation-1"


async def until(condition: Callable[[], object], *, deadline: float = 20.0) -> None:
    """Wait until a condition holds; a test that has to wait for the deadline fails."""
    async with asyncio.timeout(deadline):
        while not condition():  # noqa: ASYNC110 - the conditions are of many kinds, few have an event
            await asyncio.sleep(0.002)


@dataclass
class Objects:
    """The objects of one map (port `MapObjects`). fault: called with the name of each call before it is done; raises to make it fail.

    after: called with the name of each call when it is done, so that a test may look in between.
    """

    fault: Callable[[str], None] = lambda call: None
    after: Callable[[str], Awaitable[None]] | None = None
    on_event: Callable[[ObjectEvent], object] = lambda event: None
    owner: str = INSTALLATION
    head: StoredObject | None = None
    shards: dict[str, StoredObject] = field(default_factory=dict)
    secrets: dict[int, tuple[str, str, dict[str, bytes]]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    versions: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def writes(self) -> list[str]:
        return [
            call for call in self.calls if call not in ("installation", "installation_key", "read_head", "list_shards", "list_credentials")
        ]

    # --- by hand ----------------------------------------------------------------------------------------------------------------------

    def edit_head(self, text: str) -> None:
        assert self.head is not None
        self.head = StoredObject(MAP, self.head.uid, self._version(), True, {HEAD_KEY: text})
        self._tell(MAP, self.head.uid, self.head.version)

    def place_head(self, text: str, *, owned: bool) -> None:
        self.head = StoredObject(MAP, f"uid-{next(self.versions)}", self._version(), owned, {HEAD_KEY: text})
        self._tell(MAP, self.head.uid, self.head.version)

    def delete_head(self) -> None:
        assert self.head is not None
        gone, self.head = self.head, None
        self._tell(MAP, gone.uid, self._version(), deleted=True)

    def remove_shard(self, name: str) -> None:
        gone = self.shards.pop(name)
        self._tell(name, gone.uid, self._version(), deleted=True)

    def replace_shard(self, name: str, text: str) -> None:
        self.shards[name] = StoredObject(name, f"uid-{next(self.versions)}", self._version(), True, {SHARD_KEY: text})
        self._tell(name, self.shards[name].uid, self.shards[name].version)

    def set_secret(self, number: int, values: Mapping[str, bytes]) -> None:
        uid = self.secrets[number][0]
        self.secrets[number] = (uid, self._version(), dict(values))
        self._tell(f"{MAP}-credentials-{number}", uid, self.secrets[number][1])

    def remove_secret(self, number: int) -> None:
        uid = self.secrets.pop(number)[0]
        self._tell(f"{MAP}-credentials-{number}", uid, self._version(), deleted=True)

    # --- MapObjects -------------------------------------------------------------------------------------------------------------------

    async def installation(self, remembered: str) -> str:
        await self._called("installation")
        return remembered or self.owner

    async def installation_key(self) -> bytes:
        return KEY

    async def read_head(self) -> StoredObject | None:
        await self._called("read_head")
        return self.head

    async def write_head(self, text: str, expected: StoredObject | None) -> StoredObject:
        await self._called("write_head")
        if (self.head and (self.head.uid, self.head.version)) != (expected and (expected.uid, expected.version)):
            raise Conflict("the head is not as expected")
        uid = self.head.uid if self.head else f"uid-{next(self.versions)}"
        self.head = StoredObject(MAP, uid, self._version(), True, {HEAD_KEY: text})
        self._tell(MAP, uid, self.head.version)
        await self._done("write_head")
        return self.head

    async def list_shards(self) -> Sequence[StoredObject]:
        await self._called("list_shards")
        return list(self.shards.values())

    async def create_shard(self, name: str, text: str) -> StoredObject:
        await self._called("create_shard")
        held = self.shards.get(name)
        if held is not None and held.data[SHARD_KEY] != text:
            raise Conflict(f"shard {name} has another content")
        if held is None:
            self.replace_shard(name, text)
        await self._done("create_shard")
        return self.shards[name]

    async def delete_shard(self, shard: StoredObject) -> None:
        await self._called("delete_shard")
        held = self.shards.get(shard.name)
        if held is not None and (held.uid, held.version) == (shard.uid, shard.version):
            self.remove_shard(shard.name)
        await self._done("delete_shard")

    async def list_credentials(self) -> Sequence[StoredCredentials]:
        await self._called("list_credentials")
        return [self._credentials(number) for number in self.secrets]

    async def add_credentials(self, number: int, values: Mapping[str, bytes]) -> StoredCredentials:
        await self._called("add_credentials")
        uid, _, held = self.secrets.get(number, (f"uid-{next(self.versions)}", "", {}))
        self.secrets[number] = (uid, self._version(), {**held, **values})
        self._tell(f"{MAP}-credentials-{number}", uid, self.secrets[number][1])
        await self._done("add_credentials")
        return self._credentials(number)

    async def remove_credentials(self, stored: StoredCredentials, keys: frozenset[str]) -> StoredCredentials | None:
        await self._called("remove_credentials")
        if stored.number not in self.secrets:
            return None
        uid, version, held = self.secrets[stored.number]
        if (uid, version) != (stored.uid, stored.version):
            raise Conflict("the Secret changed")
        left = {key: value for key, value in held.items() if key not in keys}
        if left:
            self.set_secret(stored.number, left)
        else:
            self.remove_secret(stored.number)
        await self._done("remove_credentials")
        return self._credentials(stored.number) if left else None

    def _credentials(self, number: int) -> StoredCredentials:
        uid, version, held = self.secrets[number]
        intact = frozenset(key for key, value in held.items() if key.split(".")[1] == credential_version(KEY, value))
        return StoredCredentials(number, uid, version, intact, frozenset(held))

    def _version(self) -> str:
        return str(next(self.versions))

    def _tell(self, name: str, uid: str, version: str, *, deleted: bool = False) -> None:
        self.on_event(ObjectEvent(name, uid, int(version), deleted))

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
        self.current = await read_map(MAP, self._head, self._shard)
        return self.current

    def missing_credentials(self) -> set[str]:
        """The credentials that the map names and the Secrets do not hold."""
        assert self.current is not None
        named = {credential for entry in self.current.entries.values() for credential in entry.credentials}
        return {key for key in named if key not in self._objects.secrets.get(credential_object(key), ("", "", {}))[2]}

    async def _head(self) -> str | None:
        return self._objects.head.data[HEAD_KEY] if self._objects.head else None

    async def _shard(self, name: str) -> str | None:
        shard = self._objects.shards.get(name)
        return shard.data[SHARD_KEY] if shard else None


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
