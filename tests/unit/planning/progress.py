"""Builders for tests of conditions: verdicts on connectors, and how far a gateway and its pods are with them."""

from typing import Any

from junctor.planning.acceptance import Verdict
from junctor.planning.readiness import GatewayProgress, PodProgress
from tests.unit.planning.building import Story, connector, gateway, verdict

#: The sequence in which the entry of a verdict was published.
SINCE = 7


def accepted(**spec: Any) -> Verdict:
    """The verdict on a good connector."""
    resource = connector("x", **spec)
    return verdict(Story().plan(resource), resource)


def refused(**spec: Any) -> Verdict:
    """The verdict on a connector that an id policy refuses."""
    resource = connector("x", **spec)
    return verdict(Story(gateway(idPolicies=[{"pattern": "*", "namespaces": []}])).plan(resource), resource)


def progress(of: Verdict, *pods: PodProgress, published: bool = True, name: str = "default", **fields: Any) -> GatewayProgress:
    """A gateway whose map holds the verdict's entry since SINCE."""
    entries = {of.id: of.entry.changed_at(SINCE)} if published and of.entry is not None else {}
    return GatewayProgress(name, entries, fields.pop("sequence", SINCE), pods, **fields)


def pod(name: str, acknowledged: int | None = SINCE, **fields: Any) -> PodProgress:
    """A pod that serves the map of SINCE."""
    return PodProgress(name, acknowledged, **fields)
