"""The subjects that stand for a caller: it may use a connector whose `access` names one of them."""

from junctor.connectormap.policy import Subject
from junctor.gateway.auth.ports import Caller


def subjects_of(caller: Caller) -> frozenset[Subject]:
    """The caller itself and its groups."""
    groups = (Subject("Group", "", group) for group in caller.groups)
    return frozenset([Subject(caller.kind, caller.namespace, caller.name), *groups])
