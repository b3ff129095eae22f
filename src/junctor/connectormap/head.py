"""The head of a map: the list of its shards, and what the writer has to remember about each registry."""

import json
from dataclasses import dataclass
from typing import Final, Self

from junctor.connectormap.digests import canonical_json
from junctor.connectormap.errors import MapUnreadable, UnknownSchema, describe_error
from junctor.connectormap.view import ACCESS_FEATURE, REGISTRY_FEATURE

SCHEMA: Final = "junctor.dev/connector-map/v1"
HEAD_KEY: Final = "head.json"
SHARD_KEY: Final = "connectors.json"
#: No reader uses the features of a head, since each entry says what it requires; so later ones are not added, and heads stay the same.
_FEATURES: Final = tuple(sorted((ACCESS_FEATURE, "mcp/1", REGISTRY_FEATURE)))
#: The end of the year 9999, after which there are no dates.
_MAX_SECONDS: Final = 253_402_300_800


@dataclass(frozen=True, slots=True)
class ShardRef:
    """A shard as the head lists it."""

    name: str
    digest: str
    entries: int


@dataclass(frozen=True, slots=True)
class RegistryRecord:
    """What the head stores of a registry, so that a restarted writer continues its syncs; readers of the map do not use it.

    uid: of the resource. connectors: how many of its servers are in the map. watermark, filter_digest: as in `Discovered`, None before
    the first sync.
    """

    id: str
    uid: str = ""
    connectors: int = 0
    watermark: str | None = None
    filter_digest: str | None = None

    def to_json(self) -> dict[str, str | int]:
        """The record as in the head; fields without a value are left out."""
        fields: dict[str, str | int] = {"id": self.id, "uid": self.uid, "connectors": self.connectors}
        synced = {"watermark": self.watermark, "filterDigest": self.filter_digest}
        return fields | {name: value for name, value in synced.items() if value is not None}

    @classmethod
    def parse(cls, value: object) -> Self | None:
        """Read a record; None if it has no id. A field that is wrong counts as missing: it only costs a full sync, not the map."""
        match value:
            case {"id": str(registry_id), **fields}:
                uid, connectors = fields.get("uid"), fields.get("connectors")
                watermark, digest = fields.get("watermark"), fields.get("filterDigest")
                return cls(
                    registry_id,
                    uid if isinstance(uid, str) else "",
                    connectors if isinstance(connectors, int) else 0,
                    watermark if isinstance(watermark, str) else None,
                    digest if isinstance(digest, str) else None,
                )
        return None


@dataclass(frozen=True, slots=True)
class ReleasedId:
    """An id that left the map, for the writer after this one; readers of the map do not use it.

    namespace: that of its last owner. until: Unix seconds until which it is reserved for that namespace.
    """

    id: str
    namespace: str
    until: int

    def to_json(self) -> dict[str, str | int]:
        """The record as in the head."""
        return {"id": self.id, "namespace": self.namespace, "until": self.until}

    @classmethod
    def parse(cls, value: object) -> Self | None:
        """Read a record; None if a field is missing or wrong."""
        match value:
            case {"id": str(released), "namespace": str(namespace), "until": int(until)} if 0 <= until < _MAX_SECONDS:
                return cls(released, namespace, until)
        return None


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a map. epoch fences writers, sequence orders revisions."""

    installation: str
    epoch: int
    sequence: int
    revision: str
    connectors: int
    shards: tuple[ShardRef, ...]
    registries: tuple[RegistryRecord, ...] = ()
    features: tuple[str, ...] = _FEATURES
    released: tuple[ReleasedId, ...] = ()

    def to_text(self) -> str:
        """The text of data["head.json"]."""
        shards = [{"name": shard.name, "digest": shard.digest, "entries": shard.entries} for shard in self.shards]
        registries = [registry.to_json() for registry in self.registries]
        head = {"schema": SCHEMA, "installation": self.installation, "epoch": self.epoch, "sequence": self.sequence}
        tail = {"revision": self.revision, "connectors": self.connectors, "shards": shards}
        released = {"released": [item.to_json() for item in self.released]} if self.released else {}
        return canonical_json({**head, **tail, **released, "registries": registries, "features": list(self.features)})

    @classmethod
    def parse(cls, text: str, name: str) -> Self:
        """Read a head. Raises UnknownSchema or MapUnreadable, naming the object `name`."""
        try:
            value = json.loads(text)
            schema = value["schema"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise MapUnreadable(f"head {name}: not a connector map head ({describe_error(error)})") from error
        if schema != SCHEMA:
            raise UnknownSchema(f"head {name}: schema {str(schema)[:80]!r} is not known here; this version reads {SCHEMA}")
        try:
            shards = tuple(ShardRef(str(s["name"]), str(s["digest"]), int(s["entries"])) for s in value["shards"])
            return cls(
                installation=str(value["installation"]),
                epoch=int(value["epoch"]),
                sequence=int(value["sequence"]),
                revision=str(value["revision"]),
                connectors=int(value["connectors"]),
                shards=shards,
                registries=tuple(filter(None, map(RegistryRecord.parse, value.get("registries", ())))),
                features=tuple(value.get("features", ())),
                released=tuple(filter(None, map(ReleasedId.parse, value.get("released", ())))),
            )
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:  # the last one for 1e999
            raise MapUnreadable(f"head {name}: a field is missing or wrong ({describe_error(error)})") from error


def installation_of(text: str) -> str | None:
    """The installation that a head of any schema version names; None when it cannot be read."""
    try:
        value = json.loads(text).get("installation")
    except (ValueError, AttributeError, RecursionError):
        return None
    return value if isinstance(value, str) else None
