"""Retain: entries without a resource stay while it is uncertain whether their resource was really deleted.

A sudden loss of most resources is more often a mistake, or an API server in trouble, than intended.
"""

from collections.abc import Collection, Container
from dataclasses import dataclass
from typing import Final

from junctor.connectormap.ids import is_registry_entry
from junctor.planning.inputs import Inputs, Published

#: When at least this many connectors, and more than half, vanish without observed deletions, the loss takes effect after HOLD_SECONDS.
#: So does the loss of all (two or more) when the operator starts.
HOLD_AT_LEAST: Final = 20
HOLD_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Hold:
    """A loss of connectors that has not taken effect. until: on the planner's clock; infinity while the list of resources is unknown."""

    lost: int
    of: int
    until: float


@dataclass(frozen=True, slots=True)
class Retained:
    """Ids of entries to retain, why (None: nothing is retained), and the guard for the next plan."""

    ids: tuple[str, ...]
    hold: Hold | None
    guard: "MassDeletionGuard"


@dataclass(frozen=True, slots=True)
class MassDeletionGuard:
    """Delays a mass deletion. first_seen: when the present loss was first seen. starting: True until a plan found no mass deletion."""

    first_seen: float | None = None
    starting: bool = True

    def retain(self, inputs: Inputs, selected: Container[str], published: Published, now: float) -> Retained:
        """Decide which entries without a resource stay: indefinitely while the list is unknown, HOLD_SECONDS for a mass deletion.

        Args:
            inputs: Which kinds could be listed, and which deletions were observed.
            selected: Uids of the existing resources.
            published: The present map. A registry counts with all its servers.
            now: Seconds of a monotonic clock.
        """
        absent = [(connector_id, origin.uid) for connector_id, origin in published.origins.items() if origin.uid not in selected]
        unknown = tuple(connector_id for connector_id, _ in absent if not _is_listed(connector_id, inputs))
        lost = [connector_id for connector_id, uid in absent if uid not in inputs.deleted and _is_listed(connector_id, inputs)]
        losing, total = _connectors(lost, published), _connectors(published.origins, published)
        is_mass_deletion = losing >= HOLD_AT_LEAST and 2 * losing > total
        # When the operator starts, the loss of all more likely comes from a wrong --namespace or selector than from deletions.
        is_total_loss = self.starting and losing == total > 1
        if not is_mass_deletion and not is_total_loss:
            hold = Hold(_connectors(unknown, published), total, float("inf")) if unknown else None
            return Retained(unknown, hold, MassDeletionGuard(None, self.starting and bool(unknown)))
        guard = self if self.first_seen is not None else MassDeletionGuard(now, self.starting)
        until = (guard.first_seen or 0.0) + HOLD_SECONDS
        if now >= until:
            return Retained(unknown, None, guard)  # unchanged, so that a failed write of the map does not begin another hold
        return Retained((*unknown, *lost), Hold(losing, total, until), guard)


def _is_listed(connector_id: str, inputs: Inputs) -> bool:
    """Whether the resources of the entry's kind could be listed."""
    return inputs.registries_known if is_registry_entry(connector_id) else inputs.connectors_known


def _connectors(ids: Collection[str], published: Published) -> int:
    """How many connectors these entries stand for: a registry entry counts as itself and all its servers."""
    return len(ids) + sum(len(published.discovered[key]) for key in ids if key in published.discovered)
