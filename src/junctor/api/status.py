"""What the operator reports in `status` of a resource."""

from typing import Annotated

from pydantic import Field, StringConstraints

from junctor.api.base import ApiModel
from junctor.api.conditions import Condition


class GatewayStatus(ApiModel):
    """How far one gateway is with this resource. Counts are those of the moment in which a condition last changed."""

    name: Annotated[str, Field(max_length=63, description="Name of the gateway in the operator's configuration.")]
    acknowledged: Annotated[int | None, Field(description="Ready pods that confirmed to serve this generation.")] = None
    pods: Annotated[int | None, Field(description="Ready pods of the gateway.")] = None
    reason: Annotated[str | None, Field(max_length=64, description="Reason of the gateway's own verdict, as in the conditions.")] = None


class ResourceStatus(ApiModel):
    """What every kind reports."""

    observed_generation: Annotated[int | None, Field(description="The generation that this status speaks about.")] = None
    conditions: Annotated[
        tuple[Condition, ...] | None,
        Field(
            max_length=16,
            description="What is true of the resource; see docs/conditions.md for every type and reason.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = None
    gateways: Annotated[
        tuple[GatewayStatus, ...] | None,
        Field(
            max_length=16,
            description="Every gateway that selects this resource.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = None


class MCPConnectorStatus(ResourceStatus):
    """What is true: written by the operator only."""

    connector_id: Annotated[
        str | None, Field(alias="connectorID", max_length=512, description="The effective id: use it as connector_id in requests.")
    ] = None


class SkippedServers(ApiModel):
    """Servers that did not become connectors, for one reason."""

    reason: Annotated[str, Field(max_length=64, description="Why, for machines; docs/conditions.md lists every reason and what to do.")]
    count: Annotated[int, Field(description="How many servers.")]
    examples: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=256)], ...] | None,
        Field(
            max_length=5,
            description="The names of the first of them.",
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
        ),
    ] = None


class MCPRegistryStatus(ResourceStatus):
    """What is true: written by the operator only. Counts and times are those of the last sync."""

    registry_id: Annotated[
        str | None,
        Field(
            alias="registryID",
            max_length=253,
            description="The effective id: its servers are the connectors `mcp::<registryID>::<server name>`.",
        ),
    ] = None
    last_sync_time: Annotated[
        str | None,
        Field(description="When a sync last came to its end.", json_schema_extra={"format": "date-time"}),
    ] = None
    last_full_sync_time: Annotated[
        str | None,
        Field(description="When a walk over the whole registry last came to its end.", json_schema_extra={"format": "date-time"}),
    ] = None
    discovered: Annotated[int | None, Field(description="Servers in the registry, before the filter.")] = None
    published: Annotated[int | None, Field(description="Servers that are connectors.")] = None
    skipped: Annotated[
        tuple[SkippedServers, ...] | None,
        Field(
            max_length=16,
            description="Servers that did not become connectors, by reason.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["reason"]},
        ),
    ] = None
    last_handled_sync_request: Annotated[
        str | None,
        Field(max_length=256, description="The value of the annotation junctor.dev/sync-requested-at whose sync has been done."),
    ] = None
