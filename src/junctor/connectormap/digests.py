"""Digests of the connector map: of one text, and of the set of all entries, which is the revision of the map."""

import hashlib
import json
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, Final

#: Created once: `json.dumps` creates an encoder at each call, and a map has a hundred thousand entries.
_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False)
#: Length of a digest line: `sha256:`, 64 hex digits and a line end.
_DIGEST_LINE: Final = 72
#: Length of `sha256:` and two hex digits.
_DIGEST_PREFIX: Final = 9
#: Up to this many changed digests are replaced one by one; sorting all of them again is faster for more.
FEW_CHANGES: Final = 32


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no white space and no raw control characters: equal values have equal text, whoever writes it."""
    return _ENCODER.encode(value)


def sha256(text: str | bytes | memoryview) -> str:
    """`sha256:<hex>` of a text (in UTF-8) or of bytes."""
    return "sha256:" + hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def revision_of(lines: bytes) -> str:
    """The revision of a map whose entries have these `digest_lines`. It does not depend on shards, nor on who wrote the map."""
    return sha256(memoryview(lines)[:-1])


def digest_lines(digests: Iterable[str]) -> bytes:
    """The digests of entries in ascending order, each followed by a line end, so that each takes _DIGEST_LINE bytes."""
    # Sorted in 256 parts: one sort of a hundred thousand digests would block every other thread of the process.
    parts: dict[str, list[str]] = {}
    for digest in digests:
        parts.setdefault(digest[:_DIGEST_PREFIX], []).append(digest)
    return b"".join("".join(f"{digest}\n" for digest in sorted(parts[part])).encode() for part in sorted(parts))


def replace_digests(lines: bytes, removed: Iterable[str], added: Iterable[str]) -> bytes:
    """The `digest_lines` after some entries were removed and others added: fast for a few of them, however large the map."""
    replaced = bytearray(lines)
    for digest in removed:
        place = _place(replaced, digest)
        del replaced[place : place + _DIGEST_LINE]
    for digest in added:
        place = _place(replaced, digest)
        replaced[place:place] = f"{digest}\n".encode()
    return bytes(replaced)


def _place(lines: bytearray, digest: str) -> int:
    """The offset of a digest in the digest lines, or the offset where it has to be inserted."""
    line = f"{digest}\n".encode()
    count = len(lines) // _DIGEST_LINE
    return bisect_left(range(count), line, key=lambda n: bytes(lines[n * _DIGEST_LINE : (n + 1) * _DIGEST_LINE])) * _DIGEST_LINE
