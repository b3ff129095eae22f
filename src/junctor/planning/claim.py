"""Steps 1 and 2, select and claim: which resources a gateway is responsible for, and which of them owns which id.

An id belongs to the resource that it is published for, else to the oldest resource, else to the one with the smallest UID.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from junctor.api.conditions import Finding, Reason
from junctor.api.configuration import GatewaySpec
from junctor.api.resources import Resource
from junctor.connectormap.view import Origin
from junctor.planning.acceptance import RESOLVED, Verdict, refused
from junctor.planning.inputs import Inputs, Published


def select(gateway: GatewaySpec, inputs: Inputs) -> dict[str, Resource]:
    """Select: the resources, by uid, that match both selectors of a gateway.

    A namespace whose labels are not known (yet) matches only a selector without requirements.
    """
    resources: dict[str, Resource] = {**inputs.connectors, **inputs.registries}
    any_namespace = gateway.namespace_selector.everything
    if any_namespace and gateway.connector_selector.everything:
        return resources
    namespaces = {name for name, labels in inputs.namespaces.items() if gateway.namespace_selector.matches(labels)}
    return {
        uid: resource
        for uid, resource in resources.items()
        if (any_namespace or resource.namespace in namespaces) and gateway.connector_selector.matches(resource.labels)
    }


class Judgement(NamedTuple):
    """What the acceptance checks say about a resource (None: it is acceptable), and the id of its entry."""

    refusal: Finding | None
    id: str


@dataclass(frozen=True, slots=True)
class Claims:
    """Who owns which id.

    winners: resources that own their id, by uid. refusals: verdicts on all others, by uid. kept_ids: published entries that stay
    unchanged, because their resource asks for a change of its id, which is refused.
    """

    winners: Mapping[str, Resource]
    refusals: Mapping[str, Verdict]
    kept_ids: tuple[str, ...] = ()


def claim(selected: Mapping[str, Resource], judgements: Mapping[str, Judgement], published: Published) -> Claims:
    """Claim: decide which resource owns each id.

    Args:
        selected: The resources, by uid.
        judgements: What the acceptance checks say about them, by uid.
        published: The present map.
    """
    refusals: dict[str, Verdict] = {}
    claimants: dict[str, list[Resource]] = {}
    keepers: dict[str, Resource] = {}
    published_as = {origin.uid: (connector_id, origin) for connector_id, origin in published.origins.items()}
    for uid, resource in selected.items():
        refusal, connector_id = judgements[uid]
        refusal = refusal or _accept_id_change(resource, connector_id, published_as.get(uid))
        if refusal is None:
            claimants.setdefault(connector_id, []).append(resource)
            continue
        refusals[uid] = Verdict(resource, connector_id, refusal, RESOLVED)
        if refusal.reason is Reason.ID_IMMUTABLE:
            keepers[published_as[uid][0]] = resource
    winners: dict[str, Resource] = {}
    for connector_id, resources in claimants.items():
        incumbent = published.origins.get(connector_id)
        winner = keepers.get(connector_id) or _owner(resources, incumbent)
        if connector_id not in keepers:
            winners[winner.uid] = winner
        for loser in resources:
            if loser is not winner:
                refusals[loser.uid] = Verdict(loser, connector_id, _id_conflict(winner, connector_id, incumbent), RESOLVED)
    return Claims(winners, refusals, tuple(keepers))


def _owner(claimants: Sequence[Resource], incumbent: Origin | None) -> Resource:
    if len(claimants) == 1:
        return claimants[0]
    return min(claimants, key=lambda resource: (incumbent is None or resource.uid != incumbent.uid, resource.created, resource.uid))


def _id_conflict(winner: Resource, connector_id: str, incumbent: Origin | None) -> Finding:
    why = "which is already published" if incumbent is not None and incumbent.uid == winner.uid else "which is older"
    return refused(
        Reason.ID_CONFLICT,
        f"the id {connector_id!r} belongs to {winner}, {why}; delete that resource and this one takes over, "
        "or recreate this one with another id",
    )


def _accept_id_change(resource: Resource, connector_id: str, published_as: tuple[str, Origin] | None) -> Finding | None:
    """Refuse a change of the effective id that the CRD's rule could not see, because the gateway's template makes the id.

    If the platform changed the template, the generation of the resource is still the published one; the new id is then used.
    """
    if published_as is None or published_as[0] == connector_id or published_as[1].generation == resource.generation:
        return None
    return refused(
        Reason.ID_IMMUTABLE,
        f"the id would change from {published_as[0]!r} to {connector_id!r}; restore it, or create a second resource and delete this one",
    )
