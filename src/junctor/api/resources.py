"""The stored MCPConnectors and MCPRegistries as Python objects. A spec that breaks the schema is reported, not raised."""

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

#: Unknown fields with these names only describe a resource, so a version that does not know them may ignore them. Every other unknown
#: field counts as policy. A future descriptive field gets one of these names, or one that begins with "display".
_DESCRIPTIVE = frozenset({"icons", "tags", "category", "documentationURL", "websiteURL", "contact", "owner", "notes", "labels"})


Spec = TypeVar("Spec", bound=ApiModel)


@dataclass(frozen=True, slots=True)
class StoredResource(Generic[Spec]):
    """A resource as the API server stores it.

    created: RFC 3339. raw_spec: the spec as JSON. spec: the parsed spec; None if it breaks the schema. problems: what is wrong with it.
    unsupported: paths of unknown fields that may be policy. ignored: paths of unknown fields that only describe. annotations: those in
    `known_annotations`. secret_refs: every Secret key that the spec references; none if it is invalid.
    """

    kind: ClassVar[str]
    plural: ClassVar[str]
    spec_model: ClassVar[type[ApiModel]]
    known_annotations: ClassVar[frozenset[str]] = frozenset()

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
    secret_refs: tuple[SecretKeyRef, ...] = ()

    @classmethod
    def of(cls, body: KubernetesObjectView) -> Self:
        """Read a stored object. An invalid spec does not raise; `problems` describe it."""
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
            annotations=cls.annotations_of(metadata),
            secret_refs=cls.refs_of(spec) if spec is not None else (),
        )

    @classmethod
    def refs_of(cls, spec: Spec) -> tuple[SecretKeyRef, ...]:
        """Collect every Secret key that a spec of this kind references."""
        raise NotImplementedError

    @classmethod
    def annotations_of(cls, metadata: KubernetesObjectView) -> Mapping[str, str]:
        """Select the annotations that have a meaning for this kind."""
        return {key: value for key, value in (metadata.get("annotations") or {}).items() if key in cls.known_annotations}

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class ConnectorResource(StoredResource[MCPConnectorSpec]):
    """A stored MCPConnector."""

    kind = CONNECTOR_KIND
    plural = CONNECTOR_PLURAL
    spec_model = MCPConnectorSpec

    @classmethod
    def refs_of(cls, spec: MCPConnectorSpec) -> tuple[SecretKeyRef, ...]:
        """Collect every Secret key that the spec references."""
        return spec.secret_refs()


@dataclass(frozen=True, slots=True)
class RegistryResource(StoredResource[MCPRegistrySpec]):
    """A stored MCPRegistry."""

    kind = REGISTRY_KIND
    plural = REGISTRY_PLURAL
    spec_model = MCPRegistrySpec
    known_annotations = frozenset({SYNC_REQUESTED_ANNOTATION, ACCEPT_SHRINK_ANNOTATION})

    @classmethod
    def refs_of(cls, spec: MCPRegistrySpec) -> tuple[SecretKeyRef, ...]:
        """Collect every Secret key that the spec references, each once."""
        return tuple(dict.fromkeys(placed.ref for placed in spec.secret_refs()))


Resource = ConnectorResource | RegistryResource


def is_descriptive(path: str) -> bool:
    """Whether the field at a path such as `spec.icons[0]` may be ignored; only the last name in the path decides."""
    name = path.rsplit(".", 1)[-1].split("[")[0]
    return name in _DESCRIPTIVE or name.startswith("display")
