"""Parses records of a registry: the server.json of one version, with what the registry adds. Records are untrusted, so this module bounds
and checks every field.

It is lenient where registries differ (records without the `{server, _meta}` wrapper, snake_case, no `_meta`), strict in all that Junctor
relies on.
Sources: server.json schema 2025-12-11, generic registry API 2025-12-01.

InvalidRecord    the record cannot be used; names the server, if known, and the reason
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, Self, cast

from junctor.net.formats import RegistryObjectView

Status = Literal["active", "deprecated", "deleted"]

OFFICIAL_META: Final = "io.modelcontextprotocol.registry/official"
#: The schema says 3 to 200 characters with exactly one slash.
_NAME: Final = re.compile(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", re.ASCII)
_NAME_LENGTH: Final = 200
#: The schema allows 100 characters in title and description; some registries allow more.
_MAX_TITLE: Final = 256
_MAX_DESCRIPTION: Final = 4096
_MAX_VERSION: Final = 255
_MAX_REMOTES: Final = 32
_MAX_INPUTS: Final = 64
_MAX_TEXT: Final = 4096
_LARGEST: Final = 10**15

# Fields in both spellings: registries before 2025-09-16 use snake_case.
_IS_LATEST: Final = ("isLatest", "is_latest")
_PUBLISHED_AT: Final = ("publishedAt", "published_at")
_UPDATED_AT: Final = ("updatedAt", "updated_at")
_IS_REQUIRED: Final = ("isRequired", "is_required")
_IS_SECRET: Final = ("isSecret", "is_secret")
#: Some publishers write booleans as text.
_TRUE: Final = (True, "true", "True")


class InvalidRecord(Exception):
    """A record that cannot be used. name: of the server, "" when it is unknown."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(problem)
        self.name = name


@dataclass(frozen=True, slots=True)
class Input:
    """A value that the publisher fixes (`value`) or suggests (`default`), or that whoever uses the server has to provide."""

    required: bool = False
    secret: bool = False
    value: str | None = None
    default: str | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeaderInput:
    """A header of a remote. variables: inputs for the `{name}`s in its value."""

    name: str
    input: Input
    variables: Mapping[str, Input] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remote:
    """A place where the server can be called. variables: inputs for the `{name}`s in the URL."""

    type: str
    url: str
    headers: tuple[HeaderInput, ...] = ()
    variables: Mapping[str, Input] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """One version of one server. published_at: seconds since the epoch, 0 when unknown. updated_at: as the registry writes it, or ""."""

    name: str
    version: str
    title: str = ""
    description: str = ""
    status: Status = "active"
    is_latest: bool | None = None
    published_at: float = 0.0
    updated_at: str = ""
    remotes: tuple[Remote, ...] = ()

    @classmethod
    def parse(cls, raw: Any) -> Self:
        """Read a record of a list. Raises InvalidRecord."""
        if not isinstance(raw, dict):
            raise InvalidRecord("", "a record is not an object")
        wrapped = raw.get("server")
        server = wrapped if isinstance(wrapped, dict) else raw
        name = server.get("name")
        if not isinstance(name, str) or not 3 <= len(name) <= _NAME_LENGTH or not _NAME.fullmatch(name):
            raise InvalidRecord(_quoted(name) if isinstance(name, str) else "", "its name is not of the form namespace/name")
        try:
            return cls._of(name, server, _meta(raw, server))
        except _Fault as fault:
            raise InvalidRecord(name, str(fault)) from None

    @classmethod
    def _of(cls, name: str, server: RegistryObjectView, meta: RegistryObjectView) -> Self:
        version = server.get("version") or _object(server, "version_detail").get("version")
        status = meta.get("status") or server.get("status") or "active"
        if status not in ("active", "deprecated", "deleted"):
            quoted = repr(status[:40]) if isinstance(status, str) else "which is not a string"
            raise _Fault(f"its status {quoted} is not known")
        latest = _get(meta, _IS_LATEST)
        return cls(
            name=name,
            version=_text(version, "version", _MAX_VERSION) or "",
            title=_text(server.get("title"), "title", _MAX_TITLE) or "",
            description=_text(server.get("description"), "description", _MAX_DESCRIPTION) or "",
            status=cast(Status, status),
            is_latest=latest if isinstance(latest, bool) else None,
            published_at=_seconds(_get(meta, _PUBLISHED_AT)),
            updated_at=_text(_get(meta, _UPDATED_AT), "updatedAt", 64) or "",
            remotes=tuple(_remote(item) for item in _list(server, "remotes", _MAX_REMOTES)),
        )


