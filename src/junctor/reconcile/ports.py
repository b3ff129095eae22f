"""What the loop needs from the outside. The operator implements it on Kubernetes, standalone in memory; shared contract tests check both.

PortError
+-- Conflict            a precondition failed: somebody else wrote the object
+-- Unavailable         it may work later: unreachable, overloaded, or a refusal that permissions may lift
+-- ForeignMap          the head of the map belongs to another installation; it is never written
Superseded              another operator with a higher epoch writes the map; trying again is wrong, so it is no PortError
SignalError
+-- PodUnreachable      no answer in time
+-- MapRejected         the pod answered that it keeps its old map
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol, Self

from junctor.api.names import API_VERSION
from junctor.api.registry import MCPRegistrySpec
from junctor.api.resources import Resource
from junctor.connectormap.messages import Acknowledgement
from junctor.planning.statuses import StatusUpdate
from junctor.registry.reader import RegistryReader


class PortError(Exception):
    """An outside write or read that did not work; the message says what and why."""


class Conflict(PortError):
    """The object is not in the state that the caller expected."""


class Unavailable(PortError):
    """Try again later."""


class ForeignMap(PortError):
    """The head belongs to another installation, and is never written."""


class Superseded(Exception):
    """Another operator with a higher epoch writes this map: this one has to stop."""


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """What an Event is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str

    @classmethod
    def of(cls, resource: Resource) -> Self:
        """The reference to one of our own resources."""
        return cls(API_VERSION, resource.kind, resource.namespace, resource.name, resource.uid)

    def as_json(self) -> dict[str, str]:
        """As Kubernetes writes it."""
        body = {"apiVersion": self.api_version, "kind": self.kind, "namespace": self.namespace}
        return {**body, "name": self.name, "uid": self.uid}


class Signature(Enum):
    """What the signature of a stored head shows.

    VALID: this installation wrote it. INVALID: somebody else did, and nothing that it says counts. UNKNOWN: there is no key yet, so it may
    be the head of an operator that did not sign.
    """

    VALID = auto()
    UNKNOWN = auto()
    INVALID = auto()


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of a map as it is stored. version: its resourceVersion. owned: whether this installation's anchor owns it.

    signature: of a head.
    """

    name: str
    uid: str
    version: str
    owned: bool
    data: Mapping[str, str] = field(repr=False, default_factory=dict)
    signature: Signature = Signature.VALID


@dataclass(frozen=True, slots=True)
class StoredCredentials:
    """One of the 16 credential Secrets: whole keys, and only those whose value has the version that the key names."""

    number: int
    uid: str
    version: str
    intact: frozenset[str]
    all_keys: frozenset[str]


class MapObjects(Protocol):
    """The objects of one connector map. Every method may raise Unavailable."""

    async def installation(self, remembered: str) -> str:
        """The id of the installation: the anchor's, which owns the map's objects and takes them with it when it is deleted.

        An anchor that is missing is made, with the id `remembered` when that is not empty.
        """
        ...

    async def installation_key(self) -> bytes:
        """The key of credential versions: made once, kept in a Secret of its own, never published."""
        ...

    async def read_head(self) -> StoredObject | None:
        """The head, or None."""
        ...

    async def write_head(self, text: str, expected: StoredObject | None) -> StoredObject:
        """Create (expected None) or replace the head, signed with the key of the map, which is made first if there is none.

        Raises Conflict when the head is not as expected.
        """
        ...

    async def list_shards(self) -> Sequence[StoredObject]:
        """Every shard of this map, current or not."""
        ...

    async def create_shard(self, name: str, text: str) -> StoredObject:
        """Create an immutable shard. If it exists with the same text, that one is returned; another text raises Conflict."""
        ...

    async def delete_shard(self, shard: StoredObject) -> None:
        """Delete exactly this object; one that was deleted or replaced is left alone."""
        ...

    async def list_credentials(self) -> Sequence[StoredCredentials]:
        """The credential Secrets that exist."""
        ...

    async def add_credentials(self, number: int, values: Mapping[str, bytes]) -> StoredCredentials:
        """Add values to a credential Secret; makes it when there is none."""
        ...

    async def remove_credentials(self, stored: StoredCredentials, keys: frozenset[str]) -> StoredCredentials | None:
        """Remove keys. Raises Conflict when the Secret changed since it was read."""
        ...


class SignalError(Exception):
    """A pod did not acknowledge."""


class PodUnreachable(SignalError):
    """No answer, or none that makes sense."""


class MapRejected(SignalError):
    """The pod keeps its old map. serving: the sequence it serves, or None."""

    def __init__(self, message: str, serving: int | None) -> None:
        super().__init__(message)
        self.serving = serving


@dataclass(frozen=True, slots=True)
class Pod:
    """A gateway pod that is ready. incarnation: changes with the address, with readiness lost and with a restart."""

    uid: str
    name: str
    address: str
    incarnation: str


class Signal(Protocol):
    """The way to the gateway pods."""

    async def reload(self, pod: Pod, sequence: int, peers: Sequence[str], *, deadline: float) -> Acknowledgement:
        """Tell a pod that `sequence` exists; answers what it serves then. deadline: seconds, connection included.

        Raises PodUnreachable (try later) or MapRejected (the pod kept its old map).
        """
        ...


class StatusSink(Protocol):
    """Where statuses and events go."""

    async def write_status(self, update: StatusUpdate) -> None:
        """Write a status. A resource that was deleted is no error. Raises Unavailable."""
        ...

    async def post_event(self, regarding: ObjectReference, *, warning: bool, reason: str, message: str) -> None:
        """Post an Event about an object. Raises Unavailable."""
        ...


class Cluster(Protocol):
    """Reads that replace what events reported."""

    async def refresh(self) -> bool:
        """Bring the snapshot to the present by full LISTs. What cannot be listed keeps its last state, and the answer is False."""
        ...

    async def still_defined(self, kind: str) -> bool:
        """Whether a kind of ours exists and is not being removed: checked before a deletion is believed. Raises Unavailable."""
        ...


class Registries(Protocol):
    """The way to MCP registries."""

    def open(self, spec: MCPRegistrySpec, headers: Mapping[str, str], namespace: str) -> AbstractAsyncContextManager[RegistryReader]:
        """Open the registry of a valid spec while the context lasts.

        headers: sent with every request, credentials included. namespace: of the resource, on whose behalf the registry is read.
        Raises ValueError for a CA bundle that cannot be used.
        """
        ...
