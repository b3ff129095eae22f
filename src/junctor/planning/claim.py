"""Steps 1 and 2, select and claim: which resources a gateway is responsible for, and which of them owns which id.

An id belongs to the resource that it is published for, else to the oldest resource, else to the one with the smallest UID. A resource of
another namespace than the last owner's waits until the quarantine of the id is over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from junctor.api.conditions import Finding, Reason
from junctor.api.configuration import GatewaySpec
from junctor.api.resources import Resource
from junctor.connectormap.head import ReleasedId
from junctor.connectormap.view import Origin
from junctor.planning.acceptance import RESOLVED, Verdict, refused
from junctor.planning.inputs import Inputs
from junctor.planning.quarantine import Quarantine


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


class MovedId(NamedTuple):
    """An id that passes to a resource of another namespace. namespace: the former one."""

    id: str
    resource: Resource
    namespace: str


@dataclass(frozen=True, slots=True)
class Claims:
    """Who owns which id.

    winners: resources that own their id, by uid. refusals: verdicts on all others, by uid. kept_ids: published entries that stay
    unchanged, because their resource asks for a change of its id, which is refused. awaited: ids in quarantine that somebody waits for.
    moved: ids of winners from another namespace than the last owner's.
    """

    winners: Mapping[str, Resource]
    refusals: Mapping[str, Verdict]
    kept_ids: tuple[str, ...] = ()
    awaited: tuple[ReleasedId, ...] = ()
    moved: tuple[MovedId, ...] = ()


def claim(selected: Mapping[str, Resource], judgements: Mapping[str, Judgement], quarantine: Quarantine) -> Claims:
    """Claim: decide which resource owns each id.

    Args:
        selected: The resources, by uid.
        judgements: What the acceptance checks say about them, by uid.
        quarantine: The present map, and who may take the ids that left it.
    """
    refusals: dict[str, Verdict] = {}
    claimants: dict[str, list[Resource]] = {}
    keepers: dict[str, Resource] = {}
    published_as = {origin.uid: (connector_id, origin) for connector_id, origin in quarantine.published.origins.items()}
    for uid, resource in selected.items():
        refusal, connector_id = judgements[uid]
        refusal = refusal or _accept_id_change(resource, connector_id, published_as.get(uid))
        if refusal is None:
            claimants.setdefault(connector_id, []).append(resource)
            continue
        refusals[uid] = Verdict(resource, connector_id, refusal, RESOLVED)
        if refusal.reason is Reason.ID_IMMUTABLE:
            keepers[published_as[uid][0]] = resource
    return _assign(claimants, keepers, refusals, quarantine)


def _assign(
    claimants: Mapping[str, Sequence[Resource]], keepers: Mapping[str, Resource], refusals: dict[str, Verdict], quarantine: Quarantine
) -> Claims:
    """Give each id to one of its claimants, or to nobody while it is in quarantine.

    Args:
        claimants: Acceptable resources by the id that they ask for.
        keepers: Refused resources whose published entry stays, by its id.
        refusals: Verdicts on resources, by uid; those on claimants without an id are added.
        quarantine: As for `claim`.
    """
    origins = quarantine.published.origins
    winners: dict[str, Resource] = {}
    awaited: list[ReleasedId] = []
    moved: list[MovedId] = []
    for connector_id, resources in claimants.items():
        keeper = keepers.get(connector_id)
        if keeper is None and len(resources) == 1 and (incumbent := origins.get(connector_id)) and incumbent.uid == resources[0].uid:
            winners[incumbent.uid] = resources[0]  # as nearly always: kept short, because a plan looks at every resource
            continue
        owner, last, why = (keeper, None, _PUBLISHED) if keeper is not None else _owner(connector_id, resources, quarantine)
        if owner is not None and keeper is None:
            winners[owner.uid] = owner
        if last is not None and owner is None:
            awaited.append(last)
        elif last is not None and owner is not None and owner.namespace != last.namespace:
            moved.append(MovedId(connector_id, owner, last.namespace))
        for resource in resources:
            if resource is not owner:
                refusals[resource.uid] = Verdict(resource, connector_id, _refusal(connector_id, owner, why), RESOLVED)
    return Claims(winners, refusals, tuple(keepers), tuple(awaited), tuple(moved))


_PUBLISHED: Final = "which is already published"
_OLDER: Final = "which is older"
_RESERVED: Final = "for whose namespace it is reserved"


def _owner(connector_id: str, claimants: Sequence[Resource], quarantine: Quarantine) -> tuple[Resource | None, ReleasedId | None, str]:
    """The owner of an id, None while all claimants have to wait; its last owner, if that is another one; and why others do not get it."""
    incumbent = quarantine.published.origins.get(connector_id)
    if incumbent is not None and (winner := next((item for item in claimants if item.uid == incumbent.uid), None)) is not None:
        return winner, None, _PUBLISHED
    last = quarantine.last_owner(connector_id)
    permitted = claimants if last is None else [resource for resource in claimants if quarantine.permits(resource, last)]
    if last is not None and not permitted:
        return None, last, quarantine.describe(last)
    winner = min(permitted, key=lambda resource: (resource.created, resource.uid))
    return winner, last, _OLDER if len(permitted) == len(claimants) else _RESERVED


def _refusal(connector_id: str, owner: Resource | None, why: str) -> Finding:
    if owner is None:
        return refused(Reason.ID_QUARANTINED, why)
    return refused(
        Reason.ID_CONFLICT,
        f"the id {connector_id!r} belongs to {owner}, {why}; delete that resource and this one takes over, "
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
