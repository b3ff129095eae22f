"""The JSON of the catalog: GET /v1/connectors and /v1/registries, and what is below them."""

from collections.abc import Mapping
from typing import Generic, Literal, NotRequired, TypedDict, TypeVar

from junctor.net.formats import JSONSchemaView

#: Rules about tools or approval, as they stand in the connector map.
Rules = Mapping[str, object]


class OriginItem(TypedDict):
    """The resource that an item was made from."""

    kind: str
    namespace: str
    name: str


class RegistryReference(TypedDict):
    """The registry of a discovered connector."""

    id: str


class UnavailableFields(TypedDict, total=False):
    """Why a connector cannot be used now, as one word; only in items that are not available."""

    reason: str


class DiscoveredFields(TypedDict, total=False):
    """What only a discovered connector has. server: its name in the registry."""

    registry: RegistryReference
    server: str
    version: str | None
    deprecated: bool


class CallerHeaderFields(TypedDict, total=False):
    """The only headers that callers may send; only in items whose owner names them."""

    caller_headers: list[str]


class ConnectorItem(UnavailableFields, DiscoveredFields, CallerHeaderFields):
    """A connector as callers see it."""

    id: str
    object: Literal["connector"]
    title: str | None
    description: str | None
    available: bool
    server_url: str | None
    transport: str | None
    caller_authorization: str | None
    tools: Rules
    approval: Rules
    origin: OriginItem | None


class RegistryItem(TypedDict):
    """A registry as callers see it. connectors: how many of its servers the caller may use."""

    id: str
    object: Literal["registry"]
    url: str | None
    connectors: int
    origin: OriginItem | None


class ToolAnnotations(TypedDict):
    """What a server says of a tool."""

    read_only: bool


class ToolItem(TypedDict):
    """A tool of a connector."""

    object: Literal["tool"]
    name: str
    description: str
    input_schema: JSONSchemaView
    annotations: ToolAnnotations


class OmittedItem(TypedDict):
    """A tool that its server lists and nobody can use."""

    name: str
    reason: str


class ToolList(TypedDict):
    """The tools of a connector, as one of OpenAI's lists. omitted: absent when there are none."""

    object: Literal["list"]
    data: list[ToolItem]
    has_more: bool
    omitted: NotRequired[list[OmittedItem]]


Item = TypeVar("Item", ConnectorItem, RegistryItem)


class Page(TypedDict, Generic[Item]):
    """A page of items, as one of OpenAI's lists. first_id, last_id: None for an empty page."""

    object: Literal["list"]
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool
