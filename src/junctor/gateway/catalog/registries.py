"""The catalog of registries: pages, and each registry as a caller sees it."""

from bisect import bisect_right

from junctor.gateway.catalog.connectors import Query, as_list, shown_origin
from junctor.gateway.catalog.items import Page, RegistryItem
from junctor.gateway.serving.connector import Registry
from junctor.gateway.serving.directory import CallerView
from junctor.net.urls import redacted_url


def registry_page(view: CallerView, query: Query) -> Page[RegistryItem]:
    """The registries of a page, ordered by id, as one of OpenAI's lists. `search` looks at the id and the URL that is shown."""
    visible = [registry for registry in view.served.registries.values() if view.may_use[registry.access]]
    start = bisect_right(visible, query.after, key=lambda registry: registry.id)
    text = query.search.casefold()
    found = [registry for registry in visible[start:] if text in f"{registry.id}\n{_shown_url(registry)}".casefold()]
    return as_list([registry_item(view, registry) for registry in found[: query.limit]], has_more=len(found) > query.limit)


def registry_item(view: CallerView, registry: Registry) -> RegistryItem:
    """A registry as callers see it."""
    return {
        "id": registry.id,
        "object": "registry",
        "url": _shown_url(registry) or None,
        "connectors": view.connectors_of(registry),
        "origin": shown_origin(registry.view),
    }


def _shown_url(registry: Registry) -> str:
    return redacted_url(registry.url, with_path=False)
