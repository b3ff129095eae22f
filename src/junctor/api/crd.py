"""The CustomResourceDefinition of MCPConnector, made from the models: one source for `kubectl explain`, the API server and Python."""

from collections.abc import Iterable, Mapping
from inspect import cleandoc
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from junctor.api import names
from junctor.api.base import ApiModel, Rule
from junctor.api.conditions import ConditionType, pending_conditions
from junctor.api.connector import RESOURCE_RULES, MCPConnectorSpec
from junctor.api.status import MCPConnectorStatus

CONNECTOR_DESCRIPTION: Final = (
    "MCPConnector declares one MCP server that applications use by its id as connector_id in the OpenAI Responses API. "
    "status.conditions tell whether the gateways serve it."
)

#: The order of keywords in the generated schema, so that a reader finds them where expected and the files never change by accident.
_KEYWORDS: Final = (
    "description", "type", "format", "enum", "minLength", "maxLength", "pattern", "minimum", "maximum", "minItems", "maxItems",
    "items", "properties", "required", "default", "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-validations",
)  # fmt: skip

#: metav1.Condition with its bounds. The model of a condition is lenient, because it also reads what older operators wrote.
_CONDITION: Final[dict[str, Any]] = {
    "type": "object",
    "description": "One observation about the resource.",
    "required": ["type", "status", "reason", "message", "lastTransitionTime"],
    "properties": {
        "type": {
            "type": "string",
            "description": f"What the condition speaks about: {', '.join(ConditionType)}.",
            "maxLength": 316,
            "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        },
        "status": {"type": "string", "description": "True, False or Unknown.", "enum": ["True", "False", "Unknown"]},
        "reason": {
            "type": "string",
            "description": "Why the status is what it is, for machines; docs/conditions.md lists every reason and what to do.",
            "minLength": 1,
            "maxLength": 1024,
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        },
        "message": {"type": "string", "description": "Why the status is what it is, for people.", "maxLength": 32768},
        "lastTransitionTime": {"type": "string", "description": "When the status last changed.", "format": "date-time"},
        "observedGeneration": {"type": "integer", "description": "The metadata.generation that the condition speaks about.", "minimum": 0},
    },
}


def connector_crd() -> dict[str, Any]:
    """The CRD as the API server takes it, with a stable order of keys."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": names.CONNECTOR_CRD, "labels": {names.CRD_LABEL: names.CRD_LABEL_VALUE}},
        "spec": {
            "group": names.GROUP,
            "names": {
                "kind": names.CONNECTOR_KIND,
                "listKind": f"{names.CONNECTOR_KIND}List",
                "plural": names.CONNECTOR_PLURAL,
                "singular": names.CONNECTOR_KIND.lower(),
                "shortNames": ["mcpc"],
                "categories": [names.CATEGORY],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": _columns(),
                    "selectableFields": [{"jsonPath": ".spec.connectorID"}],
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": connector_schema()},
                }
            ],
        },
    }


def connector_schema() -> dict[str, Any]:
    """The structural schema of a whole MCPConnector."""
    status = _schema_of(MCPConnectorStatus)
    status["properties"]["conditions"]["items"] = _ordered(_CONDITION)
    # On the object itself and not on `conditions`: only so it shows from the first moment, before anything writes the status.
    status["default"] = {"conditions": pending_conditions()}
    return _ordered(
        {
            "description": CONNECTOR_DESCRIPTION,
            "type": "object",
            "required": ["spec"],
            "properties": {
                "apiVersion": {"type": "string", "description": f"Version of this representation of the resource: {names.API_VERSION}."},
                "kind": {"type": "string", "description": f"Kind of the resource: {names.CONNECTOR_KIND}."},
                "metadata": {"type": "object"},
                "spec": _schema_of(MCPConnectorSpec),
                "status": status,
            },
            "x-kubernetes-validations": _validations(RESOURCE_RULES),
        }
    )


def _columns() -> list[dict[str, Any]]:
    def condition(kind: ConditionType, field: str = "status") -> str:
        return f'.status.conditions[?(@.type=="{kind}")].{field}'

    return [
        {"name": "ID", "type": "string", "jsonPath": ".status.connectorID", "description": "The id that applications use."},
        {"name": "URL", "type": "string", "jsonPath": ".spec.url", "description": "Address of the MCP server."},
        *(
            {"name": str(kind), "type": "string", "jsonPath": condition(kind)}
            for kind in (ConditionType.ACCEPTED, ConditionType.PROGRAMMED, ConditionType.READY)
        ),
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {
            "name": "Message",
            "type": "string",
            "jsonPath": condition(ConditionType.READY, "message"),
            "priority": 1,
            "description": "Message of the Ready condition.",
        },
    ]


class _StructuralSchema(GenerateJsonSchema):
    """JSON schema as Kubernetes wants it: no null, no defaults, no titles, rules attached to the object they belong to."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        json_schema = super().model_schema(schema)
        model: type[ApiModel] = schema["cls"]
        json_schema.pop("additionalProperties", None)
        json_schema["description"] = " ".join(cleandoc(model.__doc__ or "").split())
        if model.rules:
            json_schema["x-kubernetes-validations"] = _validations(model.rules)
        return json_schema


def _schema_of(model: type[ApiModel]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True, schema_generator=_StructuralSchema)
    return _ordered(_inlined(schema, schema.pop("$defs", {})))


def _inlined(node: Any, definitions: Mapping[str, Any]) -> Any:
    """`node` with every $ref replaced by what it names; keywords beside a $ref win."""
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        node = {**definitions[node["$ref"].rsplit("/", 1)[-1]], **{key: value for key, value in node.items() if key != "$ref"}}
    return {key: _inlined(value, definitions) for key, value in node.items()}


def _ordered(schema: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {key: schema[key] for key in _KEYWORDS if key in schema}
    if unknown := schema.keys() - result.keys() - {"title"}:
        raise AssertionError(f"the CRD cannot express {sorted(unknown)}")
    if "items" in result:
        result["items"] = _ordered(result["items"])
    if "properties" in result:
        result["properties"] = {name: _ordered(value) for name, value in result["properties"].items()}
    return result


def _validations(rules: Iterable[Rule]) -> list[dict[str, str]]:
    return [
        {"rule": rule.cel, "message": rule.message} | ({"fieldPath": f".{rule.field}"} if rule.field is not None else {}) for rule in rules
    ]
