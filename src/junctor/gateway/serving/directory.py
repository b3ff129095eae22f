"""The connectors of the served map as one caller may use them: looked up by id, and listed.

Everything on the public port looks at the map through this, so that each rule about access is applied in one place.
"""

import asyncio
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Final, Self

from junctor.connectormap.ids import entry_id_of_registry, is_possible_id, registry_id_of_entry
from junctor.connectormap.policy import Subject
from junctor.gateway.auth import Caller
from junctor.gateway.auth.ports import subjects_of
from junctor.gateway.serving.connector import Connector, Registry
from junctor.gateway.serving.served_map import ServedMap
from junctor.gateway.web.errors import MapNotLoaded

#: How many connectors around the place of an unknown id are compared with it, and how many that share its longest word.
_NEAR_CANDIDATES: Final = 100
_MOST_NEAR: Final = 3
#: How similar an id must be, from 0 to 1: a typo or two letters in the wrong order in a word of six letters give 0.57 and more.
_NEAR_ENOUGH: Final = 0.55
#: Connectors that `scan` looks through before it lets other requests run: 1 to 2 ms.
_SCAN_STEP: Final = 4096


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
        """The sentence for the caller."""
        return f"Connector {self.connector.id!r} cannot be used now: {self.reason}."


@dataclass(frozen=True, slots=True)
class Unknown:
    """There is no such connector, or the caller may not use it: both look the same. near: similar ids that the caller may use."""

    connector_id: str
    near: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """The sentence for the caller."""
        near = " or ".join(map(repr, self.near))
        hint = f"did you mean {near}?" if near else "GET /v1/connectors lists those that there are"
        return f"there is no connector {self.connector_id[:200]!r}; {hint}"


class ConnectorDirectory:
    """The connectors of the served map, as callers may use them. served: returns the current map; None until the first one is loaded."""

    def __init__(self, served: Callable[[], ServedMap | None]) -> None:
        self._served = served

    def view(self, caller: Caller) -> "CallerView":
        """Return the current map as a caller sees it, for one request. Raises MapNotLoaded."""
        served = self._served()
        if served is None:
            raise MapNotLoaded
        return CallerView.of(served, caller)

    async def find(self, caller: Caller, connector_id: str) -> Available | Unavailable | Unknown:
        """Look one connector up. Lets other requests run only while it searches for ids near an unknown one. Raises MapNotLoaded."""
        view = self.view(caller)
        connector = view.get(connector_id)
        if connector is None:
            return Unknown(connector_id, await _near_ids(view, connector_id))
        reason = view.served.unavailable(connector)
        return Unavailable(connector, reason) if reason else Available(connector, view.served.credentials)


class _Decisions(dict[frozenset[Subject] | None, bool]):
    """Whether a caller may use connectors, by their `access`. Decided once for each: a scan meets the same ones thousands of times."""

    def __init__(self, caller: Caller) -> None:
        super().__init__({None: True})
        self._subjects = subjects_of(caller)

    def __missing__(self, access: frozenset[Subject]) -> bool:
        decided = self[access] = not access.isdisjoint(self._subjects)
        return decided


@dataclass(frozen=True, slots=True)
class CallerView:
    """A served map as one caller sees it: what the caller may not use does not exist. may_use: by the `access` of a connector."""

    served: ServedMap = field(repr=False)
    may_use: _Decisions = field(repr=False)

    @classmethod
    def of(cls, served: ServedMap, caller: Caller) -> Self:
        """Return the view of a caller, for one request."""
        return cls(served, _Decisions(caller))

    def get(self, connector_id: str) -> Connector | None:
        """Return the connector of an id, None when it does not exist for the caller."""
        connector = self.served.get(connector_id)
        return connector if connector is not None and self.may_use[connector.access] else None

    def registry(self, registry_id: str) -> Registry | None:
        """Return the registry of an id, None when it does not exist for the caller."""
        registry = self.served.registries.get(entry_id_of_registry(registry_id))
        return registry if registry is not None and self.may_use[registry.access] else None

    def connectors_of(self, registry: Registry) -> int:
        """Count the servers of a registry that exist for the caller."""
        discovered = self.served.prepared.discovered.items()
        return sum(count for (entry_id, access), count in discovered if entry_id == registry.entry.id and self.may_use[access])

    async def scan(self, text: str, places: range, count: int) -> list[Connector]:
        """Return up to `count` connectors that contain a case-folded text. Lets other requests run in between.

        places: the positions in `served.ids` to look at, in this order.
        """
        connectors, ids, may_use = self.served.prepared.connectors, self.served.ids, self.may_use
        found: list[Connector] = []
        for begin in range(0, len(places), _SCAN_STEP):
            step = map(connectors.__getitem__, map(ids.__getitem__, places[begin : begin + _SCAN_STEP]))
            matching = (connector for connector in step if may_use[connector.access] and text in connector.haystack)
            found += islice(matching, count - len(found))
            if len(found) >= count:
                break
            await asyncio.sleep(0)
        return found


async def _near_ids(view: CallerView, connector_id: str) -> tuple[str, ...]:
    """Return ids similar to an unknown one. Compares a bounded number of candidates, whatever the size of the map."""
    if not is_possible_id(connector_id):
        return ()
    ids = view.served.ids
    place = bisect_left(ids, connector_id)
    # The view counts only candidates that the caller may use, so the answer does not depend on connectors that do not exist for the caller.
    around = _NEAR_CANDIDATES // 2
    found = await view.scan("", range(place - 1, -1, -1), around) + await view.scan("", range(place, len(ids)), around)
    # A typo in the first letters sorts an id far away, so ids that share its longest word are compared too.
    word = max(re.split(r"[._:/-]", registry_id_of_entry(connector_id)), key=len).casefold()
    if len(word) > 2:
        found += await view.scan(word, range(len(ids)), _NEAR_CANDIDATES)
    pairs = _letter_pairs(connector_id)
    candidates = {connector.id: _similarity(pairs, _letter_pairs(connector.id)) for connector in found}
    near = sorted((-similarity, candidate) for candidate, similarity in candidates.items() if similarity >= _NEAR_ENOUGH)
    return tuple(candidate for _, candidate in near[:_MOST_NEAR])


_LetterPairs = set[tuple[str, str]]


def _similarity(pairs: _LetterPairs, others: _LetterPairs) -> float:
    """Return the share of neighbouring letters that two ids have in common (Dice's coefficient).

    It takes time by the length of the ids. difflib takes time by the product of their lengths, and publishers choose ids: 200 of 199
    letters would keep a gateway busy for a second.
    """
    return 2 * len(pairs & others) / (len(pairs) + len(others))


def _letter_pairs(connector_id: str) -> _LetterPairs:
    padded = f" {connector_id.casefold()} "
    return set(pairwise(padded))
