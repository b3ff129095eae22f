"""What the servers of a registry are published as, before it is known which values their credentials have.

In a `Discovered` a credential is a *reference*: `<refhash>` (connector_map.reference_hash) without a version. `bound` puts the versions
in, so that a rotated Secret changes the map at once, without asking the registry again.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from junctor.api.conditions import Reason
from junctor.api.connector_map import Entry, credentials_of

#: Canonical JSON has it wherever an entry names a credential; nothing else looks so, because quotes within strings are escaped.
_MARK = '"credential":'
#: What remains of an entry whose credentials are missing.
_WITHOUT_CREDENTIALS = frozenset({"id", "url", "transport", "title", "description", "version", "deprecated", "requires"})


@dataclass(frozen=True, slots=True, eq=False)
class Discovered:
    """The servers of one registry that are to be published.

    digest: of everything that decides which servers are published and how; another one asks for a full walk. watermark: RFC 3339, where
    the next incremental sync begins; "" when there was no complete walk. entries: by connector id. credentialed: those of them that name
    a credential.
    """

    registry_id: str
    digest: str
    watermark: str
    entries: Mapping[str, Entry] = field(repr=False)
    credentialed: frozenset[str] = field(repr=False)

    @classmethod
    def recalled(cls, record: Mapping[str, Any], published: Mapping[str, Entry]) -> Self:
        """What a published map tells: the memory of a process that begins. record: the registry's in the head.

        A server that was published without its credentials, because they were missing, can only be learnt again: then there is no
        watermark, which asks for a full walk.
        """
        entries, credentialed, lost = dict(published), set(), False
        for connector_id, entry in published.items():
            if _MARK in entry.body:
                entries[connector_id] = _rewritten(entry, lambda credential: credential.split(".")[0])
                credentialed.add(connector_id)
            elif f'"reason":"{Reason.UNRESOLVED_REFS}"' in entry.body:
                lost = True
        watermark = "" if lost else str(record.get("watermark") or "")
        return cls(str(record["id"]), str(record.get("filterDigest") or ""), watermark, entries, frozenset(credentialed))


def names_credential(entry: Entry) -> bool:
    """Whether an entry names a credential."""
    return _MARK in entry.body


def bound(entry: Entry, credentials: Mapping[str, str]) -> Entry:
    """The entry with the versions of its credentials; unavailable when one of them is missing. credentials: by reference."""
    try:
        return _rewritten(entry, credentials.__getitem__)
    except KeyError:
        content = {key: value for key, value in json.loads(entry.body).items() if key in _WITHOUT_CREDENTIALS}
        return Entry.of(content | {"available": False, "reason": str(Reason.UNRESOLVED_REFS)})


def references_of(entry: Entry) -> list[str]:
    """The references that an entry names."""
    return credentials_of(json.loads(entry.body))


def _rewritten(entry: Entry, rename: Callable[[str], str]) -> Entry:
    def within(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: rename(item) if key == "credential" else within(item) for key, item in value.items()}
        return [within(item) for item in value] if isinstance(value, list) else value

    content = json.loads(entry.body)
    return Entry.of({key: within(value) if key in ("headers", "auth") else value for key, value in content.items()})
