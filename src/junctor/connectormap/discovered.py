"""What the servers of a registry are published as, before it is known which values their credentials have.

In a `Discovered` an entry names each credential by its *reference*, without a version. `resolve_credentials` puts the versions in, so
that a rotated Secret changes the map at once, without asking the registry again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from junctor.connectormap.credentials import reference_of
from junctor.connectormap.entry import Entry
from junctor.connectormap.head import RegistryRecord

#: Why an entry whose credentials are missing is not available; the reason of the resources' conditions is the same word.
UNRESOLVED_REFS: Final = "UnresolvedRefs"


@dataclass(frozen=True, slots=True, eq=False)
class Discovered:
    """The servers of one registry that are to be published.

    digest: of everything that decides which servers are published and how; another one asks for a full sync. watermark: RFC 3339, where
    the next incremental sync begins; "" when there was no complete full sync. entries: by connector id. credentialed: those of them that
    name a credential.
    """

    registry_id: str
    digest: str
    watermark: str
    entries: Mapping[str, Entry] = field(repr=False)
    credentialed: frozenset[str] = field(repr=False)

    @classmethod
    def recalled(cls, record: RegistryRecord, published: Mapping[str, Entry]) -> Self:
        """What a published map says: the memory of a process that starts. record: the registry's in the head.

        A server that was published without its credentials, because they were missing, can only be learnt again, and so can those of a
        damaged map: then there is no watermark, which asks for a full sync.
        """
        entries = {connector_id: entry.rename_credentials(reference_of) for connector_id, entry in published.items()}
        credentialed = frozenset(connector_id for connector_id, entry in published.items() if entry.credentials)
        is_damaged = len(published) < record.connectors
        is_incomplete = is_damaged or any(entry.reason == UNRESOLVED_REFS for entry in published.values())
        watermark = "" if is_incomplete else record.watermark or ""
        return cls(record.id, record.filter_digest or "", watermark, entries, credentialed)


def resolve_credentials(entry: Entry, credentials: Mapping[str, str]) -> Entry:
    """The entry with the versions of its credentials; unavailable when one of them is missing. credentials: by reference."""
    if any(reference not in credentials for reference in entry.credentials):
        return entry.without_credentials(UNRESOLVED_REFS)
    return entry.rename_credentials(credentials.__getitem__)
