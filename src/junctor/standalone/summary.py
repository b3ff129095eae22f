"""The JSON of a standalone's `/-/resources`, which `junctor status` reads."""

from typing import TypedDict

from junctor.net.formats import KubernetesObjectView
from junctor.offline.problems import ProblemJSON


class ResourceSummary(TypedDict):
    """An object in short. spec: some of its fields; of a Secret, the names of its keys instead."""

    apiVersion: str | None
    kind: str
    metadata: KubernetesObjectView
    spec: KubernetesObjectView
    status: KubernetesObjectView


class EventSummary(TypedDict):
    """An event. time: RFC 3339. type: Normal or Warning. regarding: the reference to its object, as Kubernetes writes it."""

    time: str
    type: str
    reason: str
    message: str
    regarding: dict[str, str]


class Summary(TypedDict):
    """All objects, the problems of files, and the last events, the newest last. manifests: the directory."""

    manifests: str
    resources: list[ResourceSummary]
    problems: list[ProblemJSON]
    events: list[EventSummary]
