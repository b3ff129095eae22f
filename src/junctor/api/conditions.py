"""Conditions of a resource and the names of all reasons; `api.reasons` says what each of them means."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import Field

from junctor.api.base import ApiModel
from junctor.connectormap.entry import UNRESOLVED_REFS as _UNRESOLVED_REFS
from junctor.net.formats import KubernetesObject, KubernetesObjectView

Truth = Literal["True", "False", "Unknown"]


class ConditionType(StrEnum):
    """The types of conditions."""

    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    SYNCED = "Synced"
    PROGRAMMED = "Programmed"
    READY = "Ready"
    STALLED = "Stalled"


#: The conditions that a resource always has, in the order in which statuses list them.
CONNECTOR_CONDITIONS: Final = (ConditionType.ACCEPTED, ConditionType.RESOLVED_REFS, ConditionType.PROGRAMMED, ConditionType.READY)
REGISTRY_CONDITIONS: Final = (
    ConditionType.ACCEPTED, ConditionType.RESOLVED_REFS, ConditionType.SYNCED, ConditionType.PROGRAMMED, ConditionType.READY,
)  # fmt: skip


class Reason(StrEnum):
    """Machine-readable reasons of conditions."""

    PENDING = "Pending"
    ACCEPTED = "Accepted"
    INVALID = "Invalid"
    INVALID_CA_BUNDLE = "InvalidCABundle"
    INVALID_ID = "InvalidID"
    ID_CONFLICT = "IDConflict"
    ID_NOT_PERMITTED = "IDNotPermitted"
    ID_QUARANTINED = "IDQuarantined"
    ID_IMMUTABLE = "IDImmutable"
    UNSUPPORTED_FIELD = "UnsupportedField"
    TOO_LARGE = "TooLarge"
    CREDENTIALS_TOO_LARGE = "CredentialsTooLarge"
    LIMIT_EXCEEDED = "LimitExceeded"
    NO_MATCHING_GATEWAY = "NoMatchingGateway"
    NOT_ACCEPTED = "NotAccepted"
    PUBLIC_SUFFIX = "PublicSuffix"
    ADDRESS_NOT_ALLOWED = "AddressNotAllowed"
    RESOLVED_REFS = "ResolvedRefs"
    SECRET_NOT_FOUND = "SecretNotFound"
    SECRET_KEY_NOT_FOUND = "SecretKeyNotFound"
    SECRET_VALUE_INVALID = "SecretValueInvalid"
    HOST_NOT_ALLOWED = "HostNotAllowed"
    SYNCED = "Synced"
    SYNCING = "Syncing"
    PARTIAL_SYNC = "PartialSync"
    SUSPICIOUS_SHRINK = "SuspiciousShrink"
    CONNECTOR_LIMIT_REACHED = "ConnectorLimitReached"
    NOT_A_REGISTRY = "NotARegistry"
    REGISTRY_UNREACHABLE = "RegistryUnreachable"
    REGISTRY_UNAUTHORIZED = "RegistryUnauthorized"
    REGISTRY_TLS_FAILED = "RegistryTLSFailed"
    REGISTRY_RATE_LIMITED = "RegistryRateLimited"
    REGISTRY_ERROR = "RegistryError"
    SYNC_TIMEOUT = "SyncTimeout"
    PROGRAMMED = "Programmed"
    PUBLISHING = "Publishing"
    PUBLISH_FAILED = "PublishFailed"
    MAP_OF_ANOTHER_INSTALLATION = "MapOfAnotherInstallation"
    DISABLED = "Disabled"
    READY = "Ready"
    NOT_PROGRAMMED = "NotProgrammed"
    UNRESOLVED_REFS = _UNRESOLVED_REFS
    NO_GATEWAY_PODS = "NoGatewayPods"
    AWAITING_GATEWAYS = "AwaitingGateways"
    GATEWAY_UNREACHABLE = "GatewayUnreachable"
    GATEWAY_REJECTED = "GatewayRejected"


class SkipReason(StrEnum):
    """Why a server of a registry did not become a connector: `status.skipped` of an MCPRegistry."""

    NO_REMOTE = "NoRemote"
    INVALID_RECORD = "InvalidRecord"
    DUPLICATE_NAME = "DuplicateName"
    CONFIGURATION_REQUIRED = "ConfigurationRequired"
    HOST_NOT_ALLOWED = "HostNotAllowed"
    INSECURE_URL = "InsecureURL"
    PRIVATE_ADDRESS = "PrivateAddress"
    UNSUPPORTED_TRANSPORT = "UnsupportedTransport"
    FILTERED = "Filtered"
    DELETED = "Deleted"
    TOO_LARGE = "TooLarge"
    LIMIT_REACHED = "LimitReached"


_TYPE_PATTERN: Final = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"


class Condition(ApiModel):
    """One observation about the resource."""

    type: Annotated[
        str,
        Field(max_length=316, pattern=_TYPE_PATTERN, description=f"Type of the condition: {', '.join(ConditionType)}."),
    ]
    status: Annotated[Truth, Field(description="True, False or Unknown.")]
    reason: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1024,
            pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
            description="Machine-readable reason for the status; docs/conditions.md lists every reason and its remedy.",
        ),
    ]
    message: Annotated[str, Field(max_length=32768, description="Human-readable explanation of the status.")]
    observed_generation: Annotated[int | None, Field(ge=0, description="The metadata.generation that the condition describes.")] = None
    last_transition_time: Annotated[str, Field(description="When the status last changed.", json_schema_extra={"format": "date-time"})]


class StoredCondition(NamedTuple):
    """A condition in a status as somebody wrote it. An absent one is Unknown, without reason, message and time."""

    status: Truth = "Unknown"
    reason: str = ""
    message: str = ""
    observed_generation: int | None = None
    last_transition_time: str = ""

    @property
    def is_true(self) -> bool:
        """Whether the status is True."""
        return self.status == "True"


class Conditions:
    """Looks up the conditions of a stored status by type: `Conditions(status)[ConditionType.READY].is_true`."""

    def __init__(self, status: KubernetesObjectView) -> None:
        self._stored = {item.get("type"): item for item in status.get("conditions") or () if isinstance(item, Mapping)}

    def __getitem__(self, kind: str) -> StoredCondition:
        item = self._stored.get(kind)
        if item is None:
            return StoredCondition()
        return StoredCondition(
            item.get("status", "Unknown"),
            item.get("reason", ""),
            item.get("message", ""),
            item.get("observedGeneration"),
            item.get("lastTransitionTime", ""),
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found out: a condition before it is written, without time and generation."""

    status: Truth
    reason: Reason
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether the status is True."""
        return self.status == "True"


def pending_conditions(kinds: Iterable[ConditionType] = CONNECTOR_CONDITIONS) -> list[KubernetesObject]:
    """The conditions that the API server shows before the operator has processed a resource: the CRD's default of `status`."""
    return [
        Condition(
            type=kind,
            status="Unknown",
            reason=Reason.PENDING,
            message="waiting for the operator",
            last_transition_time="1970-01-01T00:00:00Z",
        ).to_json()
        for kind in kinds
    ]
