"""Who may use a connector: what an entry says is read once, then compared with each caller."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from junctor.connectormap.connector_map import unknown_features
from junctor.gateway.auth import Caller

#: Kind, namespace (of a ServiceAccount; of others empty) and name.
Subject = tuple[str, str, str]

NOBODY: Final[frozenset[Subject]] = frozenset()
#: Every version of `access` that may ever be required.
_FEATURES: Final = "access/"


def subjects_of(caller: Caller) -> frozenset[Subject]:
    """Everything that `access` may call a caller. A caller without a name is nobody: no subject means it."""
    groups = (("Group", "", group) for group in caller.groups)
    return frozenset([(caller.kind, caller.namespace, caller.name), *groups])


def read_access(content: Mapping[str, Any]) -> frozenset[Subject] | None:
    """Who may use the connector of an entry; None: everybody. NOBODY when it says so in a way that is not known here: it fails closed."""
    if any(feature.startswith(_FEATURES) for feature in unknown_features(content)):
        return NOBODY
    if "access" not in content:
        return None
    match content["access"]:
        case {"subjects": [*subjects], **others} if not others:
            try:
                return _shared(frozenset(map(_subject, subjects)))
            except ValueError:
                return NOBODY
    return NOBODY


def _subject(value: object) -> Subject:
    match value:
        case {"kind": "User" | "Group" as kind, "name": str(name), **others} if not others:
            return str(kind), "", name
        case {"kind": "ServiceAccount", "namespace": str(namespace), "name": str(name), **others} if not others:
            return "ServiceAccount", namespace, name
    raise ValueError("not a subject of this version")


@lru_cache(maxsize=4096)
def _shared(subjects: frozenset[Subject]) -> frozenset[Subject]:
    """One object for equal sets: thousands of connectors may name the same subjects."""
    return subjects
