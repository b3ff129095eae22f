"""The catalog: what a caller may know about connectors. Reads a map, changes nothing, never shows a credential."""

import asyncio
import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Any, Final

from junctor.api.names import REGISTRY_ID_PREFIX
from junctor.gateway.catalog.shown_url import shown_url
from junctor.gateway.serving.caller_view import CallerView
from junctor.gateway.serving.served_map import Connector, ServedMap

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
MAX_SEARCH: Final = 256

#: As in `api.connector`, whose import (pydantic) a gateway does without.
_RESOURCE_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_DISCOVERED_ID: Final = re.compile(r"mcp::[a-z0-9.-]{1,63}::[A-Za-z0-9._/-]{1,256}", re.ASCII)
_NEAR_CANDIDATES: Final = 100
#: Connectors looked through at one go, 1 to 2 ms.
_SCAN_STEP: Final = 4096


def is_possible_id(value: str) -> bool:
    """Whether `value` is of the form of a connector id, declared or discovered."""
    return (_DISCOVERED_ID if value.startswith(REGISTRY_ID_PREFIX) else _RESOURCE_ID).fullmatch(value) is not None


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
    found = await _find(view, query.search.casefold(), range(start, end), query.limit + 1)
    return as_list([item(view.served, connector) for connector in found[: query.limit]], has_more=len(found) > query.limit)


def as_list(data: Sequence[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """A page as OpenAI's lists look."""
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more}


def shown_origin(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """Which resource an entry is of."""
    origin = content.get("origin")
    return {key: origin.get(key) for key in ("kind", "namespace", "name")} if isinstance(origin, dict) else None


async def _find(view: CallerView, text: str, places: range, count: int) -> list[Connector]:
    """Up to `count` connectors of the view that hold a text, in the order of `places`; lets other requests run in between."""
    connectors, ids, may_use = view.served.prepared.connectors, view.served.ids, view.may_use
    found: list[Connector] = []
    for begin in range(0, len(places), _SCAN_STEP):
        step = map(connectors.__getitem__, map(ids.__getitem__, places[begin : begin + _SCAN_STEP]))
        matching = (connector for connector in step if may_use[connector.access] and text in connector.haystack)
        found += islice(matching, count - len(found))
        if len(found) >= count:
            break
        await asyncio.sleep(0)
    return found


def item(served: ServedMap, connector: Connector) -> dict[str, Any]:
    """A connector as callers see it: no header, no credential and nothing of its address that may hold one."""
    content = connector.content
    unavailable = served.unavailable(connector)
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
        "server_url": shown_url(str(content.get("url"))) or None,
        "transport": content.get("transport"),
        "caller_authorization": content.get("callerAuthorization"),
        "tools": content.get("tools") or {},
        "approval": content.get("approval") or {},
        "origin": shown_origin(content),
    }


async def near_ids(view: CallerView, wanted: str, count: int = 3) -> list[str]:
    """Ids that look like `wanted`. Compares with a bounded number of candidates, whatever the size of the map."""
    if not is_possible_id(wanted):
        return []
    ids = view.served.ids
    place = bisect_left(ids, wanted)
    # Candidates are counted after access was asked, so that nothing in the answer depends on connectors that do not exist for the caller.
    around = _NEAR_CANDIDATES // 2
    found = await _find(view, "", range(place - 1, -1, -1), around) + await _find(view, "", range(place, len(ids)), around)
    # Neighbours in the order miss a slip in the first letters; ids that share the longest word find it.
    word = max(re.split(r"[._:/-]", wanted.removeprefix(REGISTRY_ID_PREFIX)), key=len).casefold()
    if len(word) > 2:
        found += await _find(view, word, range(len(ids)), _NEAR_CANDIDATES)
    return get_close_matches(wanted, sorted({connector.id for connector in found}), n=count, cutoff=0.6)
