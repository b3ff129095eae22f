"""Stored Kubernetes objects as the planner sees them: parsed once, leniently, with what is wrong kept beside what is right."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import ValidationError

from junctor.api.base import problems_of
from junctor.api.connector import MCPConnectorSpec

#: Names of fields that may be ignored by a version that does not know them: they only describe. Every other unknown field is policy.
#: A new descriptive field takes one of these names, or begins with "display".
_DESCRIPTIVE = frozenset({"icons", "tags", "category", "documentationURL", "websiteURL", "contact", "owner", "notes", "labels"})


@dataclass(frozen=True, slots=True)
class ConnectorResource:
    """An MCPConnector as it is stored.

    spec: None when the stored spec breaks the schema; `problems` then say what is wrong. unsupported / ignored: unknown fields that
    are policy, or only describe. status: as last seen; never part of a decision about the map.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    created: str
    labels: Mapping[str, str] = field(repr=False)
    raw_spec: Mapping[str, Any] = field(repr=False)
    spec: MCPConnectorSpec | None = field(repr=False)
    problems: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Read a stored object. Never raises for the spec's content."""
        metadata = body["metadata"]
        raw = body.get("spec")
        raw_spec: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
        problems: tuple[str, ...] = ()
        spec: MCPConnectorSpec | None = None
        unknown: list[str] = []
        try:
            spec = MCPConnectorSpec.model_validate(raw_spec)
            unknown = [f"spec.{path}" for path in spec.unknown_fields()]
        except ValidationError as error:
            problems = tuple(problems_of(error, "spec"))
        return cls(
            namespace=metadata.get("namespace", ""),
            name=metadata["name"],
            uid=metadata["uid"],
            generation=metadata.get("generation", 1),
            created=metadata.get("creationTimestamp") or "",
            labels=metadata.get("labels") or {},
            raw_spec=raw_spec,
            spec=spec,
            problems=problems,
            unsupported=tuple(path for path in unknown if not is_descriptive(path)),
            ignored=tuple(path for path in unknown if is_descriptive(path)),
        )

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def is_descriptive(path: str) -> bool:
    """Whether an unknown field may be ignored, by the name of its last part."""
    name = path.rsplit(".", 1)[-1].split("[")[0]
    return name in _DESCRIPTIVE or name.startswith("display")
