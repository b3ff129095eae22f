"""Generates the CustomResourceDefinitions from the models: one source for `kubectl explain`, the API server and Python."""

from collections.abc import Iterable
from inspect import cleandoc
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from junctor.api import names
from junctor.api.base import ApiModel, Rule
from junctor.api.conditions import pending_conditions
from junctor.api.kinds import ResourceKind
from junctor.net.formats import JSONSchema, JSONSchemaView, KubernetesObject

#: The order of keywords in the generated schema: stable, so that the files change only when a model does.
_KEYWORDS: Final = (
    "description", "type", "format", "enum", "minLength", "maxLength", "pattern", "minimum", "maximum", "minItems", "maxItems",
    "items", "properties", "required", "default", "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-validations",
)  # fmt: skip


def crd_of(kind: ResourceKind) -> KubernetesObject:
    """The CRD as the API server accepts it, with a stable order of keys."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd, "labels": {names.CRD_LABEL: names.CRD_LABEL_VALUE}},
        "spec": {
            "group": names.GROUP,
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [kind.short_name],
                "categories": [names.CATEGORY],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": _columns(kind),
                    "selectableFields": [{"jsonPath": f".spec.{kind.id_field}"}],
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema_of(kind)},
                }
            ],
        },
    }


def schema_of(kind: ResourceKind) -> JSONSchema:
    """The structural schema of a whole object."""
    status = _model_schema(kind.status)
    # On the status itself and not on `conditions`: otherwise it would not show before something writes the status.
    status["default"] = {"conditions": pending_conditions(kind.conditions)}
    return _ordered(
        {
            "description": kind.description,
            "type": "object",
            "required": ["spec"],
            "properties": {
                "apiVersion": {"type": "string", "description": f"Version of this representation of the resource: {names.API_VERSION}."},
                "kind": {"type": "string", "description": f"Kind of the resource: {kind.kind}."},
                "metadata": {"type": "object"},
                "spec": _model_schema(kind.spec),
                "status": status,
            },
            "x-kubernetes-validations": _validations(kind.rules),
        }
    )


def _columns(kind: ResourceKind) -> list[KubernetesObject]:
    age = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    # Like the built-in kinds: columns that only -o wide shows come last.
    return sorted([*kind.columns, age], key=lambda column: column.get("priority", 0))


class _StructuralSchema(GenerateJsonSchema):
    """JSON schema as Kubernetes requires it: no null, no defaults, no titles, rules attached to the object they belong to."""

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


def _model_schema(model: type[ApiModel]) -> JSONSchema:
    schema = model.model_json_schema(by_alias=True, schema_generator=_StructuralSchema)
    return _ordered(_inlined(schema, schema.pop("$defs", {})))


def _inlined(node: Any, definitions: JSONSchemaView) -> Any:
    """Replace every $ref in `node` by its definition; keywords beside a $ref win."""
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        node = {**definitions[node["$ref"].rsplit("/", 1)[-1]], **{key: value for key, value in node.items() if key != "$ref"}}
    return {key: _inlined(value, definitions) for key, value in node.items()}


def _ordered(schema: JSONSchemaView) -> JSONSchema:
    result: JSONSchema = {key: schema[key] for key in _KEYWORDS if key in schema}
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
