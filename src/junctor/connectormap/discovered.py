"""What the servers of a registry are published as, before it is known which values their credentials have.

In a `Discovered` a credential is a *reference*: `<refhash>` (connector_map.reference_hash) without a version. `bound` puts the versions
in, so that a rotated Secret changes the map at once, without asking the registry again.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from junctor.api.conditions import Reason
from junctor.connectormap.connector_map import Entry, sha256

#: Canonical JSON has it wherever an entry names a credential; nothing else looks so, because quotes within strings are escaped.
_MARK: Final = b'"credential":'
_NAMED: Final = re.compile(_MARK + b'"([^"]*)"')
_UNRESOLVED: Final = f'"reason":"{Reason.UNRESOLVED_REFS}"'.encode()
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

        A server that was published without its credentials, because they were missing, can only be learnt again, and so can those of a
        damaged map: then there is no watermark, which asks for a full walk.
        """
        entries, credentialed, lost = dict(published), set(), len(published) < int(record.get("connectors") or 0)
        for connector_id, entry in published.items():
            if _MARK in entry.body:
                entries[connector_id] = _rewritten(entry, lambda credential: credential.split(".")[0])
                credentialed.add(connector_id)
            elif _UNRESOLVED in entry.body:
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
    """The credentials that an entry names, with or without their versions; a credential that stands in two places twice."""
    return [found.decode() for found in _NAMED.findall(entry.body)]


def _rewritten(entry: Entry, rename: Callable[[str], str]) -> Entry:
    """The entry with other names of its credentials. On the text, because a rotated Secret can touch a hundred thousand entries."""
    # What names credentials, `auth` and `headers`, comes before `since`.
    before = _NAMED.sub(lambda found: b'%b"%b"' % (_MARK, rename(found[1].decode()).encode()), entry.body[: entry.place])
    body = before + entry.body[entry.place :]
    return Entry(entry.id, sha256(body), 0, body, len(before))
