"""The two kinds of resources and how they differ. The CRDs, the manifest reader and the reference pages derive from this."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from junctor.api import names
from junctor.api.base import ApiModel, Rule
from junctor.api.conditions import CONNECTOR_CONDITIONS, REGISTRY_CONDITIONS, ConditionType
from junctor.api.connector import ID_IMMUTABLE_MESSAGE, RESOURCE_RULES, MCPConnectorSpec, effective_id
from junctor.api.registry import REGISTRY_ID_IMMUTABLE_MESSAGE, REGISTRY_RULES, MCPRegistrySpec, effective_registry_id
from junctor.api.status import MCPConnectorStatus, MCPRegistryStatus
from junctor.net.formats import KubernetesObject, KubernetesObjectView


@dataclass(frozen=True, slots=True, eq=False)
class ResourceKind:
    """One kind of resource.

    rules: those at the root of the object. columns: of `kubectl get`, between the name and the age. id_field: the field of spec that holds
    the id; it is a field selector too. id_of: computes the effective id from spec and name. id_immutable: message for a changed id.
    """

    kind: str
    plural: str
    short_name: str
    description: str
    spec: type[ApiModel]
    status: type[ApiModel]
    rules: tuple[Rule, ...]
    conditions: tuple[ConditionType, ...]
    columns: tuple[KubernetesObject, ...]
    id_field: str
    id_of: Callable[[KubernetesObjectView, str], str]
    id_immutable: str

    @property
    def crd(self) -> str:
        """Name of the CRD."""
        return f"{self.plural}.{names.GROUP}"


def _condition(kind: ConditionType, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


def _verdicts(kinds: Iterable[ConditionType]) -> tuple[KubernetesObject, ...]:
    return tuple({"name": str(kind), "type": "string", "jsonPath": _condition(kind, "status")} for kind in kinds)


def _wide(name: str, kind: ConditionType, field: str) -> KubernetesObject:
    """A column that only `kubectl get -o wide` shows."""
    path = _condition(kind, field)
    return {"name": name, "type": "string", "jsonPath": path, "priority": 1, "description": f"{field.title()} of the {kind} condition."}


CONNECTOR: Final = ResourceKind(
    kind=names.CONNECTOR_KIND,
    plural=names.CONNECTOR_PLURAL,
    short_name="mcpc",
    description="MCPConnector declares one MCP server that applications use by its id as connector_id in the OpenAI Responses API. "
    "status.conditions say whether the gateways serve it.",
    spec=MCPConnectorSpec,
    status=MCPConnectorStatus,
    rules=RESOURCE_RULES,
    conditions=CONNECTOR_CONDITIONS,
    columns=(
        {"name": "ID", "type": "string", "jsonPath": ".status.connectorID", "description": "The id that applications use."},
        {"name": "URL", "type": "string", "jsonPath": ".spec.url", "description": "Address of the MCP server."},
        *_verdicts((ConditionType.ACCEPTED, ConditionType.PROGRAMMED, ConditionType.READY)),
        _wide("Message", ConditionType.READY, "message"),
    ),
    id_field="connectorID",
    id_of=effective_id,
    id_immutable=ID_IMMUTABLE_MESSAGE,
)

REGISTRY: Final = ResourceKind(
    kind=names.REGISTRY_KIND,
    plural=names.REGISTRY_PLURAL,
    short_name="mcpr",
    description="MCPRegistry declares a registry that speaks the MCP Registry API. Each of its servers that has an address becomes a "
    "connector with the id `mcp::<registryID>::<server name>`. status.conditions say whether it is in sync and whether the gateways "
    "serve it.",
    spec=MCPRegistrySpec,
    status=MCPRegistryStatus,
    rules=REGISTRY_RULES,
    conditions=REGISTRY_CONDITIONS,
    columns=(
        {
            "name": "ID",
            "type": "string",
            "jsonPath": ".status.registryID",
            "description": "The registry's part of the ids of its connectors.",
        },
        {"name": "URL", "type": "string", "jsonPath": ".spec.url", "description": "Address of the registry."},
        *_verdicts((ConditionType.SYNCED,)),
        {"name": "Published", "type": "integer", "jsonPath": ".status.published", "description": "Number of servers that are connectors."},
        {"name": "Last sync", "type": "date", "jsonPath": ".status.lastSyncTime", "description": "When a sync last completed."},
        *_verdicts((ConditionType.READY,)),
        _wide("Reason", ConditionType.SYNCED, "reason"),
        _wide("Message", ConditionType.READY, "message"),
    ),
    id_field="registryID",
    id_of=effective_registry_id,
    id_immutable=REGISTRY_ID_IMMUTABLE_MESSAGE,
)

KINDS: Final = (CONNECTOR, REGISTRY)
BY_NAME: Final = {kind.kind: kind for kind in KINDS}
