"""Who owns an id: the incumbent in the published map, then the oldest resource, then the smaller UID."""

from collections.abc import Sequence

from junctor.api.conditions import Finding, Reason
from junctor.api.resources import Resource
from junctor.planning.acceptance import refused
from junctor.planning.inputs import Origin


def owner(claimants: Sequence[Resource], incumbent: Origin | None) -> Resource:
    """The one of several resources with one id that keeps it."""
    return min(claimants, key=lambda resource: (incumbent is None or resource.uid != incumbent.uid, resource.created, resource.uid))


def lost_to(winner: Resource, connector_id: str, incumbent: Origin | None) -> Finding:
    """What a loser is told."""
    why = "which is already published" if incumbent is not None and incumbent.uid == winner.uid else "which is older"
    return refused(
        Reason.ID_CONFLICT,
        f"the id {connector_id!r} belongs to {winner}, {why}; delete that resource and this one takes over, "
        "or create this one anew with another id",
    )
