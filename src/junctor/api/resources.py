"""Stored Kubernetes objects as the planner sees them: parsed once, leniently, with what is wrong kept beside what is right."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Self, TypeVar, cast

from pydantic import ValidationError

from junctor.api.base import ApiModel
from junctor.api.connector import MCPConnectorSpec
from junctor.api.endpoint import SecretKeyRef
from junctor.api.names import (
    ACCEPT_SHRINK_ANNOTATION,
    CONNECTOR_KIND,
    CONNECTOR_PLURAL,
    REGISTRY_KIND,
    REGISTRY_PLURAL,
    SYNC_REQUESTED_ANNOTATION,
)
from junctor.api.registry import MCPRegistrySpec
from junctor.net.faults import problems_of
from junctor.net.formats import KubernetesObjectView

#: Names of fields that may be ignored by a version that does not know them: they only describe. Every other unknown field is policy.
#: A new descriptive field takes one of these names, or begins with "display".
_DESCRIPTIVE = frozenset({"icons", "tags", "category", "documentationURL", "websiteURL", "contact", "owner", "notes", "labels"})


Spec = TypeVar("Spec", bound=ApiModel)


@dataclass(frozen=True, slots=True)
class StoredResource(Generic[Spec]):
    """A resource as it is stored.

    spec: None when the stored spec breaks the schema; `problems` then say what is wrong. unsupported / ignored: unknown fields that
    are policy, or only describe. annotations: those that this kind listens to, no others.
    """

    kind: ClassVar[str]
    plural: ClassVar[str]
    spec_model: ClassVar[type[ApiModel]]
    heeded_annotations: ClassVar[frozenset[str]] = frozenset()

    namespace: str
    name: str
    uid: str
    generation: int
    created: str
    labels: Mapping[str, str] = field(repr=False)
    raw_spec: KubernetesObjectView = field(repr=False)
    spec: Spec | None = field(repr=False)
    problems: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, body: KubernetesObjectView) -> Self:
        """Read a stored object. Never raises for the spec's content."""
        metadata = body["metadata"]
        raw = body.get("spec")
        raw_spec: KubernetesObjectView = raw if isinstance(raw, Mapping) else {}
        problems: tuple[str, ...] = ()
        spec: Spec | None = None
        unknown: list[str] = []
        try:
            spec = cast(Spec, cls.spec_model.model_validate(raw_spec))
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
            annotations=cls.heeded(metadata),
        )

    @classmethod
    def heeded(cls, metadata: KubernetesObjectView) -> Mapping[str, str]:
        """The annotations that this kind listens to."""
        return {key: value for key, value in (metadata.get("annotations") or {}).items() if key in cls.heeded_annotations}

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class ConnectorResource(StoredResource[MCPConnectorSpec]):
    """An MCPConnector as it is stored."""

    kind = CONNECTOR_KIND
    plural = CONNECTOR_PLURAL
    spec_model = MCPConnectorSpec

    def secret_refs(self) -> tuple[SecretKeyRef, ...]:
        """Every Secret key that it names."""
        return self.spec.secret_refs() if self.spec else ()


@dataclass(frozen=True, slots=True)
class RegistryResource(StoredResource[MCPRegistrySpec]):
    """An MCPRegistry as it is stored."""

    kind = REGISTRY_KIND
    plural = REGISTRY_PLURAL
    spec_model = MCPRegistrySpec
    heeded_annotations = frozenset({SYNC_REQUESTED_ANNOTATION, ACCEPT_SHRINK_ANNOTATION})

    def secret_refs(self) -> tuple[SecretKeyRef, ...]:
        """Every Secret key that it names, each once."""
        return tuple(dict.fromkeys(placed.ref for placed in self.spec.secret_refs())) if self.spec else ()


Resource = ConnectorResource | RegistryResource


def is_descriptive(path: str) -> bool:
    """Whether an unknown field may be ignored, by the name of its last part."""
    name = path.rsplit(".", 1)[-1].split("[")[0]
    return name in _DESCRIPTIVE or name.startswith("display")
