"""What the operator reports in `status` of an MCPConnector."""

from typing import Annotated

from pydantic import Field

from junctor.api.base import ApiModel
from junctor.api.conditions import Condition


class GatewayStatus(ApiModel):
    """How far one gateway is with this resource. Counts are those of the moment in which a condition last changed."""

    name: Annotated[str, Field(max_length=63, description="Name of the gateway in the operator's configuration.")]
    acknowledged: Annotated[int | None, Field(description="Ready pods that confirmed to serve this generation.")] = None
    pods: Annotated[int | None, Field(description="Ready pods of the gateway.")] = None
    reason: Annotated[str | None, Field(max_length=64, description="Reason of the gateway's own verdict, as in the conditions.")] = None


class MCPConnectorStatus(ApiModel):
    """What is true: written by the operator only."""

    observed_generation: Annotated[int | None, Field(description="The generation that this status speaks about.")] = None
    connector_id: Annotated[
        str | None, Field(alias="connectorID", max_length=512, description="The effective id: use it as connector_id in requests.")
    ] = None
    conditions: Annotated[
        tuple[Condition, ...] | None,
        Field(
            max_length=16,
            description="Accepted, ResolvedRefs, Programmed and Ready; see docs/conditions.md for every reason.",
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
