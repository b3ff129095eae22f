"""The catalog: what a caller may know about connectors. Reads a map, changes nothing, never shows a credential."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from junctor.connectormap.ids import REGISTRY_ID_PREFIX
from junctor.gateway.serving.caller_view import CallerView
from junctor.gateway.serving.served_map import Connector
from junctor.net.urls import redacted_url

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
MAX_SEARCH: Final = 256


def split_path(path: str) -> tuple[str, str | None]:
    """The id and the sub-resource (None: none) in the decoded rest of a path.

    An id that starts with `mcp::` spans two segments, any other one; so it does not matter whether its slash came as %2F.
    """
    segments = path.split("/", 2 if path.startswith(REGISTRY_ID_PREFIX) else 1)
    length = 2 if path.startswith(REGISTRY_ID_PREFIX) else 1
    return "/".join(segments[:length]), segments[length] if len(segments) > length else None


@dataclass(frozen=True, slots=True)
class Query:
    """A page of the catalog. after: an id, itself excluded; it need not exist any more. registry_id: only its servers."""

    limit: int = DEFAULT_LIMIT
    after: str = ""
    search: str = ""
    registry_id: str = ""


async def page(view: CallerView, query: Query) -> dict[str, Any]:
    """The connectors of a page in the order of their ids, as OpenAI's lists look."""
    ids = view.served.ids
    start, end = 0, len(ids)
    if query.registry_id:
        first = f"{REGISTRY_ID_PREFIX}{query.registry_id}::"
        start, end = bisect_left(ids, first), bisect_left(ids, first[:-1] + ";")  # ";" comes after ":"
    if query.after:
        start = max(start, bisect_right(ids, query.after))
    found = await view.scan(query.search.casefold(), range(start, end), query.limit + 1)
    return as_list(
        [item(connector, view.served.unavailable(connector)) for connector in found[: query.limit]], has_more=len(found) > query.limit
    )


def as_list(data: Sequence[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """A page as OpenAI's lists look."""
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more}


def shown_origin(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """Which resource an entry is of."""
    origin = content.get("origin")
    return {key: origin.get(key) for key in ("kind", "namespace", "name")} if isinstance(origin, dict) else None


def item(connector: Connector, unavailable: str) -> dict[str, Any]:
    """A connector as callers see it: no header, no credential and nothing of its address that may hold one.

    unavailable: why it cannot be used now, as one word; "" when it can.
    """
    content = connector.content
    shown: dict[str, Any] = {
        "id": connector.id,
        "object": "connector",
        "title": content.get("title"),
        "description": content.get("description"),
        "available": not unavailable,
    }
    if unavailable:
        shown["reason"] = unavailable
    if connector.registry is not None:
        shown |= {
            "registry": {"id": connector.registry.id},
            "server": connector.id.removeprefix(f"{connector.registry.entry.id}::"),
            "version": content.get("version"),
            "deprecated": content.get("deprecated") is True,
        }
    return shown | {
        "server_url": redacted_url(str(content.get("url"))) or None,
        "transport": content.get("transport"),
        "caller_authorization": content.get("callerAuthorization"),
        "tools": content.get("tools") or {},
        "approval": content.get("approval") or {},
        "origin": shown_origin(content),
    }
