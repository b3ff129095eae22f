"""One entry of the map, kept as canonical text, because a large map has a hundred thousand of them."""

import json
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from sys import intern
from typing import Any, Final, Self

from junctor.connectormap.credentials import credentials_in, rename_credentials
from junctor.connectormap.digests import canonical_json, sha256
from junctor.connectormap.view import UNKNOWN_REASON, EntryView

ENTRY_LIMIT: Final = 64 * 1024
#: Why an entry is unavailable whose credentials are missing. The conditions of resources use the same word as their reason.
UNRESOLVED_REFS: Final = "UnresolvedRefs"
_SINCE: Final = "since"
#: Parts of a body: start and end of each, in order.
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the map. Its fields are read through `view`.

    digest: over the content without `since`, so that equal content has an equal digest whoever published it when.
    since: the sequence in which the content last changed. body: the canonical JSON without `since`, in UTF-8, of which a str that holds
    one letter beyond Latin-1 takes twice the memory. place: where `since` belongs in it.
    reason: why the writer does not let the connector be used; "" when it does. credentials: those that it names, anywhere, in order.
    spans: where the fields that name them are in the body, if that is known; then renaming them does not parse the whole entry.
    """

    id: str
    digest: str
    since: int
    body: bytes = field(repr=False)
    place: int = field(repr=False)
    reason: str = ""
    credentials: tuple[str, ...] = ()
    spans: Spans = field(default=(), repr=False, compare=False)

    @classmethod
    def of(cls, content: Mapping[str, Any], since: int = 0, *, renamed: Container[str] = ()) -> Self:
        """Make an entry.

        Args:
            content: As the map has it, without `since`.
            since: See the class.
            renamed: The fields that name credentials, for an entry whose credentials will be renamed.
        """
        body, place, spans = _encode(content, renamed)
        reason = "" if content.get("available") is True else intern(str(content.get("reason") or UNKNOWN_REASON))
        return cls(content["id"], sha256(body), since, body, place, reason, _shared(credentials_in(content)), _shared(spans))

    @classmethod
    def parse(cls, line: str | bytes) -> Self:
        """Read a line of a shard. Raises ValueError or KeyError for text that is not an entry."""
        content = json.loads(line)
        since = int(content.pop(_SINCE))
        return cls.of(content | {"id": str(content["id"])}, since)

    @property
    def available(self) -> bool:
        """Whether the writer lets the connector be used."""
        return not self.reason

    @property
    def view(self) -> EntryView:
        """The fields of the entry by name, parsed at each use."""
        return EntryView(json.loads(self.body))

    @property
    def line(self) -> bytes:
        """The canonical JSON, `since` included: a line of a shard, in UTF-8."""
        before, after = self.body[: self.place], self.body[self.place :]
        return b'%b%b"since":%d%b%b' % (before, b"," if len(before) > 1 else b"", self.since, b"" if after[0] in b",}" else b",", after)

    @property
    def size(self) -> int:
        """Bytes of the line."""
        return len(self.body) + len(str(self.since)) + len(',"since":')

    def changed_at(self, since: int) -> "Entry":
        """The same content, published in another sequence; the text is shared."""
        return Entry(self.id, self.digest, since, self.body, self.place, self.reason, self.credentials)

    def rename_credentials(self, rename: Callable[[str], str]) -> "Entry":
        """The entry with its credentials renamed; the same object if it names none."""
        if not self.credentials:
            return self
        if not self.spans:
            content = json.loads(self.body)
            rename_credentials(content, rename)
            return Entry.of(content, renamed={key for key, value in content.items() if credentials_in({key: value})})
        names = tuple([(credential, rename(credential)) for credential in self.credentials])
        parts: list[bytes] = []
        end, place = 0, self.place
        for start, stop in self.spans:
            fields = _renamed(self.body[start:stop], names)
            parts += (self.body[end:start], fields)
            place += len(fields) - (stop - start) if start < self.place else 0
            end = stop
        body = b"".join((*parts, self.body[end:]))
        return Entry(self.id, sha256(body), 0, body, place, self.reason, _shared(tuple(sorted({name for _, name in names}))))

    def resolve_credentials(self, versions: Mapping[str, str]) -> "Entry":
        """The entry with the versions of its credentials; unavailable when one is missing. versions: credentials by reference."""
        if any(reference not in versions for reference in self.credentials):
            return self.without_credentials(UNRESOLVED_REFS)
        return self.rename_credentials(versions.__getitem__)

    def with_hosts(self, hosts: Iterable[str]) -> "Entry":
        """The entry with other hosts that may see its credentials."""
        return Entry.of(json.loads(self.body) | {"hosts": list(hosts)})

    def without_credentials(self, reason: str) -> "Entry":
        """What remains of a discovered server's entry when its credentials are missing: listed with its address, and not called."""
        return self._reduced(_LISTED | _ADDRESS, {"reason": reason})

    def without_target(self, reason: str, version: str = "") -> "Entry":
        """What remains of a discovered server's entry that must not be called any more: listed, without address and credentials.

        version: the version that is the reason; "" when it is the published one, or not known.
        """
        return self._reduced(_LISTED, {"reason": reason} | ({"version": version} if version else {}))

    def _reduced(self, fields: frozenset[str], changed: dict[str, Any]) -> "Entry":
        content = json.loads(self.body)
        kept = {key: content[key] for key in content.keys() & fields if not credentials_in([content[key]])}
        return Entry.of(kept | {"available": False} | changed)


