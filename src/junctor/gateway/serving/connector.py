"""Connectors and registries of the map, prepared from their entries.

The entry of a registry, `mcp::<registry id>`, is no connector: discovered connectors inherit from it.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Self
from urllib.parse import urlsplit

from junctor.connectormap.entry import Entry
from junctor.connectormap.errors import InvalidEntry
from junctor.connectormap.ids import registry_entry_id, registry_id_of_entry
from junctor.connectormap.policy import NOBODY, Subject
from junctor.connectormap.target import Target
from junctor.connectormap.view import EntryView
from junctor.net.globs import Globs

#: Characters that all URL parsers read alike, so that the host that is checked is the host that is called.
_PLAIN_HOST: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+", re.ASCII)
_INVALID: Final = "its headers, auth, hosts, URL or policy are not of the form that this gateway reads"


@dataclass(frozen=True, slots=True, eq=False)
class Registry:
    """A registry of the map. view: what its entry says; parsed once, since there are few registries.

    id: without `mcp::`. url: "" when the entry names none. unavailable: why none of its servers can be used, as one word; "" when they
    can. rejected: why this pod in particular does not use them. access: who may use the registry, and the servers that inherit this.
    """

    id: str
    entry: Entry = field(repr=False)
    view: EntryView = field(repr=False)
    url: str = field(default="", repr=False)
    unavailable: str = ""
    rejected: str = ""
    access: frozenset[Subject] | None = None

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Read the entry of a registry. When it is not understood, none of its servers can be used."""
        view = entry.view
        registry_id = registry_id_of_entry(entry.id)
        url, unavailable, rejected = "", view.reason, ""
        try:
            named, url = view.registry
            _ = view.policy  # which its servers inherit; they check their own only
            is_valid = named == registry_id
        except InvalidEntry:
            is_valid = False
        if not is_valid:
            unavailable, rejected = "InvalidEntry", "the registry's entry is not of the form that this gateway reads"
        if unknown := view.unknown_features:
            unavailable, rejected = "UnknownFeature", _unknown_features_text(unknown)
        return cls(registry_id, entry, view, url, unavailable, rejected, view.access)


def _unknown_features_text(unknown: list[str]) -> str:
    """Return why a pod does not use an entry that requires features which this version does not know."""
    return f"requires {', '.join(unknown)[:200]}, which this gateway does not know; upgrade it"


@dataclass(frozen=True, slots=True)
class Connector:
    """An entry, and what the catalog needs to know of every entry.

    haystack: what `search` looks in, case-folded. unavailable: the reason word, "" when it may be used.
    rejected: why this pod in particular does not use it, "" when it does. credentials: the keys that it needs.
    access: who may see and use it; None: everybody. registry: from which a discovered one inherits.
    """

    entry: Entry = field(repr=False)
    haystack: str = field(repr=False)
    unavailable: str = ""
    rejected: str = ""
    credentials: tuple[str, ...] = ()
    access: frozenset[Subject] | None = None
    registry: Registry | None = None

    @classmethod
    def of(cls, entry: Entry, registry: Registry | None = None) -> Self:
        """Prepare an entry. One that is not understood, or whose registry is missing, is unavailable; the others are not affected."""
        own = entry.view
        view = own if registry is None else own.inherit_from(registry.view)
        haystack = f"{entry.id}\n{view.title}\n{view.description}".casefold()
        if registry is None and registry_entry_id(entry.id):
            return cls(entry, haystack, "RegistryMissing", access=NOBODY)
        access = view.access
        if registry is not None and registry.unavailable:
            return cls(entry, haystack, registry.unavailable, access=access, registry=registry)
        if unknown := view.unknown_features:
            return cls(entry, haystack, "UnknownFeature", _unknown_features_text(unknown), access=access, registry=registry)
        unavailable = view.reason
        inherits_credentials = registry is not None and registry.entry.credentials
        credentials = view.credentials if inherits_credentials else entry.credentials
        try:
            target = view.target
            if own.has_policy:
                _ = view.policy
            if not unavailable and not is_host_allowed(entry.id, target, has_credentials=bool(credentials)):
                unavailable = "HostNotAllowed"
        except ValueError:
            return cls(entry, haystack, "InvalidEntry", _INVALID, access=access, registry=registry)
        return cls(entry, haystack, unavailable, "", credentials, access, registry)

    @property
    def id(self) -> str:
        """The connector id."""
        return self.entry.id

    @property
    def view(self) -> EntryView:
        """The content of the entry, with what it inherits. Parsed at each use, because entries are kept as text."""
        return _effective(self.entry, self.registry)

    @property
    def digest(self) -> str:
        """A digest of everything that the connector consists of, its registry included."""
        return self.entry.digest if self.registry is None else f"{self.entry.digest} {self.registry.entry.digest}"


def _effective(entry: Entry, registry: Registry | None) -> EntryView:
    return entry.view if registry is None else entry.view.inherit_from(registry.view)


def is_host_allowed(connector_id: str, target: Target, *, has_credentials: bool) -> bool:
    """Tell whether the headers and credentials of an entry may go to the host of its URL. Raises ValueError for an invalid URL.

    A discovered server without `hosts` gets no credentials, because whoever published it chose the URL.
    """
    if target.hosts is None:
        return not (has_credentials and registry_entry_id(connector_id))
    host = urlsplit(target.url).hostname or ""
    return _PLAIN_HOST.fullmatch(host) is not None and _globs(target.hosts).matches(host)


@lru_cache(maxsize=1024)
def _globs(hosts: tuple[str, ...]) -> Globs:
    return Globs(hosts, ignore_case=True)
