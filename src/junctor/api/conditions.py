"""Conditions of a resource and every reason that they may carry.

`REASONS` is the list that docs/conditions.md is generated from: a reason that is not in it cannot be written.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

from junctor.api.base import ApiModel

Truth = Literal["True", "False", "Unknown"]


class ConditionType(StrEnum):
    """What a condition speaks about."""

    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    SYNCED = "Synced"
    PROGRAMMED = "Programmed"
    READY = "Ready"
    STALLED = "Stalled"


CONDITION_MEANING: Final[dict[ConditionType, str]] = {
    ConditionType.ACCEPTED: "The resource is valid enough to be published on every gateway that selects it.",
    ConditionType.RESOLVED_REFS: "Every Secret key that it names exists and may be read.",
    ConditionType.SYNCED: "Only an MCPRegistry has it: the last sync read the registry to its end. While it is False, the connectors "
    "of earlier syncs stay.",
    ConditionType.PROGRAMMED: "The published connector map of every selecting gateway holds it at this generation.",
    ConditionType.READY: "Every ready pod of every selecting gateway has acknowledged that it serves this generation.",
    ConditionType.STALLED: "Present (True) only while Accepted is False for good: nothing will change until somebody acts (kstatus).",
}


#: The conditions that a resource always has, in the order in which a reader meets them.
CONNECTOR_CONDITIONS: Final = (ConditionType.ACCEPTED, ConditionType.RESOLVED_REFS, ConditionType.PROGRAMMED, ConditionType.READY)
REGISTRY_CONDITIONS: Final = (
    ConditionType.ACCEPTED, ConditionType.RESOLVED_REFS, ConditionType.SYNCED, ConditionType.PROGRAMMED, ConditionType.READY,
)  # fmt: skip


class Reason(StrEnum):
    """Machine-readable reasons; the text behind each is its documentation."""

    PENDING = "Pending"
    ACCEPTED = "Accepted"
    INVALID = "Invalid"
    INVALID_CA_BUNDLE = "InvalidCABundle"
    INVALID_ID = "InvalidID"
    ID_CONFLICT = "IDConflict"
    ID_NOT_PERMITTED = "IDNotPermitted"
    ID_IMMUTABLE = "IDImmutable"
    UNSUPPORTED_FIELD = "UnsupportedField"
    TOO_LARGE = "TooLarge"
    CREDENTIALS_TOO_LARGE = "CredentialsTooLarge"
    NO_MATCHING_GATEWAY = "NoMatchingGateway"
    NOT_ACCEPTED = "NotAccepted"
    RESOLVED_REFS = "ResolvedRefs"
    SECRET_NOT_FOUND = "SecretNotFound"
    SECRET_KEY_NOT_FOUND = "SecretKeyNotFound"
    SECRET_VALUE_INVALID = "SecretValueInvalid"
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
    UNRESOLVED_REFS = "UnresolvedRefs"
    NO_GATEWAY_PODS = "NoGatewayPods"
    AWAITING_GATEWAYS = "AwaitingGateways"
    GATEWAY_UNREACHABLE = "GatewayUnreachable"
    GATEWAY_REJECTED = "GatewayRejected"


REASONS: Final[dict[Reason, tuple[str, str]]] = {
    # reason: (what it means, what to do)
    Reason.PENDING: ("The operator has not looked at the resource yet.", "Wait; if it stays, look whether the operator runs."),
    Reason.ACCEPTED: ("The resource is valid.", ""),
    Reason.INVALID: (
        "The stored object breaks a rule of the schema, for example because it is older than the rule.",
        "Change the field that the message names.",
    ),
    Reason.INVALID_CA_BUNDLE: ("A caBundle of the resource holds no certificate that can be read.", "Put PEM certificates there."),
    Reason.INVALID_ID: (
        "The id made by the gateway's defaultConnectorID template is not a valid id.",
        "Set spec.connectorID, or create the resource with a shorter name.",
    ),
    Reason.ID_CONFLICT: (
        "Another resource already owns the id: the one that is published, else the older one.",
        "Delete the resource that the message names, and this one heals by itself; or delete this one and create it anew with another id.",
    ),
    Reason.ID_NOT_PERMITTED: (
        "An idPolicies entry of the gateway reserves this id for other namespaces.",
        "Ask the platform team to add the namespace, or delete the resource and create it anew with another id.",
    ),
    Reason.ID_IMMUTABLE: (
        "The resource was changed so that its id on this gateway would change. The gateway keeps serving what was published before.",
        "Restore the id, or create a second resource with the new id and delete this one.",
    ),
    Reason.UNSUPPORTED_FIELD: (
        "The resource has a policy field that this version of the operator does not know, so it cannot be enforced.",
        "Upgrade the operator, or remove the field.",
    ),
    Reason.TOO_LARGE: ("The resource needs more than 64 KiB in the connector map.", "Shorten its lists, headers or CA bundle."),
    Reason.CREDENTIALS_TOO_LARGE: (
        "The credentials of the gateway would exceed the size of a Secret.",
        "Use smaller Secret values, or fewer connectors with large ones on one gateway.",
    ),
    Reason.NO_MATCHING_GATEWAY: (
        "No gateway selects this resource by its labels and the labels of its namespace.",
        "Compare the labels with connectorSelector and namespaceSelector of the gateways.",
    ),
    Reason.NOT_ACCEPTED: ("Accepted is not True; its message says why.", "See Accepted."),
    Reason.RESOLVED_REFS: ("Every reference was found, or there is none.", ""),
    Reason.SECRET_NOT_FOUND: (
        'No Secret of that name carries the label junctor.dev/credentials: "true" in the namespace of the resource.',
        "Create the Secret, or label it.",
    ),
    Reason.SECRET_KEY_NOT_FOUND: ("The Secret has no such key.", "Add the key, or correct secretKeyRef.key."),
    Reason.SECRET_VALUE_INVALID: (
        "The value cannot be sent in an HTTP header: it is empty, not ASCII text, or holds control characters.",
        "Correct the value. A line break at its end is accepted and cut off.",
    ),
    Reason.SYNCED: ("The registry was read to its end.", ""),
    Reason.SYNCING: (
        "The registry is being read for the first time. Its connectors appear when the walk is at its end.",
        "Wait; a large registry takes minutes.",
    ),
    Reason.PARTIAL_SYNC: (
        "Some pages of the registry could not be read. What was read is published, and nothing is removed.",
        "Wait for the next attempt; if it stays, look at the message and at the registry.",
    ),
    Reason.SUSPICIOUS_SHRINK: (
        "More than half, and at least 20, of the servers are gone from the registry since the last sync. They are kept for now.",
        "Repair the registry; or confirm with the annotation junctor.dev/accept-shrink and the digest in the message. Three equal full "
        "walks confirm it as well.",
    ),
    Reason.CONNECTOR_LIMIT_REACHED: (
        "The registry was read, but has more servers than filter.maxConnectors. The message says how many were left out.",
        "Narrow filter.include, or raise filter.maxConnectors.",
    ),
    Reason.NOT_A_REGISTRY: (
        "What answers at spec.url does not speak the MCP Registry API.",
        "Compare spec.url with the registry's documentation: the base address, with or without /v0.1.",
    ),
    Reason.REGISTRY_UNREACHABLE: (
        "No connection to the registry: its name does not resolve, nothing listens, or a firewall is between.",
        "Check spec.url, DNS and network policies between the operator and the registry.",
    ),
    Reason.REGISTRY_UNAUTHORIZED: (
        "The registry refused the request with 401 or 403.",
        "Set or correct spec.auth or spec.headers, and the Secret that they name.",
    ),
    Reason.REGISTRY_TLS_FAILED: (
        "The registry's certificate cannot be verified.",
        "Put the certificate of its authority into spec.tls.caBundle, or renew the registry's certificate.",
    ),
    Reason.REGISTRY_RATE_LIMITED: (
        "The registry answers 429: too many requests. The sync goes on when the registry allows it.",
        "Wait; if it stays, raise spec.sync.intervalSeconds.",
    ),
    Reason.REGISTRY_ERROR: ("The registry answered with an error of its own (5xx), also when asked again.", "Look at the registry."),
    Reason.SYNC_TIMEOUT: (
        "The registry did not answer in time, also when asked again.",
        "Raise spec.sync.timeoutSeconds, lower spec.sync.pageSize, or look at the registry.",
    ),
    Reason.PROGRAMMED: ("The published map holds this generation.", ""),
    Reason.PUBLISHING: ("The map with this generation is being written.", "Wait."),
    Reason.PUBLISH_FAILED: ("The API server refused or did not answer the write; it is tried again.", "See the message."),
    Reason.MAP_OF_ANOTHER_INSTALLATION: (
        "The map's head belongs to another installation of Junctor, which is never overwritten.",
        "Give the gateways different map names, or delete the head if its installation is gone.",
    ),
    Reason.DISABLED: ("spec.state is Disabled: no gateway pod serves it.", "Set spec.state to Enabled to use it."),
    Reason.READY: ("Every ready gateway pod serves this generation.", ""),
    Reason.NOT_PROGRAMMED: ("Programmed is not True; its message says why.", "See Programmed."),
    Reason.UNRESOLVED_REFS: (
        "A reference is not resolved: gateways list the connector as unavailable, and a registry is not read.",
        "See ResolvedRefs.",
    ),
    Reason.NO_GATEWAY_PODS: ("The gateway has no ready pod, so nobody serves anything.", "Look at the gateway's Deployment."),
    Reason.AWAITING_GATEWAYS: ("Some ready pods have not acknowledged this generation yet.", "Wait."),
    Reason.GATEWAY_UNREACHABLE: (
        "Some ready pods do not answer the operator. They read the map by themselves every 10 seconds, but nobody can confirm it.",
        "Look at the pods that the message names, and at network policies between operator and gateways.",
    ),
    Reason.GATEWAY_REJECTED: (
        "Some ready pods refused the published map or this connector, and keep what they served before.",
        "See the message; a gateway older than the operator may need an upgrade.",
    ),
}


class SkipReason(StrEnum):
    """Why a server of a registry did not become a connector, in `status.skipped` of an MCPRegistry."""

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


SKIP_REASONS: Final[dict[SkipReason, tuple[str, str]]] = {
    # reason: (what it means, what to do)
    SkipReason.NO_REMOTE: (
        "The server has no address to call, only packages to install. Junctor never runs packages.",
        "Run the server yourself and declare an MCPConnector for it.",
    ),
    SkipReason.INVALID_RECORD: (
        "The registry's record of the server breaks the schema of server.json, or is larger than Junctor reads.",
        "Have its publisher correct it.",
    ),
    SkipReason.DUPLICATE_NAME: (
        "Another record has the same name and version. The first one is used.",
        "Have the registry remove one of them.",
    ),
    SkipReason.CONFIGURATION_REQUIRED: (
        "The server requires headers or variables for which neither its record nor spec.credentials has a value.",
        "Add an entry to spec.credentials for this server and its host.",
    ),
    SkipReason.HOST_NOT_ALLOWED: (
        "spec.credentials has an entry for the server's name, but none for the host to which it points. Its publisher may have moved it.",
        "If you trust the new host, add it to hosts of the entry.",
    ),
    SkipReason.INSECURE_URL: ("The server's address is http, not https.", "If that is meant, set spec.allowInsecureURLs."),
    SkipReason.PRIVATE_ADDRESS: (
        "The server's address is a loopback, link-local, metadata or private one.",
        "If you trust the publishers of the registry, set spec.allowPrivateAddresses.",
    ),
    SkipReason.UNSUPPORTED_TRANSPORT: (
        "The server has addresses, but none with a transport that Junctor speaks and filter.transports lets pass.",
        "Compare filter.transports with the server's record.",
    ),
    SkipReason.FILTERED: ("spec.filter leaves the server out: include, exclude, search or statuses.", ""),
    SkipReason.DELETED: ("The registry says that the server was deleted.", ""),
    SkipReason.TOO_LARGE: (
        "The server would need more than 64 KiB in the connector map.",
        "Have its publisher shorten the record, or shorten the lists of spec.connectorTemplate.",
    ),
    SkipReason.LIMIT_REACHED: (
        "More servers pass the filter than filter.maxConnectors. The first ones in the order of their names are connectors.",
        "Narrow filter.include, or raise filter.maxConnectors.",
    ),
}


class Condition(ApiModel):
    """One observation about a resource (the Kubernetes API conventions' shape)."""

    type: str
    status: Truth
    reason: str
    message: str
    last_transition_time: str
    observed_generation: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict before it is written: like a condition, without time and generation."""

    status: Truth
    reason: Reason
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether the status is True."""
        return self.status == "True"


def pending_conditions(kinds: Iterable[ConditionType] = CONNECTOR_CONDITIONS) -> list[dict[str, Any]]:
    """The conditions that the API server shows before the operator has looked (CRD default of `status`)."""
    return [
        {
            "type": str(kind),
            "status": "Unknown",
            "reason": str(Reason.PENDING),
            "message": "waiting for the operator",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }
        for kind in kinds
    ]
