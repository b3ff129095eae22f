"""Quarantine: for a while, only the namespace that had an id last, and namespaces that idPolicies name, may take it.

Callers give their own tokens to whoever answers to an id. A connector that is deleted to be created again must not lose its callers to
another team, whose connector waits for the id. Times are Unix seconds, because the head stores them for the operator after this one.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Final

from junctor.api.configuration import GatewaySpec
from junctor.api.resources import Resource
from junctor.connectormap.entry import Entry
from junctor.connectormap.head import ReleasedId
from junctor.net.timestamps import rfc3339
from junctor.planning.inputs import Published

#: How many released ids a head stores, at most about 250 KB.
MAX_RELEASED: Final = 1000


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The released ids of a gateway at one moment. now: Unix seconds. retained: ids of entries that stay although nobody owns them."""

    gateway: GatewaySpec
    published: Published
    now: float = 0.0
    retained: frozenset[str] = frozenset()

    def last_owner(self, connector_id: str) -> ReleasedId | None:
        """The namespace that has the id, or had it last, and until when it is reserved for it; None when nobody had it."""
        incumbent = self.published.origins.get(connector_id)
        if incumbent is not None:
            return ReleasedId(connector_id, incumbent.namespace, self._until)
        return self.published.released.get(connector_id)

    def permits(self, resource: Resource, released: ReleasedId) -> bool:
        """Whether a resource may take a released id now."""
        if resource.namespace == released.namespace:
            return True
        is_over = released.until <= self.now and released.id not in self.retained
        return is_over or any(
            resource.namespace in policy.namespaces and policy.reserves(released.id) for policy in self.gateway.id_policies
        )

    def describe(self, released: ReleasedId) -> str:
        """Why another namespace has to wait for an id, and until when."""
        if released.id in self.retained:
            when = "which may come back: the gateways keep what they serve of it"
        else:
            when = f"and another namespace may take it from {rfc3339(datetime.fromtimestamp(released.until, UTC))} on"
        return (
            f"the id {released.id!r} was that of a resource in namespace {released.namespace}, {when}; wait, use another id, "
            "or have the platform team give the id to this namespace in idPolicies"
        )

    def ends_in(self, released: Iterable[ReleasedId]) -> float | None:
        """Seconds until the first of these may be taken; None when there is none."""
        return min((max(0.0, item.until - self.now) for item in released if item.id not in self.retained), default=None)

    def released_by(self, entries: Mapping[str, Entry]) -> Mapping[str, ReleasedId]:
        """The released ids when the map contains `entries`, by id."""
        released, left = self.published.released, self.published.origins.keys() - entries.keys()
        if not left and not released:
            return released
        kept = {key: item for key, item in released.items() if item.until > self.now and key not in entries}
        if self.gateway.id_quarantine_seconds:
            kept |= {key: ReleasedId(key, self.published.origins[key].namespace, self._until) for key in left}
        return _bounded(kept)

    @property
    def _until(self) -> int:
        return math.ceil(self.now) + self.gateway.id_quarantine_seconds


def _bounded(released: Mapping[str, ReleasedId]) -> Mapping[str, ReleasedId]:
    """At most MAX_RELEASED of them. A namespace that releases many loses its own oldest ones, not those of others."""
    if len(released) <= MAX_RELEASED:
        return released
    counts: dict[str, count[int]] = {}
    newest_first = sorted(released.values(), key=lambda item: -item.until)
    ranked = [(next(counts.setdefault(item.namespace, count())), item) for item in newest_first]
    return {item.id: item for _, item in sorted(ranked, key=lambda pair: pair[0])[:MAX_RELEASED]}
