"""The catalog of registries: what a caller may know about those whose servers it may use."""

import re
from bisect import bisect_right
from typing import Any, Final

from junctor.gateway.catalog.connectors import Query, as_list, shown_origin
from junctor.gateway.serving.caller_view import CallerView
from junctor.gateway.serving.registry_defaults import Registry
from junctor.net.urls import redacted_url

#: As in `api.registry`, whose import (pydantic) a gateway does without.
_REGISTRY_ID: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", re.ASCII)


def is_possible_registry_id(value: str) -> bool:
    """Whether `value` is of the form of a registry's id."""
    return _REGISTRY_ID.fullmatch(value) is not None


def registry_page(view: CallerView, query: Query) -> dict[str, Any]:
    """The registries of a page in the order of their ids, as OpenAI's lists look. `search` looks in id and shown URL."""
    visible = [registry for registry in view.served.registries.values() if view.may_use[registry.access]]
    start = bisect_right(visible, query.after, key=lambda registry: registry.id)
    text = query.search.casefold()
    found = [registry for registry in visible[start:] if text in f"{registry.id}\n{redacted_url(registry.url)}".casefold()]
    return as_list([registry_item(view, registry) for registry in found[: query.limit]], has_more=len(found) > query.limit)


def registry_item(view: CallerView, registry: Registry) -> dict[str, Any]:
    """A registry as callers see it."""
    return {
        "id": registry.id,
        "object": "registry",
        "url": redacted_url(registry.url) or None,
        "connectors": view.connectors_of(registry),
        "origin": shown_origin(registry.content),
    }
