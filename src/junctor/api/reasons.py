"""What every condition, reason and skip reason means and what to do about it: the one table behind docs/conditions.md.

Everything else about a reason derives from here: which conditions carry it, and which reasons stall a resource.
"""

from dataclasses import dataclass
from typing import Final

from junctor.api.conditions import ConditionType, Reason, SkipReason

CONDITION_MEANING: Final[dict[ConditionType, str]] = {
    ConditionType.ACCEPTED: "The resource is valid, and every gateway that selects it may publish it.",
    ConditionType.RESOLVED_REFS: "Every Secret key that the resource references exists and may be read.",
    ConditionType.SYNCED: "The last sync read the whole registry. While it is False, the connectors of earlier syncs stay. Only an "
    "MCPRegistry has this condition.",
    ConditionType.PROGRAMMED: "The published connector map of every selecting gateway contains this generation of the resource.",
    ConditionType.READY: "Every ready pod of every selecting gateway has acknowledged that it serves this generation.",
    ConditionType.STALLED: "Present (True) only while Accepted is False for a reason that does not go away until somebody acts (kstatus).",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a reason means and what to do about it; remedy: "" if nothing needs to be done."""

    meaning: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class ReasonDoc(Explanation):
    """A reason of conditions. conditions: those that carry it. permanent: only a person can change it, so the resource is Stalled."""

    conditions: tuple[ConditionType, ...] = ()
    permanent: bool = False


_ACCEPTED: Final = (ConditionType.ACCEPTED,)
_RESOLVED_REFS: Final = (ConditionType.RESOLVED_REFS,)
_SYNCED: Final = (ConditionType.SYNCED,)
_PROGRAMMED: Final = (ConditionType.PROGRAMMED,)
_READY: Final = (ConditionType.READY,)
_ALL_BUT_ACCEPTED: Final = (*_RESOLVED_REFS, *_SYNCED, *_PROGRAMMED, *_READY)

#: In the order in which docs/conditions.md lists the reasons of each condition.
REASONS: Final[dict[Reason, ReasonDoc]] = {
    Reason.PENDING: ReasonDoc(
        "The operator has not processed the resource yet.",
        "Wait; if it stays, check that the operator runs.",
        (*_ACCEPTED, *_ALL_BUT_ACCEPTED),
    ),
    Reason.ACCEPTED: ReasonDoc("The resource is valid.", conditions=_ACCEPTED),
    Reason.NO_MATCHING_GATEWAY: ReasonDoc(
        "No gateway selects this resource by its labels and the labels of its namespace.",
        "Compare the labels with connectorSelector and namespaceSelector of the gateways.",
        _ACCEPTED,
    ),
    Reason.INVALID: ReasonDoc(
        "The stored object breaks a rule of the schema, for example because it is older than the rule.",
        "Change the field that the message names.",
        _ACCEPTED,
        permanent=True,
    ),
    Reason.INVALID_CA_BUNDLE: ReasonDoc(
        "A caBundle of the resource contains no readable certificate.",
        "Set it to PEM certificates.",
        _ACCEPTED,
        permanent=True,
    ),
    Reason.INVALID_ID: ReasonDoc(
        "The id made by the gateway's defaultConnectorID template is not a valid id.",
        "Set spec.connectorID, or create the resource with a shorter name.",
        _ACCEPTED,
        permanent=True,
    ),
    Reason.ID_CONFLICT: ReasonDoc(
        "Another resource owns the id: the one that is already published, or else the older one.",
        "Delete the resource that the message names, and this one takes over the id; or delete this one and recreate it with another id.",
        _ACCEPTED,
    ),
    Reason.ID_NOT_PERMITTED: ReasonDoc(
        "An idPolicies entry of the gateway reserves this id for other namespaces.",
        "Ask the platform team to add the namespace, or delete the resource and recreate it with another id.",
        _ACCEPTED,
        permanent=True,
    ),
    Reason.ID_QUARANTINED: ReasonDoc(
        "A resource of another namespace had the id. For idQuarantineSeconds of the gateway (600) only that namespace may take it again.",
        "Wait until the time in the message; or recreate the resource with another id; or ask the platform team to give the id to this "
        "namespace in idPolicies.",
        _ACCEPTED,
    ),
    Reason.ID_IMMUTABLE: ReasonDoc(
        "A change of the resource would change its id on this gateway. The gateway keeps serving what was published before.",
        "Restore the id, or create a second resource with the new id and delete this one.",
        _ACCEPTED,
        permanent=True,
    ),
    Reason.UNSUPPORTED_FIELD: ReasonDoc(
        "The resource has a policy field that this version of the operator does not know and so cannot enforce.",
        "Upgrade the operator, or remove the field.",
        _ACCEPTED,
        permanent=True,
    ),
    Reason.TOO_LARGE: ReasonDoc(
        "The resource needs more than 64 KiB in the connector map.",
        "Shorten its lists, headers or CA bundle.",
        _ACCEPTED,
        permanent=True,
    ),
    Reason.CREDENTIALS_TOO_LARGE: ReasonDoc(
        "The credentials of the gateway would exceed the size of a Secret.",
        "Use smaller Secret values, or fewer connectors with large ones on one gateway.",
        _ACCEPTED,
    ),
    Reason.PUBLIC_SUFFIX: ReasonDoc(
        "A host pattern of credentials matches hosts of many owners, such as `*.github.io`, where anybody may have one.",
        "Name the hosts, or a pattern below your own name: `*.example.github.io`.",
        _ACCEPTED,
        permanent=True,
    ),
    Reason.ADDRESS_NOT_ALLOWED: ReasonDoc(
        "The address of spec.url is link-local or of a cloud's metadata service, or the networkPolicy of the operator does not allow it.",
        "Change spec.url, or ask the platform team to allow the address; the operator's log names it.",
        (*_ACCEPTED, *_SYNCED),
        permanent=True,
    ),
    Reason.LIMIT_EXCEEDED: ReasonDoc(
        "The map of the gateway, or a namespace's part of it, would exceed one of the gateway's limits. What is published stays.",
        "Delete connectors that are not needed, or ask the platform team to raise the limit that the message names.",
        (*_ACCEPTED, *_SYNCED),
    ),
    Reason.RESOLVED_REFS: ReasonDoc("Every reference is resolved, or there is none.", conditions=_RESOLVED_REFS),
    Reason.SECRET_NOT_FOUND: ReasonDoc(
        'No Secret of that name in the namespace of the resource has the label junctor.dev/credentials: "true".',
        "Create the Secret, or label it.",
        _RESOLVED_REFS,
    ),
    Reason.SECRET_KEY_NOT_FOUND: ReasonDoc("The Secret has no such key.", "Add the key, or correct secretKeyRef.key.", _RESOLVED_REFS),
    Reason.SECRET_VALUE_INVALID: ReasonDoc(
        "The value cannot be sent in an HTTP header: it is empty, not ASCII text, or contains control characters.",
        "Correct the value. A line break at its end is removed automatically.",
        _RESOLVED_REFS,
    ),
    Reason.HOST_NOT_ALLOWED: ReasonDoc(
        "The annotation junctor.dev/credential-hosts of the Secret does not name every host that would get its values.",
        "Correct spec.url or hosts, or ask the owner of the Secret to add the host to the annotation.",
        _RESOLVED_REFS,
    ),
    Reason.SYNCING: ReasonDoc(
        "The registry is being read for the first time. Its connectors appear once the sync completes.",
        "Wait; a large registry takes minutes.",
        (*_SYNCED, *_PROGRAMMED),
    ),
    Reason.SYNCED: ReasonDoc("The whole registry was read.", conditions=_SYNCED),
    Reason.CONNECTOR_LIMIT_REACHED: ReasonDoc(
        "The whole registry was read, but it has more servers than filter.maxConnectors. The message says how many were left out.",
        "Narrow filter.include, or raise filter.maxConnectors.",
        _SYNCED,
    ),
    Reason.PARTIAL_SYNC: ReasonDoc(
        "Some pages of the registry could not be read. What was read is published, and nothing is removed.",
        "Wait for the next attempt; if it stays, check the message and the registry.",
        _SYNCED,
    ),
    Reason.SUSPICIOUS_SHRINK: ReasonDoc(
        "More than half, and at least 20, of the servers disappeared from the registry since the last sync. Their connectors are kept.",
        "Repair the registry; or confirm the loss by setting the annotation junctor.dev/accept-shrink to the digest in the message. Three "
        "full syncs with the same result confirm it as well.",
        _SYNCED,
    ),
    Reason.NOT_A_REGISTRY: ReasonDoc(
        "The server at spec.url does not implement the MCP Registry API.",
        "Compare spec.url with the registry's documentation: the base address, with or without /v0.1.",
        _SYNCED,
    ),
    Reason.REGISTRY_UNREACHABLE: ReasonDoc(
        "No connection to the registry: its name does not resolve, nothing listens, or a firewall is in between.",
        "Check spec.url, DNS and network policies between the operator and the registry.",
        _SYNCED,
    ),
    Reason.REGISTRY_UNAUTHORIZED: ReasonDoc(
        "The registry refused the request with 401 or 403.",
        "Set or correct spec.auth or spec.headers, and the Secret that they reference.",
        _SYNCED,
    ),
    Reason.REGISTRY_TLS_FAILED: ReasonDoc(
        "The registry's certificate cannot be verified.",
        "Add the certificate of its authority to spec.tls.caBundle, or renew the registry's certificate.",
        _SYNCED,
    ),
    Reason.REGISTRY_RATE_LIMITED: ReasonDoc(
        "The registry answers 429: too many requests. The sync continues when the registry allows it.",
        "Wait; if it stays, raise spec.sync.intervalSeconds.",
        _SYNCED,
    ),
    Reason.REGISTRY_ERROR: ReasonDoc(
        "The registry answered with an error of its own (5xx), also when the request was retried.", "Check the registry.", _SYNCED
    ),
    Reason.SYNC_TIMEOUT: ReasonDoc(
        "The registry did not answer in time, also when the request was retried.",
        "Raise spec.sync.timeoutSeconds, lower spec.sync.pageSize, or check the registry.",
        _SYNCED,
    ),
    Reason.PROGRAMMED: ReasonDoc("The published map contains this generation.", conditions=_PROGRAMMED),
    Reason.PUBLISHING: ReasonDoc("The map with this generation is being written.", "Wait.", _PROGRAMMED),
    Reason.PUBLISH_FAILED: ReasonDoc(
        "The API server refused the write or did not answer; the operator retries.", "See the message.", _PROGRAMMED
    ),
    Reason.MAP_OF_ANOTHER_INSTALLATION: ReasonDoc(
        "The map's head belongs to another installation of Junctor, which is never overwritten.",
        "Give the gateways different map names, or delete the head if its installation no longer exists.",
        _PROGRAMMED,
    ),
    Reason.READY: ReasonDoc("Every ready gateway pod serves this generation.", conditions=_READY),
    Reason.AWAITING_GATEWAYS: ReasonDoc("Some ready pods have not acknowledged this generation yet.", "Wait.", _READY),
    Reason.NO_GATEWAY_PODS: ReasonDoc("The gateway has no ready pod, so nothing is served.", "Check the gateway's Deployment.", _READY),
    Reason.GATEWAY_UNREACHABLE: ReasonDoc(
        "Some ready pods do not answer the operator. They read the map on their own every 10 seconds, but the operator cannot confirm it.",
        "Check the pods that the message names, and network policies between operator and gateways.",
        _READY,
    ),
    Reason.GATEWAY_REJECTED: ReasonDoc(
        "Some ready pods rejected the published map or this connector, and keep what they served before.",
        "See the message; a gateway older than the operator may need an upgrade.",
        _READY,
    ),
    Reason.UNRESOLVED_REFS: ReasonDoc(
        "A reference is not resolved: gateways list the connector as unavailable, and a registry is not read.",
        "See ResolvedRefs.",
        (*_SYNCED, *_READY),
    ),
    Reason.DISABLED: ReasonDoc(
        "spec.state is Disabled: no gateway pod serves the resource.", "Set spec.state to Enabled to use it.", _ALL_BUT_ACCEPTED
    ),
    Reason.NOT_PROGRAMMED: ReasonDoc("Programmed is not True; its message says why.", "See Programmed.", _READY),
    Reason.NOT_ACCEPTED: ReasonDoc("Accepted is not True; its message says why.", "See Accepted.", _ALL_BUT_ACCEPTED),
}

#: Reasons of Accepted=False that only a person can change. Stalled carries them.
PERMANENT: Final = frozenset(reason for reason, doc in REASONS.items() if doc.permanent)


def reasons_of(condition: ConditionType) -> tuple[Reason, ...]:
    """The reasons that a condition may carry."""
    if condition is ConditionType.STALLED:
        return tuple(reason for reason in REASONS if reason in PERMANENT)
    return tuple(reason for reason, doc in REASONS.items() if condition in doc.conditions)


SKIP_REASONS: Final[dict[SkipReason, Explanation]] = {
    SkipReason.NO_REMOTE: Explanation(
        "The server has no address to call, only packages to install. Junctor never runs packages.",
        "Run the server yourself and declare an MCPConnector for it.",
    ),
    SkipReason.INVALID_RECORD: Explanation(
        "The registry's record of the server breaks the schema of server.json, or is larger than Junctor reads.",
        "Ask its publisher to correct it.",
    ),
    SkipReason.DUPLICATE_NAME: Explanation(
        "Another record has the same name and version. The first one is used.",
        "Ask the registry to remove one of them.",
    ),
    SkipReason.CONFIGURATION_REQUIRED: Explanation(
        "The server requires headers or variables for which neither its record nor spec.credentials has a value.",
        "Add an entry to spec.credentials for this server and its host.",
    ),
    SkipReason.HOST_NOT_ALLOWED: Explanation(
        "spec.credentials has an entry for the server's name, but none for the host of its address. Its publisher may have moved it.",
        "If you trust the new host, add it to hosts of the entry.",
    ),
    SkipReason.INSECURE_URL: Explanation("The server's address is http, not https.", "If that is intended, set spec.allowInsecureURLs."),
    SkipReason.PRIVATE_ADDRESS: Explanation(
        "The server's address is a loopback, link-local, metadata or private address.",
        "If you trust the publishers of the registry, set spec.allowPrivateAddresses.",
    ),
    SkipReason.UNSUPPORTED_TRANSPORT: Explanation(
        "None of the server's addresses has a transport that Junctor supports and filter.transports allows.",
        "Compare filter.transports with the server's record.",
    ),
    SkipReason.FILTERED: Explanation("spec.filter excludes the server by include, exclude, search or statuses."),
    SkipReason.DELETED: Explanation("The registry marks the server as deleted."),
    SkipReason.TOO_LARGE: Explanation(
        "The server would need more than 64 KiB in the connector map.",
        "Ask its publisher to shorten the record, or shorten the lists of spec.connectorTemplate.",
    ),
    SkipReason.LIMIT_REACHED: Explanation(
        "More servers pass the filter than filter.maxConnectors. The first ones ordered by name become connectors.",
        "Narrow filter.include, or raise filter.maxConnectors.",
    ),
}
