"""Step 1, select: which resources a gateway is responsible for."""

from junctor.api.configuration import GatewaySpec
from junctor.api.resources import Resource
from junctor.planning.inputs import Inputs


def select(gateway: GatewaySpec, inputs: Inputs) -> dict[str, Resource]:
    """The resources, by uid, that match both selectors of a gateway.

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