#: The fields that remain of a server that cannot be called.
_LISTED: Final = frozenset({"id", "title", "description", "version", "requires"})
_ADDRESS: Final = frozenset({"url", "transport", "deprecated"})


def _encode(content: Mapping[str, Any], renamed: Container[str]) -> tuple[bytes, int, Spans]:
    """The body of an entry with this content, the place of `since`, and the spans of the fields in `renamed`."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for key, value in content.items():
        if key < _SINCE:
            before[key] = value
        elif key > _SINCE:
            after[key] = value
    first, first_spans = _encode_fields(before, renamed, 1)
    comma = b"," if before and after else b""
    rest, rest_spans = _encode_fields(after, renamed, 1 + len(first) + len(comma))
    return b"{%b%b%b}" % (first, comma, rest), 1 + len(first), first_spans + rest_spans


def _encode_fields(fields: dict[str, Any], renamed: Container[str], offset: int) -> tuple[bytes, Spans]:
    """Some fields of a body, and the spans of those in `renamed`, each of which is encoded by itself. offset: of the fields in the body."""
    if not renamed:
        return _fields_text(fields), ()
    runs: list[dict[str, Any]] = [{}]  # those with odd numbers have one field of `renamed`
    for key in sorted(fields):
        if key in renamed:
            runs += ({key: fields[key]}, {})
        else:
            runs[-1][key] = fields[key]
    texts, spans = [], []
    for number, run in enumerate(runs):
        if run:
            text = _fields_text(run)
            texts.append(text)
            spans += [(offset, offset + len(text))] if number % 2 else []
            offset += len(text) + 1
    return b",".join(texts), tuple(spans)


def _fields_text(fields: dict[str, Any]) -> bytes:
    """The canonical JSON of an object, without its braces."""
    return canonical_json(fields).encode()[1:-1]


@lru_cache(maxsize=1024)
def _renamed(fields: bytes, names: tuple[tuple[str, str], ...]) -> bytes:
    """Fields of a body with other names of credentials, each with its name before: the same for most servers of a registry."""
    content = json.loads(b"{%b}" % fields)
    rename_credentials(content, dict(names).__getitem__)
    return _fields_text(content)


@lru_cache(maxsize=4096)
def _shared(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """One object for equal ones: all servers of a registry may need the same credential, in the same place."""
    return values
