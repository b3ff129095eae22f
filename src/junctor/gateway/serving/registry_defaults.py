"""Registries in the map: the entries `mcp::<registry id>`, which are no connectors. Discovered connectors inherit from them."""

from dataclasses import dataclass, field
from typing import Self

from junctor.connectormap.entry import Entry
from junctor.connectormap.errors import InvalidEntry
from junctor.connectormap.ids import registry_id_of_entry
from junctor.connectormap.policy import Subject
from junctor.connectormap.view import EntryView


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
            is_valid = named == registry_id
        except InvalidEntry:
            is_valid = False
        if not is_valid:
            unavailable, rejected = "InvalidEntry", "the registry's entry is not of the form that this gateway reads"
        if unknown := view.unknown_features:
            unavailable, rejected = "UnknownFeature", unknown_features_text(unknown)
        return cls(registry_id, entry, view, url, unavailable, rejected, view.access)


def unknown_features_text(unknown: list[str]) -> str:
    """Why a pod does not use an entry that requires features which this version does not know."""
    return f"requires {', '.join(unknown)[:200]}, which this gateway does not know; upgrade it"
