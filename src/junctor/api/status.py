"""`status` of both kinds: the CRDs are generated from these models, and the operator writes statuses through them."""

from typing import Annotated

from pydantic import Field, StringConstraints

from junctor.api.base import ApiModel
from junctor.api.conditions import Condition


class GatewayStatus(ApiModel):
    """Progress of one gateway with this resource.

    A rollout of gateways alone does not rewrite every status, so the counts are those of the moment in which it was last written.
    """

    name: Annotated[str, Field(max_length=63, description="Name of the gateway in the operator's configuration.")]
    acknowledged: Annotated[
        int | None, Field(description="Ready pods that had acknowledged this generation when this status was last written.")
    ] = None
    pods: Annotated[int | None, Field(description="Ready pods of the gateway when this status was last written.")] = None
    reason: Annotated[
        str | None,
        Field(max_length=64, description="Reason of the gateway's own conditions: the first that is not True, else that of Ready."),
    ] = None


class ResourceStatus(ApiModel):
    """Status fields that both kinds have."""

    observed_generation: Annotated[int | None, Field(description="The metadata.generation that this status describes.")] = None
    conditions: Annotated[
        tuple[Condition, ...] | None,
        Field(
            max_length=16,
            description="Observations about the resource; docs/conditions.md lists every type and reason.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = None
    gateways: Annotated[
        tuple[GatewayStatus, ...] | None,
        Field(
            max_length=16,
            description="Every gateway that selects this resource. Changes of pod counts alone do not rewrite the status.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = None


class MCPConnectorStatus(ResourceStatus):
    """The observed state, written only by the operator."""

    connector_id: Annotated[
        str | None, Field(alias="connectorID", max_length=512, description="The effective id; use it as connector_id in requests.")
    ] = None


class SkippedServers(ApiModel):
    """Servers that did not become connectors for one reason."""

    reason: Annotated[
        str, Field(max_length=64, description="Machine-readable reason; docs/conditions.md lists every reason and its remedy.")
    ]
    count: Annotated[int, Field(description="Number of servers.")]
    examples: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=256)], ...] | None,
        Field(
            max_length=5,
            description="Names of the first of them.",
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
        ),
    ] = None


class MCPRegistryStatus(ResourceStatus):
    """The observed state, written only by the operator. Counts and times are those of the last sync."""

    registry_id: Annotated[
        str | None,
        Field(
            alias="registryID",
            max_length=253,
            description="The effective id; its servers are the connectors `mcp::<registryID>::<server name>`.",
        ),
    ] = None
    last_sync_time: Annotated[
        str | None,
        Field(description="When a sync last completed.", json_schema_extra={"format": "date-time"}),
    ] = None
    last_full_sync_time: Annotated[
        str | None,
        Field(description="When a full sync last completed.", json_schema_extra={"format": "date-time"}),
    ] = None
    discovered: Annotated[int | None, Field(description="Number of servers in the registry, before filtering.")] = None
    published: Annotated[int | None, Field(description="Number of servers that are connectors.")] = None
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
        Field(max_length=256, description="Last value of the annotation junctor.dev/sync-requested-at whose sync has completed."),
    ] = None
