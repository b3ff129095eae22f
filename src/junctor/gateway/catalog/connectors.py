"""The catalog of connectors: pages, and each connector as a caller sees it, without credentials."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Final

from junctor.connectormap.ids import discovered_id_range, is_reserved_id
from junctor.connectormap.view import EntryView
from junctor.gateway.catalog.items import CallerHeaderFields, ConnectorItem, DiscoveredFields, Item, OriginItem, Page, UnavailableFields
from junctor.gateway.serving.connector import Connector
from junctor.gateway.serving.directory import CallerView
from junctor.net.urls import redacted_url

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
MAX_SEARCH: Final = 256


def split_path(path: str) -> tuple[str, str | None]:
    """Split the decoded rest of a path into an id and a sub-resource, or None.

    The id of a discovered server spans two segments, any other id one. So %2F in an id and a plain slash mean the same.
    """
    length = 2 if is_reserved_id(path) else 1
    segments = path.split("/", length)
    return "/".join(segments[:length]), segments[length] if len(segments) > length else None


@dataclass(frozen=True, slots=True)
class Query:
    """Selects a page. after: the page begins behind this id, which need not exist any more. registry_id: only servers of this registry."""

    limit: int = DEFAULT_LIMIT
    after: str = ""
    search: str = ""
    registry_id: str = ""


async def page(view: CallerView, query: Query) -> Page[ConnectorItem]:
    """The connectors of a page, ordered by id, as one of OpenAI's lists."""
    ids = view.served.ids
    start, end = 0, len(ids)
    if query.registry_id:
        start, end = (bisect_left(ids, bound) for bound in discovered_id_range(query.registry_id))
    if query.after:
        start = max(start, bisect_right(ids, query.after))
    found = await view.scan(query.search.casefold(), range(start, end), query.limit + 1)
    return as_list(
        [item(connector, view.served.unavailable(connector)) for connector in found[: query.limit]], has_more=len(found) > query.limit
    )


def as_list(data: list[Item], *, has_more: bool) -> Page[Item]:
    """A page in the form of OpenAI's lists."""
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more}


def shown_origin(view: EntryView) -> OriginItem | None:
    """The resource that an entry was made of, as callers see it."""
    origin = view.origin
    return {"kind": origin.kind, "namespace": origin.namespace, "name": origin.name} if origin is not None else None


def item(connector: Connector, unavailable: str) -> ConnectorItem:
    """A connector as callers see it: no header, no credential and nothing of its address that may hold one.

    unavailable: why it cannot be used now, as one word; "" when it can.
    """
    view = connector.view
    return {
        "id": connector.id,
        "object": "connector",
        "title": view.title or None,
        "description": view.description or None,
        "available": not unavailable,
        **_unavailable_fields(unavailable),
        **_discovered_fields(connector),
        "server_url": redacted_url(view.url, with_path=view.shows_path) or None,
        "transport": view.transport,
        "caller_authorization": view.caller_authorization,
        **_caller_header_fields(view),
        "tools": view.tools_json,
        "approval": view.approval_json,
        "origin": shown_origin(view),
    }


def _unavailable_fields(reason: str) -> UnavailableFields:
    return {"reason": reason} if reason else {}


def _caller_header_fields(view: EntryView) -> CallerHeaderFields:
    names = view.caller_headers
    return {} if names is None else {"caller_headers": names}


def _discovered_fields(connector: Connector) -> DiscoveredFields:
    if connector.registry is None:
        return {}
    return {
        "registry": {"id": connector.registry.id},
        "server": connector.id.removeprefix(f"{connector.registry.entry.id}::"),
        "version": connector.view.version or None,
        "deprecated": connector.view.is_deprecated,
    }
