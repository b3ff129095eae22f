"""kopf handlers: each passes its event to the observer. None returns a value, so kopf writes nothing to any object."""

from typing import Any

import kopf

from junctor.api.configuration import OperatorConfiguration
from junctor.api.names import (
    CONNECTOR_KIND,
    CONNECTOR_PLURAL,
    CREDENTIALS_LABEL,
    GATEWAY_LABEL,
    GROUP,
    MAP_LABEL,
    REGISTRY_KIND,
    REGISTRY_PLURAL,
    VERSION,
)
from junctor.operator.observer import Observer


def register_inputs(registry: kopf.OperatorRegistry, configuration: OperatorConfiguration, *, watch_definitions: bool) -> None:
    """Register the handlers of what users declare. watch_definitions: whether CRDs may be watched."""

    @kopf.on.event(GROUP, VERSION, CONNECTOR_PLURAL, registry=registry)
    @kopf.on.event(GROUP, VERSION, REGISTRY_PLURAL, registry=registry)
    async def resource_changed(memo: Observer, resource: kopf.Resource, type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        memo.resource(REGISTRY_KIND if resource.plural == REGISTRY_PLURAL else CONNECTOR_KIND, type, body)

    _register_secrets(registry)

    if configuration.needs_namespaces:

        @kopf.on.event("", "v1", "namespaces", registry=registry)
        async def namespace_changed(memo: Observer, type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
            memo.namespace(type, body)

    if watch_definitions:

        @kopf.on.event("apiextensions.k8s.io", "v1", "customresourcedefinitions", registry=registry)
        async def definition_changed(memo: Observer, type: str | None, **_: Any) -> None:  # noqa: A002
            memo.definition(type)


def register_gateways(registry: kopf.OperatorRegistry, *, watch_secrets: bool) -> None:
    """Register the handlers of what is in the gateways' namespaces. watch_secrets: whether those of the maps are not among the inputs."""

    @kopf.on.event("", "v1", "pods", registry=registry)
    async def pod_changed(memo: Observer, type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        memo.pod(type, body)

    @kopf.on.event("", "v1", "configmaps", registry=registry)
    async def map_changed(memo: Observer, type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        memo.map_object(type, body)

    if watch_secrets:
        _register_secrets(registry)


def _register_secrets(registry: kopf.OperatorRegistry) -> None:
    @kopf.on.event("", "v1", "secrets", registry=registry)
    async def secret_changed(memo: Observer, type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        memo.secret(type, body)


def select(settings: kopf.OperatorSettings) -> None:
    """Let the API server select the objects that kopf watches."""
    selectors = settings.watching.label_selectors
    selectors["", "v1", "pods"] = GATEWAY_LABEL
    selectors["", "v1", "secrets"] = CREDENTIALS_LABEL
    selectors["", "v1", "configmaps"] = MAP_LABEL
