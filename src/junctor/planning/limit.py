"""Limit: entries, credentials and the map have maximum sizes; what exceeds them is refused, and what is published stays."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from junctor.api.conditions import Finding, Reason
from junctor.api.configuration import GatewaySpec
from junctor.api.limits import ENTRY_OVERHEAD, Limit, Room, weight_of
from junctor.connectormap.credentials import CREDENTIAL_OBJECTS, CREDENTIALS_LIMIT, credential_object, reference_hash
from junctor.connectormap.entry import ENTRY_LIMIT, Entry
from junctor.planning.acceptance import Verdict
from junctor.planning.inputs import Inputs, Published

#: Size of a credential's key and of the JSON around it, added to that of its value.
_KEY_BYTES: Final = 40


def limit_entry(verdict: Verdict) -> Verdict:
    """Refuse a resource whose entry is too large."""
    entry = verdict.entry
    if entry is None or entry.size <= ENTRY_LIMIT:
        return verdict
    message = f"needs {entry.size // 1024} KiB in the map, at most {ENTRY_LIMIT // 1024}; shorten lists, headers or caBundle"
    return verdict.without_entry(Reason.TOO_LARGE, message)


def limit_credentials(verdicts: Mapping[str, Verdict], inputs: Inputs, published: Published, gateway: str) -> dict[str, Verdict]:
    """Refuse resources whose credentials do not fit into the credential Secrets: published and older resources come first.

    Args:
        verdicts: Those on the resources that own their ids, by uid.
        inputs: Where the sizes of Secret values come from.
        published: The present map; resources in it come first.
        gateway: Name of the gateway, for messages.

    Returns:
        New verdicts on the refused resources, by uid.
    """
    if sum(version.size + _KEY_BYTES for keys in inputs.secrets.values() for version in keys.values()) <= CREDENTIALS_LIMIT:
        return {}
    sizes = _credential_sizes(inputs)
    filled = [0] * CREDENTIAL_OBJECTS
    placed: set[str] = set()
    refusals: dict[str, Verdict] = {}

    def rank(item: tuple[str, Verdict]) -> tuple[bool, str, str]:
        uid, verdict = item
        incumbent = published.origins.get(verdict.id)
        return incumbent is None or incumbent.uid != uid, verdict.resource.created, uid

    for uid, verdict in sorted(verdicts.items(), key=rank):
        added = set(verdict.credentials) - placed
        after = list(filled)
        for credential in added:
            after[credential_object(credential)] += sizes.get(credential, 0)
        if any(size > CREDENTIALS_LIMIT for size in after):
            message = f"the credentials of gateway {gateway} would exceed {CREDENTIALS_LIMIT // 1024} KiB in one Secret"
            refusals[uid] = verdict.without_entry(Reason.CREDENTIALS_TOO_LARGE, f"{message}; use smaller Secret values")
            continue
        filled = after
        placed |= added
    return refusals


def _credential_sizes(inputs: Inputs) -> dict[str, int]:
    """Bytes that each credential would take in a credential Secret."""
    return {
        f"{reference_hash(namespace, name, key)}.{version.version}": version.size + _KEY_BYTES
        for (namespace, name), keys in inputs.secrets.items()
        for key, version in keys.items()
    }


@dataclass(frozen=True, slots=True)
class MapLimited:
    """What the limits of a map refuse. refusals: by uid. held: ids of registries whose published servers stay as they are, by uid."""

    refusals: Mapping[str, Verdict] = field(default_factory=dict)
    kept_ids: tuple[str, ...] = ()
    held: Mapping[str, Verdict] = field(default_factory=dict)


def limit_map(verdicts: Mapping[str, Verdict], published: Published, gateway: GatewaySpec) -> MapLimited:
    """Refuse what exceeds the limits of the map or of a namespace.

    What is published stays; the rest of the room goes to the oldest resources. A resource that grew beyond the limits keeps its published
    version, and a registry its published servers.

    Args:
        verdicts: Those on the resources that own their ids, by uid.
        published: The present map.
        gateway: Its limits, and its name for messages.
    """
    if _fits(verdicts, gateway):
        return MapLimited()
    rooms = {uid: _room_of(verdict.entry, verdict.servers) for uid, verdict in verdicts.items() if verdict.entry is not None}
    before = {uid: _published_room(uid, verdicts[uid], published) for uid in rooms}
    used = _Used(gateway)
    for uid, room in rooms.items():
        used.add(verdicts[uid].resource.namespace, room.within(before[uid]))
    refusals: dict[str, Verdict] = {}
    kept: list[str] = []
    held: dict[str, Verdict] = {}
    for uid in sorted(rooms, key=lambda uid: (before[uid] == _NOTHING, verdicts[uid].resource.created, uid)):
        verdict, growth = verdicts[uid], rooms[uid].minus(before[uid])
        exceeded = used.exceeded_by(verdict.resource.namespace, growth)
        if not exceeded:
            used.add(verdict.resource.namespace, growth)
        elif verdict.servers:
            held[uid] = _held(verdict, published, exceeded)
        else:
            refusals[uid] = verdict.without_entry(Reason.LIMIT_EXCEEDED, f"{exceeded}; delete what is not needed, or have `limits` raised")
            if before[uid] != _NOTHING:
                kept.append(verdict.id)
    return MapLimited(refusals, tuple(kept), held)


_NOTHING: Final = Room(0, 0)


def _fits(verdicts: Mapping[str, Verdict], gateway: GatewaySpec) -> bool:
    """Whether all together take less than any limit: so it nearly always is, and each plan asks."""
    limits = gateway.limits
    connectors = size = 0
    for verdict in verdicts.values():
        if (entry := verdict.entry) is not None:
            connectors += 1
            size += len(entry.body) + ENTRY_OVERHEAD
            if verdict.servers:
                room = _servers_room(verdict)
                connectors, size = connectors + room.connectors, size + room.bytes
    most = limits.map.room.within(limits.namespace.room)
    return connectors <= most.connectors and size <= most.bytes


def _servers_room(verdict: Verdict) -> Room:
    """What the servers of a registry take; versions of credentials, which differ in length by a few bytes, do not count."""
    servers, discovered = verdict.servers or {}, verdict.sync.discovered if verdict.sync else None
    if discovered is not None and len(discovered.entries) == len(servers):
        return discovered.room
    return Room(len(servers), sum(map(weight_of, servers.values())))


def _room_of(entry: Entry, servers: Mapping[str, Entry] | None) -> Room:
    values = (servers or {}).values()
    return Room(1 + len(values), weight_of(entry) + sum(map(weight_of, values)))


def _published_room(uid: str, verdict: Verdict, published: Published) -> Room:
    origin = published.origins.get(verdict.id)
    if origin is None or origin.uid != uid:
        return _NOTHING
    return _room_of(published.entries[verdict.id], published.discovered.get(verdict.id))


class _Used:
    """What is used of the limits of a map and of each namespace."""

    def __init__(self, gateway: GatewaySpec) -> None:
        self._gateway = gateway
        self._map = _NOTHING
        self._namespaces: dict[str, Room] = {}

    def add(self, namespace: str, room: Room) -> None:
        self._map = self._map.plus(room)
        self._namespaces[namespace] = self._namespaces.get(namespace, _NOTHING).plus(room)

    def exceeded_by(self, namespace: str, growth: Room) -> str:
        """Which limit would be exceeded; "" for none, as when nothing grows."""
        limits, name = self._gateway.limits, self._gateway.name
        places = (
            ("namespace", f"namespace {namespace}", limits.namespace, self._namespaces.get(namespace, _NOTHING)),
            ("map", "the map", limits.map, self._map),
        )
        for field_name, place, limit, used in places:
            exceeded = _exceeded(limit, used, growth)
            if exceeded:
                return f"{place} would have more than {exceeded} on gateway {name} (limits.{field_name})"
        return ""


def _exceeded(limit: Limit, used: Room, growth: Room) -> str:
    if growth.connectors and used.connectors + growth.connectors > limit.connectors:
        return f"{limit.connectors} connectors"
    if growth.bytes and used.bytes + growth.bytes > limit.bytes:
        return f"{limit.bytes // 1024**2} MiB of connectors"
    return ""


def _held(verdict: Verdict, published: Published, exceeded: str) -> Verdict:
    """The verdict on a registry whose new servers do not fit: its published ones stay."""
    servers = published.discovered.get(verdict.id, {})
    message = f"{exceeded}: {len(servers)} servers stay published, of {len(verdict.servers or ())}"
    sync = replace(verdict.sync, synced=Finding("False", Reason.LIMIT_EXCEEDED, message)) if verdict.sync else None
    return replace(verdict, servers=servers, sync=sync)
