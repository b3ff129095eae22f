"""Limit: the entries and credentials of a map have a maximum size; what exceeds it is refused."""

from collections.abc import Mapping
from typing import Final

from junctor.api.conditions import Reason
from junctor.connectormap.credentials import CREDENTIAL_OBJECTS, CREDENTIALS_LIMIT, credential_object, reference_hash
from junctor.connectormap.entry import ENTRY_LIMIT
from junctor.planning.acceptance import Verdict
from junctor.planning.inputs import Inputs, Published

#: Size of a credential's key and of the JSON around it, added to that of its value.
_KEY_BYTES: Final = 40


def limit_entry(verdict: Verdict) -> Verdict:
    """Refuse a resource whose entry is too large."""
    entry = verdict.entry
    if entry is None or entry.size <= ENTRY_LIMIT:
        return verdict
    message = f"needs {entry.size // 1024} KiB in the map, at most {ENTRY_LIMIT // 1024}; shorten lists, headers or caBundle"
    return verdict.without_entry(Reason.TOO_LARGE, message)


def limit_credentials(verdicts: Mapping[str, Verdict], inputs: Inputs, published: Published, gateway: str) -> dict[str, Verdict]:
    """Refuse resources whose credentials do not fit into the credential Secrets: published and older resources come first.

    Args:
        verdicts: Those on the resources that own their ids, by uid.
        inputs: Where the sizes of Secret values come from.
        published: The present map; resources in it come first.
        gateway: Name of the gateway, for messages.

    Returns:
        New verdicts on the refused resources, by uid.
    """
    if sum(version.size + _KEY_BYTES for keys in inputs.secrets.values() for version in keys.values()) <= CREDENTIALS_LIMIT:
        return {}
    sizes = _credential_sizes(inputs)
    filled = [0] * CREDENTIAL_OBJECTS
    placed: set[str] = set()
    refusals: dict[str, Verdict] = {}

    def rank(item: tuple[str, Verdict]) -> tuple[bool, str, str]:
        uid, verdict = item
        incumbent = published.origins.get(verdict.id)
        return incumbent is None or incumbent.uid != uid, verdict.resource.created, uid

    for uid, verdict in sorted(verdicts.items(), key=rank):
        added = set(verdict.credentials) - placed
        after = list(filled)
        for credential in added:
            after[credential_object(credential)] += sizes.get(credential, 0)
        if any(size > CREDENTIALS_LIMIT for size in after):
            message = f"the credentials of gateway {gateway} would exceed {CREDENTIALS_LIMIT // 1024} KiB in one Secret"
            refusals[uid] = verdict.without_entry(Reason.CREDENTIALS_TOO_LARGE, f"{message}; use smaller Secret values")
            continue
        filled = after
        placed |= added
    return refusals


def _credential_sizes(inputs: Inputs) -> dict[str, int]:
    """Bytes that each credential would take in a credential Secret."""
    return {
        f"{reference_hash(namespace, name, key)}.{version.version}": version.size + _KEY_BYTES
        for (namespace, name), keys in inputs.secrets.items()
        for key, version in keys.items()
    }
