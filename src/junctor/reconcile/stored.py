"""What a publisher knows of the stored objects of its map, and whether an event about them is news."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from junctor.connectormap.connector_map import SHARD_KEY, sha256
from junctor.reconcile.ports import StoredCredentials, StoredObject


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """A watch event about an object of a map, as far as it matters here."""

    name: str
    uid: str
    version: int
    deleted: bool


@dataclass(slots=True)
class Stored:
    """What is stored, as far as it is known: filled by `load` and by own writes.

    broken: shards that do not hold what their name says. gone: uids of what was deleted here; events about them may come later.
    """

    head: StoredObject | None = None
    shards: dict[str, StoredObject] = field(default_factory=dict)
    broken: dict[str, StoredObject] = field(default_factory=dict)
    credentials: dict[int, StoredCredentials] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    def explains(self, event: ObjectEvent, map_name: str) -> bool:
        """Whether an event tells nothing new: it is the echo of an own write, or older than one."""
        known: StoredObject | StoredCredentials | None
        if event.uid in self.gone:
            return True
        if event.name == f"{map_name}-anchor":
            return not event.deleted
        if event.name == map_name:
            known = self.head
        elif event.name in self.shards:
            known = self.shards[event.name]
        else:
            number = event.name.removeprefix(f"{map_name}-credentials-")
            known = self.credentials.get(int(number)) if number.isdigit() else None
        if known is None:
            return event.deleted
        if event.deleted:
            return known.uid != event.uid
        return event.version <= int(known.version)


def sorted_out(shards: Sequence[StoredObject]) -> tuple[dict[str, StoredObject], dict[str, StoredObject]]:
    """The shards that hold what their names say, and the others; without their texts."""
    whole: dict[str, StoredObject] = {}
    broken: dict[str, StoredObject] = {}
    for shard in shards:
        (whole if _is_whole(shard) else broken)[shard.name] = light(shard)
    return whole, broken


def _is_whole(shard: StoredObject) -> bool:
    """Whether a shard holds what its name says: the name ends with the first 12 digits of the digest."""
    return sha256(shard.data.get(SHARD_KEY, ""))[7:19] == shard.name.rsplit("-", 1)[-1]


def light(stored: StoredObject) -> StoredObject:
    """A shard without its text: only the name and the preconditions are needed later."""
    return StoredObject(stored.name, stored.uid, stored.version, stored.owned)
