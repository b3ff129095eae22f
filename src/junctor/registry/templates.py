"""Fills in the variables of URLs and headers with values of the publisher and of the owner of the MCPRegistry.

Unusable    a template cannot be filled in, or must not be
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from junctor.api.conditions import SkipReason
from junctor.registry.records import HeaderInput, Input

_VARIABLE: Final = re.compile(r"\{([^{}\x00-\x1f\x7f]{1,128})\}")
_PRINTABLE: Final = re.compile(r"[\x20-\x7e\t]*")
_MAX_HEADER: Final = 4096


class Unusable(Exception):
    """A remote that cannot be used. detail: what is wrong; quotes the publisher's text in a form that is safe to print."""

    def __init__(self, reason: SkipReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Secret(NamedTuple):
    """The place of a secret in a value. reference: as `connectormap.credentials.reference_hash` makes it."""

    reference: str


#: Text and secrets, one after the other.
Parts = Sequence[str | Secret]


def names_in(template: str) -> list[str]:
    """Return the variables of a template, without repetition."""
    return list(dict.fromkeys(_VARIABLE.findall(template)))


def filled_url(template: str, variables: Mapping[str, Input], values: Mapping[str, Parts]) -> str:
    """Return a URL with its variables filled in. Does not check the URL.

    values: the owner's, by name of the variable. Raises Unusable.
    """
    parts, missing = _filled(template, variables, values, "its URL")
    if missing:
        raise Unusable(SkipReason.CONFIGURATION_REQUIRED, f"its URL needs the variable {missing[0]!r}")
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) < len(parts):
        raise Unusable(SkipReason.CONFIGURATION_REQUIRED, "its URL asks for a secret, and URLs are written to logs and catalogs")
    return "".join(texts)


def filled_header(header: HeaderInput, values: Mapping[str, Parts]) -> Parts | None:
    """Return the value of a header that the publisher requires, None for one that may be left out.

    values: the owner's, by name of the header or variable. Raises Unusable.
    """
    source = header.input
    where = f"the header {header.name[:80]!r}"
    if source.value is None:
        value = _value_of(header.name, source, values, where)
        if value is None and source.required:
            raise Unusable(SkipReason.CONFIGURATION_REQUIRED, f"it needs {where}")
        return None if value is None else _checked(value, where)
    parts, unknown = _filled(source.value, header.variables, values, where)
    missing = [name for name in unknown if name in header.variables]  # other braces stay as they are
    if not missing:
        return _checked(parts, where)
    required = [name for name in missing if source.required or header.variables[name].required]
    if required:
        raise Unusable(SkipReason.CONFIGURATION_REQUIRED, f"{where} needs the variable {required[0]!r}")
    return None


def _filled(template: str, variables: Mapping[str, Input], values: Mapping[str, Parts], where: str) -> tuple[Parts, list[str]]:
    """Return a template with the known variables filled in, and the names of the others. Values are never templates themselves."""
    parts: list[str | Secret] = []
    missing: list[str] = []
    rest = 0
    for found in _VARIABLE.finditer(template):
        name = found[1]
        value = _value_of(name, variables.get(name, _UNDECLARED), values, f"the variable {name!r} of {where}")
        if value is None:
            missing.append(name)
            continue
        parts += [template[rest : found.start()], *value]
        rest = found.end()
    return [part for part in (*parts, template[rest:]) if part != ""], missing


_UNDECLARED: Final = Input()


def _value_of(name: str, source: Input, values: Mapping[str, Parts], where: str) -> Parts | None:
    """Return the value of an input: the publisher's fixed one, the owner's, or the default; None when there is none."""
    if source.value is not None:
        return (source.value,)
    owned = values.get(name)
    if owned is None:
        return None if source.default is None else (source.default,)
    plain = owned[0] if isinstance(owned[0], str) else None
    if plain is not None and source.secret:
        raise Unusable(SkipReason.CONFIGURATION_REQUIRED, f"{where} is a secret; give it with valueFrom, not with value")
    if plain is not None and source.choices and plain not in source.choices:
        choices = ", ".join(map(repr, source.choices[:8]))[:200]
        raise Unusable(SkipReason.CONFIGURATION_REQUIRED, f"{where} must be one of {choices}")
    return owned


def _checked(parts: Parts, where: str) -> Parts:
    texts = [part for part in parts if isinstance(part, str)]
    if not all(map(_PRINTABLE.fullmatch, texts)) or sum(map(len, texts)) > _MAX_HEADER:
        raise Unusable(SkipReason.INVALID_RECORD, f"{where} is not printable ASCII of at most {_MAX_HEADER} characters")
    return parts
