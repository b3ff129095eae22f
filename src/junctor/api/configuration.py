"""OperatorConfiguration: the gateways of one operator, as the file of `junctor operator --config` lists them."""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from junctor.api.limits import Limit, Limits
from junctor.net import configuration
from junctor.net.configuration import ConfigurationModel, NetworkPolicyConfiguration
from junctor.net.globs import Globs

_DNS_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"


class LabelRequirement(ConfigurationModel):
    """One matchExpressions item of a Kubernetes label selector."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_values(self) -> Self:
        if (self.operator in ("In", "NotIn")) != bool(self.values):
            raise ValueError("the operators In and NotIn need values, and the others must have none")
        return self

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels satisfy the requirement, as the API server decides it."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels


class LabelSelector(ConfigurationModel):
    """A Kubernetes label selector. An empty one selects everything."""

    match_labels: dict[str, str] = Field(default_factory=dict)
    match_expressions: tuple[LabelRequirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether all requirements hold."""
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            requirement.matches(labels) for requirement in self.match_expressions
        )

    @property
    def everything(self) -> bool:
        """Whether nothing is required."""
        return not self.match_labels and not self.match_expressions


class IDPolicy(ConfigurationModel):
    """Reserves the ids that match `pattern` (a glob) for resources of `namespaces`."""

    pattern: Annotated[str, Field(min_length=1, max_length=128)]
    namespaces: tuple[str, ...]

    def reserves(self, connector_id: str) -> bool:
        """Whether the policy applies to this id."""
        return self._globs.matches(connector_id)

    @cached_property
    def _globs(self) -> Globs:
        return Globs((self.pattern,))


class GatewaySpec(ConfigurationModel):
    """One gateway as the operator sees it: pods that serve one map.

    name: value of the label junctor.dev/gateway on its pods. map: name of the head ConfigMap in `namespace`, and the value of a label on
    every object of the map. id_quarantine_seconds: how long an id that its owner gave up is kept from other namespaces.
    """

    name: Annotated[str, Field(pattern=_DNS_NAME, max_length=63)] = "default"
    namespace: Annotated[str, Field(pattern=_DNS_NAME, max_length=63)]
    map: Annotated[str, Field(pattern=_DNS_NAME, max_length=63)] = "junctor-connectors"
    management_port: Annotated[int, Field(ge=1, le=65535)] = 8322
    connector_selector: LabelSelector = LabelSelector()
    namespace_selector: LabelSelector = LabelSelector()
    default_connector_id: Annotated[str, Field(alias="defaultConnectorID")] = "{name}"
    id_policies: tuple[IDPolicy, ...] = ()
    id_quarantine_seconds: Annotated[int, Field(ge=0, le=30 * 24 * 3600)] = 600
    limits: Limits = Limits()

    @field_validator("default_connector_id")
    @classmethod
    def _is_template(cls, value: str) -> str:
        rest = value.replace("{name}", "").replace("{namespace}", "")
        if "{name}" not in value or not re.fullmatch(r"[A-Za-z0-9._-]*", rest):
            raise ValueError('must contain {name}, and otherwise only {namespace}, letters, digits, ".", "_" and "-"')
        return value


class OperatorConfiguration(ConfigurationModel):
    """The operator's configuration file. network_policy: which addresses registries may have."""

    api_version: Literal["config.junctor.dev/v1alpha1"]
    kind: Literal["OperatorConfiguration"]
    gateways: Annotated[tuple[GatewaySpec, ...], Field(min_length=1, max_length=16)]
    network_policy: NetworkPolicyConfiguration = NetworkPolicyConfiguration()

    @model_validator(mode="after")
    def _gateways_are_apart(self) -> Self:
        names = [gateway.name for gateway in self.gateways]
        maps = [(gateway.namespace, gateway.map) for gateway in self.gateways]
        if len(set(names)) < len(names):
            raise ValueError("two gateways have the same name; give each its own")
        if len(set(maps)) < len(maps):
            raise ValueError("two gateways have the same namespace and map; give each its own map")
        return self

    @property
    def limits(self) -> Limits:
        """The largest limits of all gateways: what is read of registries serves all of them."""

        def largest(limits: list[Limit]) -> Limit:
            return Limit(connectors=max(item.connectors for item in limits), bytes=max(item.bytes for item in limits))

        each = [gateway.limits for gateway in self.gateways]
        return Limits(
            map=largest([item.map for item in each]),
            namespace=largest([item.namespace for item in each]),
            registry=largest([item.registry for item in each]),
        )

    @property
    def needs_namespaces(self) -> bool:
        """Whether some gateway selects by labels of namespaces."""
        return any(not gateway.namespace_selector.everything for gateway in self.gateways)


def parse_configuration(text: str, source: str) -> OperatorConfiguration:
    """Parse the text of a configuration file. Raises ConfigurationError with one line per fault."""
    return configuration.parse_configuration(text, source, OperatorConfiguration, "OperatorConfiguration")
