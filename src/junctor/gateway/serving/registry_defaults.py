"""What the servers of a registry share: the entries `mcp::<registry id>`. They are no connectors; discovered ones inherit from them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Self
from urllib.parse import urlsplit

from junctor.connectormap.connector_map import Entry, credentials_of, registry_entry_id, unknown_features
from junctor.connectormap.ids import REGISTRY_ID_PREFIX
from junctor.gateway.auth.access import Subject, read_access
from junctor.net.globs import Globs

#: Fields that only the entry of a registry has.
_OWN_FIELDS: Final = ("registry",)
#: What every reader of URLs understands alike, so that the host that is checked is the one that is called.
_PLAIN_HOST: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+", re.ASCII)


@dataclass(frozen=True, slots=True, eq=False)
class Registry:
    """A registry of the map. content: of its entry, as its servers inherit it; parsed, since there are few.

    id: without `mcp::`. url: "" when the entry names none. unavailable: why none of its servers can be used, as one word; "" when they
    can. rejected: why this pod in particular does not use them. access: who may know of it, and of the servers that inherit that.
    """

    id: str
    entry: Entry = field(repr=False)
    content: Mapping[str, Any] = field(repr=False)
    url: str = field(default="", repr=False)
    unavailable: str = ""
    rejected: str = ""
    access: frozenset[Subject] | None = None

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Read the entry of a registry. When it is not understood, none of its servers can be used."""
        content = entry.content
        registry_id = entry.id.removeprefix(REGISTRY_ID_PREFIX)
        # A writer that says nothing has not said that private addresses are meant.
        shared = {"addresses": "public"} | {key: value for key, value in content.items() if key not in _OWN_FIELDS}
        url, unavailable, rejected = "", "", ""
        match content.get("registry"):
            case {"id": str(named), "url": str(url)} if named == registry_id:
                if content.get("available") is not True:
                    unavailable = str(content.get("reason") or "Unavailable")
            case _:
                unavailable, rejected = "InvalidEntry", "the registry's entry is not of the form that this gateway reads"
        if unknown := unknown_features(content):
            unavailable = "UnknownFeature"
            rejected = f"requires {', '.join(unknown)[:200]}, which this gateway does not know; upgrade it"
        return cls(registry_id, entry, shared, url, unavailable, rejected, read_access(content))

    def inherited(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """The effective content of a discovered connector. own: of its entry."""
        return {**self.content, **own, "requires": _together(self.content.get("requires", []), own.get("requires", []))}


def is_registry(entry_id: str) -> bool:
    """Whether an entry is that of a registry."""
    return entry_id.startswith(REGISTRY_ID_PREFIX) and not registry_entry_id(entry_id)


def is_host_allowed(content: Mapping[str, Any]) -> bool:
    """Whether an entry's credentials may go to the host of its URL. A discovered one that does not say where they may go sends none."""
    hosts = content.get("hosts")
    if hosts is None:
        return not (registry_entry_id(content["id"]) and credentials_of(content))
    host = urlsplit(content["url"]).hostname or ""
    return _PLAIN_HOST.fullmatch(host) is not None and _globs(tuple(hosts)).matches(host)


@lru_cache(maxsize=1024)
def _globs(hosts: tuple[str, ...]) -> Globs:
    return Globs(hosts, ignore_case=True)


def _together(shared: Any, own: Any) -> Any:
    """What both require. What is no list stays as it is, so that it is refused."""
    for required in (shared, own):
        if not isinstance(required, list):
            return required
    return [*shared, *own]
