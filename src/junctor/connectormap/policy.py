"""The policy of an entry: who may use the connector, which tools exist, which calls need approval, and limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from typing import Any, Final, NamedTuple, Self

from junctor.connectormap.errors import InvalidEntry

#: What a caller may do about `Authorization`: bring its own (Allow), has to (Require), or must not (Forbid).
DEFAULT_CALLER_AUTHORIZATION: Final = "Allow"
DEFAULT_APPROVAL_MODE: Final = "AsRequested"


class Subject(NamedTuple):
    """A caller or a group of callers. namespace: of a ServiceAccount; "" for the other kinds."""

    kind: str
    namespace: str
    name: str

    def to_json(self) -> dict[str, str]:
        """The subject in the map's form."""
        shared = {"kind": self.kind, "name": self.name}
        return shared | {"namespace": self.namespace} if self.namespace else shared


#: The subjects of an entry whose `access` has a form that this version does not know: it fails closed.
NOBODY: Final[frozenset[Subject]] = frozenset()


@dataclass(frozen=True, slots=True)
class ToolRules:
    """The tools that exist for callers. allowed: only these; None: all. denied: not these. read_only: only tools that declare it."""

    allowed: tuple[str, ...] | None = None
    denied: tuple[str, ...] | None = None
    read_only: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """The rules in the map's form, without what is not set."""
        return _without_none({"allowed": self.allowed, "denied": self.denied, "readOnly": self.read_only})

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read the rules of an entry. Raises InvalidEntry."""
        rules = _object(value, "tools")
        if not rules:
            return cls()
        read_only = rules.get("readOnly")
        if read_only is not None and not isinstance(read_only, bool):
            raise InvalidEntry("tools.readOnly must be true or false")
        return cls(_names(rules.get("allowed"), "tools.allowed"), _names(rules.get("denied"), "tools.denied"), read_only)


@dataclass(frozen=True, slots=True)
class ApprovalRules:
    """Which calls the platform wants a human to approve. always, never: tools that are exempt from the mode."""

    mode: str = DEFAULT_APPROVAL_MODE
    always: tuple[str, ...] | None = None
    never: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """The rules in the map's form, without what is not set."""
        return _without_none({"mode": self.mode, "always": self.always, "never": self.never})

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read the rules of an entry. Raises InvalidEntry."""
        rules = _object(value, "approval")
        mode = str(rules.get("mode") or DEFAULT_APPROVAL_MODE)
        return cls(mode, _names(rules.get("always"), "approval.always"), _names(rules.get("never"), "approval.never"))


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on the use of a server, on each gateway pod. Timeouts in seconds; the defaults are those of the resources."""

    connect_timeout: float = 10
    call_timeout: float = 60
    max_concurrent_calls: int = 100
    max_result_bytes: int = 1048576

    def to_json(self) -> dict[str, Any]:
        """The limits in the map's form, each written out."""
        return {
            "connectTimeoutSeconds": self.connect_timeout,
            "callTimeoutSeconds": self.call_timeout,
            "maxConcurrentCalls": self.max_concurrent_calls,
            "maxResultBytes": self.max_result_bytes,
        }

    @staticmethod
    def parse(value: object) -> "Limits":
        """Read the limits of an entry. Raises InvalidEntry."""
        limits = _object(value, "limits")
        if not limits:
            return _NO_LIMITS
        try:
            return _limits(*[limits.get(name, default) for name, default in _DEFAULTS])
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidEntry("limits must be numbers above 0") from error


_NO_LIMITS: Final = Limits()
_DEFAULTS: Final = tuple(_NO_LIMITS.to_json().items())


@lru_cache(maxsize=1024)
def _limits(connect_timeout: Any, call_timeout: Any, max_concurrent_calls: Any, max_result_bytes: Any) -> Limits:
    """The limits of the map's numbers. Cached, because every entry is checked when a map is loaded, and few differ.

    Raises TypeError, ValueError or OverflowError for what is no number above 0.
    """
    limits = Limits(float(connect_timeout), float(call_timeout), int(max_concurrent_calls), int(max_result_bytes))
    if not all(
        0 < limit < inf for limit in (limits.connect_timeout, limits.call_timeout, limits.max_concurrent_calls, limits.max_result_bytes)
    ):
        raise ValueError
    return limits


@dataclass(frozen=True, slots=True)
class Policy:
    """How callers may use a server: the same fields for a connector and for all servers of a registry.

    caller_headers: the only headers that callers may send; None when the owner names none.
    """

    caller_authorization: str = DEFAULT_CALLER_AUTHORIZATION
    tools: ToolRules = field(default_factory=ToolRules)
    approval: ApprovalRules = field(default_factory=ApprovalRules)
    limits: Limits = field(default_factory=Limits)
    caller_headers: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields of an entry that make up the policy."""
        fields: dict[str, Any] = {
            "callerAuthorization": self.caller_authorization,
            "tools": self.tools.to_json(),
            "approval": self.approval.to_json(),
            "limits": self.limits.to_json(),
        }
        return fields if self.caller_headers is None else fields | {"callerHeaders": list(self.caller_headers)}

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Self:
        """Read the policy of an entry's content. Raises InvalidEntry."""
        return cls(
            str(content.get("callerAuthorization", DEFAULT_CALLER_AUTHORIZATION)),
            ToolRules.parse(content.get("tools")),
            ApprovalRules.parse(content.get("approval")),
            Limits.parse(content.get("limits")),
            _names(content.get("callerHeaders"), "callerHeaders"),
        )


def access_to_json(subjects: frozenset[Subject]) -> dict[str, Any]:
    """Who may use a connector in the map's form: the subjects in one order."""
    return {"subjects": [subject.to_json() for subject in sorted(subjects)]}


def parse_access(value: object) -> frozenset[Subject]:
    """Read who may use a connector; NOBODY for a form that this version does not know."""
    match value:
        case {"subjects": [*subjects], **others} if not others:
            try:
                return _shared(frozenset(map(_subject, subjects)))
            except InvalidEntry:
                return NOBODY
    return NOBODY


def _subject(value: object) -> Subject:
    match value:
        case {"kind": "User" | "Group" as kind, "name": str(name), **others} if not others:
            return Subject(str(kind), "", name)
        case {"kind": "ServiceAccount", "namespace": str(namespace), "name": str(name), **others} if not others:
            return Subject("ServiceAccount", namespace, name)
    raise InvalidEntry("access.subjects must be subjects of this version")


@lru_cache(maxsize=4096)
def _shared(subjects: frozenset[Subject]) -> frozenset[Subject]:
    """One object for equal sets: thousands of connectors may name the same subjects."""
    return subjects


def _object(value: object, place: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidEntry(f"{place} must be an object")
    return value


def _names(names: object, place: str) -> tuple[str, ...] | None:
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidEntry(f"{place} must be a list of names")
    return tuple(names)


def _without_none(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if item is not None}
