"""What a publisher asks for in URLs and headers, filled in with what the publisher and the owner of the registry's resource give.

Unusable    it cannot be filled in, or must not be
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
    """A remote that cannot be used. detail: what is wrong; it quotes what strangers wrote, and is safe to print."""

    def __init__(self, reason: SkipReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Secret(NamedTuple):
    """The place of a secret in a value. reference: see connector_map.reference_hash."""

    reference: str


#: Text and secrets, one after the other.
Parts = Sequence[str | Secret]


def names_in(template: str) -> list[str]:
    """The variables of a template, each once."""
    return list(dict.fromkeys(_VARIABLE.findall(template)))


def filled_url(template: str, variables: Mapping[str, Input], given: Mapping[str, Parts]) -> str:
    """A URL with its variables filled in; whether it is one is not checked. Raises Unusable."""
    parts, missing = _filled(template, variables, given, "its URL")
    if missing:
        raise Unusable(SkipReason.CONFIGURATION_REQUIRED, f"its URL needs the variable {missing[0]!r}")
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) < len(parts):
        raise Unusable(SkipReason.CONFIGURATION_REQUIRED, "its URL asks for a secret, and URLs are written to logs and catalogs")
    return "".join(texts)


def filled_header(header: HeaderInput, given: Mapping[str, Parts]) -> Parts | None:
    """The value of a header that the publisher asks for; None for one that may be left out. Raises Unusable."""
    wanted = header.input
    where = f"the header {header.name[:80]!r}"
    if wanted.value is None:
        value = _given(header.name, wanted, given, where)
        if value is None and wanted.required:
            raise Unusable(SkipReason.CONFIGURATION_REQUIRED, f"it needs {where}")
        return None if value is None else _checked(value, where)
    parts, unknown = _filled(wanted.value, header.variables, given, where)
    missing = [name for name in unknown if name in header.variables]  # other braces stay as they are
    if not missing:
        return _checked(parts, where)
    required = [name for name in missing if wanted.required or header.variables[name].required]
    if required:
        raise Unusable(SkipReason.CONFIGURATION_REQUIRED, f"{where} needs the variable {required[0]!r}")
    return None


def _filled(template: str, variables: Mapping[str, Input], given: Mapping[str, Parts], where: str) -> tuple[Parts, list[str]]:
    """A template with what is known filled in, once: values are never templates themselves. And the names that are not known."""
    parts: list[str | Secret] = []
    missing: list[str] = []
    rest = 0
    for found in _VARIABLE.finditer(template):
        name = found[1]
        value = _given(name, variables.get(name, _UNDECLARED), given, f"the variable {name!r} of {where}")
        if value is None:
            missing.append(name)
            continue
        parts += [template[rest : found.start()], *value]
        rest = found.end()
    return [part for part in (*parts, template[rest:]) if part != ""], missing


_UNDECLARED: Final = Input()


def _given(name: str, wanted: Input, given: Mapping[str, Parts], where: str) -> Parts | None:
    """The value of an input: the publisher's fixed one, the owner's, or the default; None when there is none."""
    if wanted.value is not None:
        return (wanted.value,)
    owned = given.get(name)
    if owned is None:
        return None if wanted.default is None else (wanted.default,)
    plain = owned[0] if isinstance(owned[0], str) else None
    if plain is not None and wanted.secret:
        raise Unusable(SkipReason.CONFIGURATION_REQUIRED, f"{where} is a secret; give it with valueFrom, not with value")
    if plain is not None and wanted.choices and plain not in wanted.choices:
        choices = ", ".join(map(repr, wanted.choices[:8]))[:200]
        raise Unusable(SkipReason.CONFIGURATION_REQUIRED, f"{where} must be one of {choices}")
    return owned


def _checked(parts: Parts, where: str) -> Parts:
    texts = [part for part in parts if isinstance(part, str)]
    if not all(map(_PRINTABLE.fullmatch, texts)) or sum(map(len, texts)) > _MAX_HEADER:
        raise Unusable(SkipReason.INVALID_RECORD, f"{where} is not printable ASCII of at most {_MAX_HEADER} characters")
    return parts
