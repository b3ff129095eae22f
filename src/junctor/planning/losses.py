"""Losses of connectors that are not believed at once: they are more often a mistake, or an API server in trouble, than meant."""

from collections.abc import Collection, Container
from dataclasses import dataclass
from typing import Final

from junctor.connectormap.ids import REGISTRY_ID_PREFIX
from junctor.planning.inputs import Inputs, Published

#: Losing this many connectors at once, and more than half, without having seen their deletion, is held back for HOLD_SECONDS. So is the
#: loss of all (two or more) at the start of the operator.
HOLD_AT_LEAST: Final = 20
HOLD_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Hold:
    """A loss of connectors that is not believed yet."""

    lost: int
    of: int
    until: float


@dataclass(slots=True)
class Losses:
    """Remembers when a loss was first seen."""

    _since: float | None = None
    _starting: bool = True

    def held(self, inputs: Inputs, selected: Container[str], published: Published, now: float) -> tuple[list[str], Hold | None]:
        """The ids that stay although nobody asks for them, and why: for ever while nobody knows, for HOLD_SECONDS when it is much.

        selected: uids of the resources that there are. A registry is lost with all its servers.
        """
        absent = [(connector_id, origin.uid) for connector_id, origin in published.origins.items() if origin.uid not in selected]
        unknown = [
            connector_id
            for connector_id, _ in absent
            if not (inputs.registries_known if connector_id.startswith(REGISTRY_ID_PREFIX) else inputs.connectors_known)
        ]
        uncertain = frozenset(unknown)
        lost = [connector_id for connector_id, uid in absent if uid not in inputs.deleted and connector_id not in uncertain]
        gone, total = _servers(lost, published), _servers(published.origins, published)
        much = gone >= HOLD_AT_LEAST and 2 * gone > total
        # At the start the loss of all is more likely a wrong --namespace or selector than a deletion that nobody watched.
        everything = self._starting and gone == total > 1
        if not much and not everything:
            self._since, self._starting = None, self._starting and bool(unknown)
            return unknown, Hold(_servers(unknown, published), total, float("inf")) if unknown else None
        if self._since is None:
            self._since = now
        until = self._since + HOLD_SECONDS
        if now >= until:
            return unknown, None  # remembered until the map without them is published: a failed write must not hold them again
        return unknown + lost, Hold(gone, total, until)


def _servers(ids: Collection[str], published: Published) -> int:
    """How many connectors are behind entries that were made of resources: a registry counts with its servers."""
    return len(ids) + sum(len(published.discovered[key]) for key in ids if key in published.discovered)
