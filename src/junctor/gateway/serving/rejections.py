"""What a pod does not use of a map, as it tells the operator."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from junctor.connectormap.ids import registry_entry_id

#: Servers of one registry that are named. All 80,000 of one may have the same fault, and the operator reads 4 MiB.
MOST_OF_A_REGISTRY: Final = 20


@dataclass(frozen=True, slots=True)
class Rejection:
    """A connector that this pod lists and does not use; with the id of a registry's entry, many or all of its servers.

    reason: a sentence for the resource's status.
    """

    id: str
    reason: str


def bounded(rejected: Iterable[tuple[str, str]]) -> tuple[Rejection, ...]:
    """The rejections in the order of ids. When more of a registry's servers are rejected than are named, the registry is as well.

    rejected: ids and reasons, each id once.
    """
    named: list[Rejection] = []
    counts: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for connector_id, reason in rejected:
        registry = registry_entry_id(connector_id)
        if registry:
            counts[registry] += 1
            reasons.setdefault(registry, reason)
        if not registry or counts[registry] <= MOST_OF_A_REGISTRY:
            named.append(Rejection(connector_id, reason))
    named += [
        Rejection(registry, f"{count} of its servers are not used; of one of them: {reasons[registry]}")
        for registry, count in counts.items()
        if count > MOST_OF_A_REGISTRY
    ]
    return tuple(sorted(named, key=lambda rejection: rejection.id))
