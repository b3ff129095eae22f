"""A served map as one caller sees it. Everything on the public port looks at the map through this."""

import asyncio
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Self

from junctor.connectormap.ids import entry_id_of_registry
from junctor.connectormap.policy import Subject
from junctor.gateway.auth import Caller
from junctor.gateway.auth.access import subjects_of
from junctor.gateway.serving.registry_defaults import Registry
from junctor.gateway.serving.served_map import Connector, ServedMap

#: Connectors that `scan` looks through before it lets other requests run: 1 to 2 ms.
_SCAN_STEP: Final = 4096


class _Decisions(dict[frozenset[Subject] | None, bool]):
    """Whether a caller may, by the `access` of connectors: decided once for each, since a scan meets the same ones thousands of times."""

    def __init__(self, caller: Caller) -> None:
        super().__init__({None: True})
        self._subjects = subjects_of(caller)

    def __missing__(self, access: frozenset[Subject]) -> bool:
        decided = self[access] = not access.isdisjoint(self._subjects)
        return decided


@dataclass(frozen=True, slots=True)
class CallerView:
    """What a caller may not use does not exist for it. may_use: by the `access` of a connector."""

    served: ServedMap = field(repr=False)
    may_use: _Decisions = field(repr=False)

    @classmethod
    def of(cls, served: ServedMap, caller: Caller) -> Self:
        """The view of a caller, for one request."""
        return cls(served, _Decisions(caller))

    def get(self, connector_id: str) -> Connector | None:
        """The connector of an id, when it exists for the caller."""
        connector = self.served.get(connector_id)
        return connector if connector is not None and self.may_use[connector.access] else None

    def registry(self, registry_id: str) -> Registry | None:
        """The registry of an id, when it exists for the caller."""
        registry = self.served.registries.get(entry_id_of_registry(registry_id))
        return registry if registry is not None and self.may_use[registry.access] else None

    def connectors_of(self, registry: Registry) -> int:
        """How many of a registry's servers exist for the caller."""
        discovered = self.served.prepared.discovered.items()
        return sum(count for (entry_id, access), count in discovered if entry_id == registry.entry.id and self.may_use[access])

    async def scan(self, text: str, places: range, count: int) -> list[Connector]:
        """Up to `count` connectors that contain a case-folded text. Lets other requests run in between.

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
