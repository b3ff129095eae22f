"""Looks connectors up by id for a caller. Whoever needs a connector asks here, so every caller gets the same answer in the same words."""

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from junctor.connectormap.ids import is_possible_id, registry_id_of_entry
from junctor.gateway.auth import Caller
from junctor.gateway.serving.caller_view import CallerView
from junctor.gateway.serving.served_map import Connector, ServedMap
from junctor.gateway.web.errors import MapNotLoaded

#: Connectors that are compared with an unknown id: so many around its place in the order, and as many that share its longest word.
_NEAR_CANDIDATES: Final = 100
_MOST_NEAR: Final = 3


@dataclass(frozen=True, slots=True)
class Available:
    """A connector that can be used now. credentials: of the map that it belongs to, by the keys that its entry names."""

    connector: Connector
    credentials: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A connector that exists for the caller and cannot be used now. reason: one word, such as SecretNotFound."""

    connector: Connector
    reason: str

    @property
    def message(self) -> str:
        """What the caller is told."""
        return f"Connector {self.connector.id!r} cannot be used now: {self.reason}."


@dataclass(frozen=True, slots=True)
class Unknown:
    """There is no such connector, or the caller may not use it: both look the same. near: similar ids that the caller may use."""

    connector_id: str
    near: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """What the caller is told."""
        near = " or ".join(map(repr, self.near))
        hint = f"did you mean {near}?" if near else "GET /v1/connectors lists those that there are"
        return f"there is no connector {self.connector_id[:200]!r}; {hint}"


class ConnectorDirectory:
    """The connectors of the served map, as callers may use them. served: returns the current map; None until the first one is loaded."""

    def __init__(self, served: Callable[[], ServedMap | None]) -> None:
        self._served = served

    def view(self, caller: Caller) -> CallerView:
        """The current map as a caller sees it, for one request. Raises MapNotLoaded."""
        served = self._served()
        if served is None:
            raise MapNotLoaded
        return CallerView.of(served, caller)

    async def find(self, caller: Caller, connector_id: str) -> Available | Unavailable | Unknown:
        """Look one connector up. Lets other requests run only while it searches for ids near an unknown one. Raises MapNotLoaded."""
        view = self.view(caller)
        connector = view.get(connector_id)
        if connector is None:
            return Unknown(connector_id, await near_ids(view, connector_id))
        reason = view.served.unavailable(connector)
        return Unavailable(connector, reason) if reason else Available(connector, view.served.credentials)


async def near_ids(view: CallerView, connector_id: str) -> tuple[str, ...]:
    """Ids that look like an unknown one. Compares a bounded number of candidates, whatever the size of the map."""
    if not is_possible_id(connector_id):
        return ()
    ids = view.served.ids
    place = bisect_left(ids, connector_id)
    # The view counts only candidates that the caller may use, so the answer does not depend on connectors that do not exist for the caller.
    around = _NEAR_CANDIDATES // 2
    found = await view.scan("", range(place - 1, -1, -1), around) + await view.scan("", range(place, len(ids)), around)
    # A slip in the first letters sorts an id far away; ids that share its longest word find it all the same.
    word = max(re.split(r"[._:/-]", registry_id_of_entry(connector_id)), key=len).casefold()
    if len(word) > 2:
        found += await view.scan(word, range(len(ids)), _NEAR_CANDIDATES)
    candidates = sorted({connector.id for connector in found})
    return tuple(get_close_matches(connector_id, candidates, n=_MOST_NEAR, cutoff=0.6))
