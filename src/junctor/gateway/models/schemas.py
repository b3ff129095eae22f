"""Tool parameters as model servers accept them: an object with properties, and no two tools that disagree on the name of a definition.

vLLM builds one JSON schema of all tools for `required` and named choices. It merges their `$defs` and answers 400 when one name has two
meanings; other places of definitions it does not know.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

#: Keywords whose value maps names to schemas; a name may well be `$ref` or `enum`.
_NAMED: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
#: Keywords whose value is data.
_DATA: Final = frozenset({"const", "enum", "default", "example", "examples", "required", "dependentRequired"})


def normalised(schemas: Iterable[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The parameters of several tools, given as (tool name, schema), for one request. The given schemas are not changed."""
    taken: dict[str, Any] = {}
    return [_normalise(name, schema, taken) for name, schema in schemas]


def _normalise(tool: str, schema: Mapping[str, Any], taken: dict[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in schema.items() if key not in ("$schema", "$id")}
    if "$defs" in plain or "definitions" in plain:
        plain = _with_own_definitions(tool, plain, taken)
    properties = plain.get("properties")
    return {**plain, "type": "object", "properties": properties if isinstance(properties, Mapping) else {}}


def _with_own_definitions(tool: str, schema: dict[str, Any], taken: dict[str, Any]) -> dict[str, Any]:
    """The schema with all its definitions in $defs. When one means something else in another tool, all get a name of this tool's own."""
    found = [schema.pop(key, None) for key in ("definitions", "$defs")]
    definitions: dict[str, Any] = {}
    for part in found:
        definitions |= part if isinstance(part, Mapping) else {}
    moved = {name: _rewrite(value, lambda old: old) for name, value in definitions.items()}
    names = {name: name for name in moved}
    if any(name in taken and taken[name] != value for name, value in moved.items()):
        names = {name: _free(f"{name}__{tool}", taken) for name in moved}
    written = {names[name]: _rewrite(value, lambda old: names.get(old, old)) for name, value in moved.items()}
    taken.update(written)
    rewritten: dict[str, Any] = _rewrite(schema, lambda old: names.get(old, old))
    return {**rewritten, "$defs": written} if written else rewritten


def _free(name: str, taken: Mapping[str, Any]) -> str:
    number = 2
    wanted = name
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    return name


def _rewrite(schema: Any, rename: Callable[[str], str]) -> Any:
    """A copy whose references to definitions say `#/$defs/...` with the new name."""
    if isinstance(schema, list):
        return [_rewrite(item, rename) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    copy: dict[str, Any] = {}
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
            # JSON Pointer spelling (RFC 6901).
            new = rename(name.replace("~1", "/").replace("~0", "~")).replace("~", "~0").replace("/", "~1")
            return f"#/$defs/{new}{slash}{rest}"
    return reference
