"""What the loop reads of each Kubernetes object: our resources, credential Secrets, namespaces and gateway pods."""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Self, TypeVar

from junctor.api.conditions import Conditions, ConditionType
from junctor.api.names import CREDENTIAL_HOSTS_ANNOTATION, CREDENTIALS_LABEL, CREDENTIALS_READABLE, GATEWAY_LABEL
from junctor.api.resources import ConnectorResource, RegistryResource
from junctor.connectormap.credentials import credential_version, reference_hash
from junctor.net.formats import KubernetesObjectView
from junctor.planning.inputs import CredentialVersion
from junctor.planning.secret_hosts import bound_hosts
from junctor.reconcile.ports import Pod

AnyResource = TypeVar("AnyResource", ConnectorResource, RegistryResource)


@dataclass(frozen=True, slots=True)
class Tracked(Generic[AnyResource]):
    """A resource and its status. The status is no part of equality: the maps do not depend on it.

    unresolved_since: when the status first said ResolvedRefs=False; None if it does not.
    """

    resource: AnyResource
    status: KubernetesObjectView = field(compare=False)
    unresolved_since: datetime | None = field(compare=False)

    @classmethod
    def of(cls, resource: AnyResource, status: KubernetesObjectView) -> Self:
        """Read from the status what a plan needs."""
        condition = Conditions(status)[ConditionType.RESOLVED_REFS]
        return cls(resource, status, _moment(condition.last_transition_time) if condition.status == "False" else None)


@dataclass(frozen=True, slots=True)
class CredentialSecret:
    """A labelled Secret of users. versions, values: by key. credentials: the values by `<refhash>.<version>`, as a map names them."""

    namespace: str
    name: str
    versions: Mapping[str, CredentialVersion]
    values: Mapping[str, bytes] = field(repr=False)
    credentials: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class NamespaceLabels:
    """A namespace and its labels."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GatewayPod:
    """A ready pod and the gateway that its label names."""

    gateway: str
    namespace: str
    pod: Pod


def resource_reader(kind: type[AnyResource]) -> Callable[[KubernetesObjectView, Tracked[AnyResource] | None], Tracked[AnyResource] | None]:
    """The reader of one kind of ours. An object whose specification is the same keeps its resource; one being deleted is not read."""

    def read(body: KubernetesObjectView, before: Tracked[AnyResource] | None) -> Tracked[AnyResource] | None:
        metadata = body["metadata"]
        if metadata.get("deletionTimestamp"):
            return None
        status = body.get("status") or {}
        if before is not None:
            known = before.resource
            same = known.generation == metadata.get("generation", 1) and known.labels == (metadata.get("labels") or {})
            # A changed CRD shows other fields of an object whose generation is the same.
            if same and known.raw_spec == (body.get("spec") or {}) and known.annotations == kind.annotations_of(metadata):
                return before if before.status == status else Tracked.of(known, status)
        return Tracked.of(kind.of(body), status)

    return read


def _moment(timestamp: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(timestamp)
    except (ValueError, TypeError):
        return None
    return moment if moment.tzinfo else None


def secret_reader(installation_key: bytes) -> Callable[[KubernetesObjectView, CredentialSecret | None], CredentialSecret | None]:
    """The reader of labelled Secrets; others, and those being deleted, are not read. installation_key: of credential versions."""

    def read(body: KubernetesObjectView, before: CredentialSecret | None) -> CredentialSecret | None:
        metadata = body["metadata"]
        if (metadata.get("labels") or {}).get(CREDENTIALS_LABEL) != CREDENTIALS_READABLE or metadata.get("deletionTimestamp"):
            return None
        namespace, name = metadata["namespace"], metadata["name"]
        values: dict[str, bytes] = {}
        for key, text in (body.get("data") or {}).items():
            try:
                values[key] = base64.b64decode(text).rstrip(b"\r\n")
            except (binascii.Error, TypeError, ValueError):
                continue
        hosts = bound_hosts((metadata.get("annotations") or {}).get(CREDENTIAL_HOSTS_ANNOTATION))
        versions = {
            key: CredentialVersion(credential_version(installation_key, value), len(value), _header_problem(value), hosts)
            for key, value in values.items()
        }
        credentials = {f"{reference_hash(namespace, name, key)}.{versions[key].version}": value for key, value in values.items()}
        return CredentialSecret(namespace, name, versions, values, credentials)

    return read


def _header_problem(value: bytes) -> str:
    """Why a value cannot be sent in an HTTP header, or nothing. RFC 9110 section 5.5: new fields are limited to US-ASCII."""
    if not value:
        return "is empty"
    if not value.isascii():
        return "is not ASCII text"
    if any((byte < 32 and byte != 9) or byte == 127 for byte in value):
        return "holds line breaks or other control characters"
    return ""


def read_namespace(body: KubernetesObjectView, before: NamespaceLabels | None) -> NamespaceLabels | None:
    """Read a namespace."""
    return NamespaceLabels(body["metadata"]["name"], body["metadata"].get("labels") or {})


def read_pod(body: KubernetesObjectView, before: GatewayPod | None) -> GatewayPod | None:
    """Read a ready pod with the label of a gateway; others, and those being deleted, are not read."""
    metadata, status = body["metadata"], body.get("status") or {}
    ready = Conditions(status)["Ready"]
    if metadata.get("deletionTimestamp") or not ready.is_true or not status.get("podIP"):
        return None
    restarts = ",".join(str(c.get("containerID", "")) + str(c.get("restartCount", 0)) for c in status.get("containerStatuses") or ())
    incarnation = f"{status['podIP']} {ready.last_transition_time} {restarts}"
    gateway = (metadata.get("labels") or {}).get(GATEWAY_LABEL, "")
    return GatewayPod(gateway, metadata.get("namespace", ""), Pod(metadata["uid"], metadata["name"], status["podIP"], incarnation))
