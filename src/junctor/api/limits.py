"""Limits: how much of a gateway's map one registry, one namespace, and all of them may take, as the operator's configuration says."""

import re
from typing import Annotated, Any, Final, NamedTuple

from pydantic import BeforeValidator, Field

from junctor.connectormap.entry import Entry
from junctor.net.configuration import ConfigurationModel

#: Bytes of memory that an entry takes beside its text: ids, digests, and its places in the tables of operator and gateways.
ENTRY_OVERHEAD: Final = 512
#: Of each limit of a map, the share that the servers of all registries may take: registries never displace connectors.
REGISTRIES_SHARE: Final = 7 / 8
_UNITS: Final = {"": 1, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}


def weight_of(entry: Entry) -> int:
    """What an entry counts towards limits in bytes: its text, and the memory beside it."""
    return len(entry.body) + ENTRY_OVERHEAD


def _bytes(value: Any) -> Any:
    """A quantity as Kubernetes writes it ("64Mi"), as a number."""
    found = re.fullmatch(r"([0-9]{1,15})(Ki|Mi|Gi)?", value) if isinstance(value, str) else None
    if isinstance(value, str) and found is None:
        raise ValueError('must be a number of bytes, or one with Ki, Mi or Gi, such as "64Mi"')
    return int(found[1]) * _UNITS[found[2] or ""] if found else value


Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=1024**2, le=1024**4)]


class Limit(ConfigurationModel):
    """How many connectors there may be, and how many bytes they may take by `weight_of`."""

    connectors: Annotated[int, Field(ge=1, le=1_000_000)]
    bytes: Bytes

    @property
    def room(self) -> "Room":
        """The limit while nothing is used of it."""
        return Room(self.connectors, self.bytes)


class Room(NamedTuple):
    """What is left of limits: connectors, and bytes by `weight_of`."""

    connectors: int
    bytes: int

    def minus(self, others: "Room") -> "Room":
        """What remains beside others, at least nothing."""
        return Room(max(0, self.connectors - others.connectors), max(0, self.bytes - others.bytes))

    def plus(self, other: "Room") -> "Room":
        """Both together."""
        return Room(self.connectors + other.connectors, self.bytes + other.bytes)

    def within(self, other: "Room") -> "Room":
        """The smaller of each."""
        return Room(min(self.connectors, other.connectors), min(self.bytes, other.bytes))


class Limits(ConfigurationModel):
    """The limits of one gateway. A connector is an MCPConnector, an MCPRegistry, or a server of a registry.

    map: of the whole map. namespace: of the resources of one namespace and their servers. registry: of the servers of one registry.
    """

    map: Limit = Limit(connectors=120_000, bytes=128 * 1024**2)
    namespace: Limit = Limit(connectors=110_000, bytes=104 * 1024**2)
    registry: Limit = Limit(connectors=100_000, bytes=96 * 1024**2)

    def room_of_registry(self, others: Room, others_in_namespace: Room) -> Room:
        """How much one registry may have beside all other registries, and beside those of its namespace."""
        registries = Room(int(self.map.connectors * REGISTRIES_SHARE), int(self.map.bytes * REGISTRIES_SHARE))
        room = self.registry.room.within(registries.minus(others))
        return room.within(self.namespace.room.minus(others_in_namespace))


DEFAULT_LIMITS: Final = Limits()
