"""Rewrites tool parameters into a form that model servers accept: an object with properties, and definitions without name clashes.

For `required` and named choices, vLLM builds one JSON schema from all tools. It merges their `$defs`, answers 400 when two of the same name
differ, and ignores definitions in other places.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from junctor.net.formats import JSONSchema, JSONSchemaView

#: Keywords whose value maps names to schemas; a name may well be `$ref` or `enum`.
_NAMED: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
#: Keywords whose value is data.
_DATA: Final = frozenset({"const", "enum", "default", "example", "examples", "required", "dependentRequired"})


def normalised(schemas: Iterable[tuple[str, JSONSchemaView]]) -> list[JSONSchema]:
    """Return the parameters of the tools of one request, passed as (tool name, schema). The arguments are not changed."""
    used: JSONSchema = {}
    return [_normalise(name, schema, used) for name, schema in schemas]


def _normalise(tool: str, schema: JSONSchemaView, used: JSONSchema) -> JSONSchema:
    plain = {key: value for key, value in schema.items() if key not in ("$schema", "$id")}
    if "$defs" in plain or "definitions" in plain:
        plain = _with_own_definitions(tool, plain, used)
    properties = plain.get("properties")
    return {**plain, "type": "object", "properties": properties if isinstance(properties, Mapping) else {}}


def _with_own_definitions(tool: str, schema: JSONSchema, used: JSONSchema) -> JSONSchema:
    """Move all definitions to $defs. When one differs from another tool's of the same name, rename all of them after this tool."""
    definitions: JSONSchema = {}
    for part in [schema.pop(key, None) for key in ("definitions", "$defs")]:
        definitions |= part if isinstance(part, Mapping) else {}
    moved = {name: _rewrite(value, lambda old: old) for name, value in definitions.items()}
    names = {name: name for name in moved}
    if any(name in used and used[name] != value for name, value in moved.items()):
        names = {name: _free(f"{name}__{tool}", used) for name in moved}
    written = {names[name]: _rewrite(value, lambda old: names.get(old, old)) for name, value in moved.items()}
    used.update(written)
    rewritten: JSONSchema = _rewrite(schema, lambda old: names.get(old, old))
    return {**rewritten, "$defs": written} if written else rewritten


def _free(name: str, used: JSONSchemaView) -> str:
    number = 2
    free = name
    while free in used:
        free, number = f"{name}_{number}", number + 1
    return free


def _rewrite(schema: Any, rename: Callable[[str], str]) -> Any:
    """Return a copy whose references to definitions are `#/$defs/<new name>`."""
    if isinstance(schema, list):
        return [_rewrite(item, rename) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    copy: JSONSchema = {}
    for key, value in schema.items():
        if key in _DATA:
            copy[key] = value
        elif key == "$ref" and isinstance(value, str):
            copy[key] = _reference(value, rename)
        elif key in _NAMED and isinstance(value, Mapping):
            copy[key] = {name: _rewrite(item, rename) for name, item in value.items()}
        else:
            copy[key] = _rewrite(value, rename)
    return copy


def _reference(reference: str, rename: Callable[[str], str]) -> str:
    for prefix in ("#/$defs/", "#/definitions/"):
        if reference.startswith(prefix):
            name, slash, rest = reference.removeprefix(prefix).partition("/")
            # Escapes of JSON Pointer (RFC 6901).
            new = rename(name.replace("~1", "/").replace("~0", "~")).replace("~", "~0").replace("/", "~1")
            return f"#/$defs/{new}{slash}{rest}"
    return reference
