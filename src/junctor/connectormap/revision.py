"""The revision of a map: a digest of the set of its entries, kept up to date when few of them change."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from junctor.connectormap.canonical import sha256
from junctor.connectormap.entry import Entry

#: `sha256:`, 64 hex digits and a line end.
_DIGEST_LINE: Final = 72
#: `sha256:` and two hex digits.
_DIGEST_PART: Final = 9
#: Up to so many changed entries are moved in the ordered digests one by one; beyond, sorting anew is cheaper.
FEW_CHANGES: Final = 32


def revision_of(entries: Iterable[Entry]) -> str:
    """The revision: a digest of the set of entry digests, whatever the shards and whoever built it."""
    return revision_of_digests(digest_lines(entries))


def revision_of_digests(digests: bytes) -> str:
    """The revision of entries whose `digest_lines` these are."""
    return sha256(memoryview(digests)[:-1])


def digest_lines(entries: Iterable[Entry]) -> bytes:
    """The digests in order, each with a line end: records of _DIGEST_LINE bytes."""
    # In 256 parts: one sort of a hundred thousand would keep every other thread of the process waiting.
    parts: dict[str, list[str]] = {}
    for entry in entries:
        parts.setdefault(entry.digest[:_DIGEST_PART], []).append(entry.digest)
    return b"".join("".join(f"{digest}\n" for digest in sorted(parts[part])).encode() for part in sorted(parts))


def replaced_digests(digests: bytes, removed: Iterable[str], added: Iterable[str]) -> bytes:
    """`digest_lines` after some entries were removed and others added: cheap for a few of them, however large the map."""
    lines = bytearray(digests)
    for digest in removed:
        place = _place(lines, digest)
        del lines[place : place + _DIGEST_LINE]
    for digest in added:
        place = _place(lines, digest)
        lines[place:place] = f"{digest}\n".encode()
    return bytes(lines)


def _place(lines: bytearray, digest: str) -> int:
    """Where a digest is, or belongs, among the ordered digest lines."""
    wanted = f"{digest}\n".encode()
    count = len(lines) // _DIGEST_LINE
    return bisect_left(range(count), wanted, key=lambda n: bytes(lines[n * _DIGEST_LINE : (n + 1) * _DIGEST_LINE])) * _DIGEST_LINE