def _quoted(name: str) -> str:
    """Return an invalid name in a form that can be stored and printed, and that no valid name has."""
    return repr(name if len(name) <= 80 else f"{name[:80]}…")


class _Fault(Exception):
    """A defect of a record whose name is known."""


def _meta(raw: RegistryObjectView, server: RegistryObjectView) -> RegistryObjectView:
    for place in (raw, server):
        meta = place.get("_meta")
        if isinstance(meta, dict) and isinstance(meta.get(OFFICIAL_META), dict):
            found: RegistryObjectView = meta[OFFICIAL_META]
            return found
    return {}


def _remote(raw: Any) -> Remote:
    if not isinstance(raw, dict):
        raise _Fault("a remote is not an object")
    return Remote(
        type=_text(raw.get("type") or raw.get("transport_type"), "the type of a remote", 64) or "",
        url=_text(raw.get("url"), "the url of a remote", 2048) or "",
        headers=tuple(_header(item) for item in _list(raw, "headers", _MAX_INPUTS)),
        variables=_variables(raw),
    )


def _header(raw: Any) -> HeaderInput:
    if not isinstance(raw, dict) or not isinstance(raw.get("name"), str) or not raw["name"]:
        raise _Fault("a header has no name")
    return HeaderInput(_text(raw["name"], "the name of a header", 128) or "", _input(raw), _variables(raw))


def _variables(raw: RegistryObjectView) -> Mapping[str, Input]:
    variables = _object(raw, "variables")
    if not variables:
        return {}
    if len(variables) > _MAX_INPUTS:
        raise _Fault(f"it has more than {_MAX_INPUTS} variables")
    if not all(isinstance(item, dict) for item in variables.values()):
        raise _Fault("a variable is not an object")
    return {_text(name, "the name of a variable", 128) or "": _input(item) for name, item in variables.items()}


def _input(raw: RegistryObjectView) -> Input:
    return Input(
        required=_get(raw, _IS_REQUIRED) in _TRUE,
        secret=_get(raw, _IS_SECRET) in _TRUE,
        value=_text(raw.get("value"), "a value", _MAX_TEXT) or None,
        default=_text(raw.get("default"), "a default", _MAX_TEXT) or None,
        choices=tuple(_text(item, "a choice", _MAX_TEXT) or "" for item in _list(raw, "choices", _MAX_INPUTS)),
    )


def _get(raw: RegistryObjectView, spellings: tuple[str, str]) -> Any:
    value = raw.get(spellings[0])
    return raw.get(spellings[1]) if value is None else value


def _object(raw: RegistryObjectView, name: str) -> RegistryObjectView:
    value = raw.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _Fault(f"{name} is not an object")
    return value


def _list(raw: RegistryObjectView, name: str, most: int) -> list[Any]:
    value = raw.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _Fault(f"{name} is not a list")
    if len(value) > most:
        raise _Fault(f"it has {len(value)} {name}, at most {most} are read")
    return value


def _text(value: Any, what: str, most: int) -> str | None:
    """Return a string that can be published. Numbers and booleans, which YAML makes of unquoted defaults, become text."""
    if value is None:
        return None
    text = value if isinstance(value, str) else _text_of(value, what)
    if len(text) > most:
        raise _Fault(f"{what} has {len(text)} characters, at most {most} are read")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _Fault(f"{what} holds half of a surrogate pair") from None
    return text


def _text_of(value: Any, what: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, int | float):
        raise _Fault(f"{what} is not a string")
    if not -_LARGEST < value < _LARGEST:  # rejects infinity and NaN, too
        raise _Fault(f"{what} is a number that is too large")
    return str(value)


def _seconds(value: Any) -> float:
    """Return a time in seconds since the epoch, 0 for anything else. A time without an offset is in UTC."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return 0.0
    return 0.0 if time is None else (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
