"""A served map as one caller sees it. Everything on the public port looks at the map through this."""

from dataclasses import dataclass, field
from typing import Self

from junctor.gateway.access import Subject, subjects_of
from junctor.gateway.callers import Caller
from junctor.gateway.served_map import Connector, ServedMap


@dataclass(frozen=True, slots=True)
class CallerView:
    """What a caller may not use does not exist for it. subjects: everything that `access` may call the caller."""

    served: ServedMap = field(repr=False)
    subjects: frozenset[Subject]

    @classmethod
    def of(cls, served: ServedMap, caller: Caller) -> Self:
        """The view of a caller, for one request."""
        return cls(served, subjects_of(caller))

    def shows(self, connector: Connector) -> bool:
        """Whether the caller may use a connector."""
        return connector.access is None or not connector.access.isdisjoint(self.subjects)

    def get(self, connector_id: str) -> Connector | None:
        """The connector of an id, when it exists for the caller."""
        connector = self.served.get(connector_id)
        return connector if connector is not None and self.shows(connector) else None
