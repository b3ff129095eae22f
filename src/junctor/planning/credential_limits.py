"""The credential Secrets of a map hold only so much: which resources still fit."""

from collections.abc import Iterator, Mapping
from typing import Final

from junctor.api.conditions import Reason
from junctor.connectormap.connector_map import CREDENTIAL_OBJECTS, CREDENTIALS_LIMIT, credential_object, reference_hash
from junctor.planning.inputs import Inputs, Published
from junctor.planning.verdicts import Verdict

#: What a credential's key and the JSON around it add to its value.
_KEY_BYTES: Final = 40


def beyond_limits(verdicts: Mapping[str, Verdict], inputs: Inputs, published: Published, gateway: str) -> Iterator[tuple[str, Verdict]]:
    """New verdicts, by uid, on the resources whose credentials no longer fit: the published and older ones stay."""
    if sum(version.size + _KEY_BYTES for keys in inputs.secrets.values() for version in keys.values()) <= CREDENTIALS_LIMIT:
        return
    sizes = _sizes(inputs)
    filled = [0] * CREDENTIAL_OBJECTS
    held: set[str] = set()

    def age(item: tuple[str, Verdict]) -> tuple[bool, str, str]:
        uid, verdict = item
        incumbent = published.origins.get(verdict.id)
        return incumbent is None or incumbent.uid != uid, verdict.resource.created, uid

    for uid, verdict in sorted(verdicts.items(), key=age):
        new = [credential for credential in set(verdict.credentials) if credential not in held]
        after = list(filled)
        for credential in new:
            after[credential_object(credential)] += sizes.get(credential, 0)
        if any(size > CREDENTIALS_LIMIT for size in after):
            message = f"the credentials of gateway {gateway} would exceed {CREDENTIALS_LIMIT // 1024} KiB in one Secret"
            yield uid, verdict.without_entry(Reason.CREDENTIALS_TOO_LARGE, f"{message}; use smaller Secret values")
            continue
        filled = after
        held.update(new)


def _sizes(inputs: Inputs) -> dict[str, int]:
    """Bytes of every credential that could be published, its key's included."""
    return {
        f"{reference_hash(namespace, name, key)}.{version.version}": version.size + _KEY_BYTES
        for (namespace, name), keys in inputs.secrets.items()
        for key, version in keys.items()
    }
