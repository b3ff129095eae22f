"""The connectors of a map that a pod does not use, as it reports them to the operator."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from junctor.connectormap.ids import registry_entry_id

#: How many servers of one registry are named. All 80,000 of one may have the same fault, and the operator reads at most 4 MiB.
MAX_NAMED_PER_REGISTRY: Final = 20


@dataclass(frozen=True, slots=True)
class Rejection:
    """A connector that this pod lists and does not use. The id of a registry's entry stands for many or all of its servers.

    reason: a sentence for the resource's status.
    """

    id: str
    reason: str


def bounded_rejections(rejected: Iterable[tuple[str, str]]) -> tuple[Rejection, ...]:
    """Return the rejections in the order of ids. For a registry with too many of them, a rejection of the registry says how many.

    rejected: pairs of an id and a reason; each id occurs once.
    """
    named: list[Rejection] = []
    counts: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for connector_id, reason in rejected:
        registry = registry_entry_id(connector_id)
        if registry:
            counts[registry] += 1
            reasons.setdefault(registry, reason)
        if not registry or counts[registry] <= MAX_NAMED_PER_REGISTRY:
            named.append(Rejection(connector_id, reason))
    named += [
        Rejection(registry, f"{count} of its servers are not used; of one of them: {reasons[registry]}")
        for registry, count in counts.items()
        if count > MAX_NAMED_PER_REGISTRY
    ]
    return tuple(sorted(named, key=lambda rejection: rejection.id))
