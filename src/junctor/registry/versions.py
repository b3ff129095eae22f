"""Which of two versions of a server is the newer one. A registry's `isLatest` may be missing or wrong, so it never decides.

The order is the one of the official registry (its docs, "Versioning", recommendations for aggregators): semantic versions as semver.org
2.0.0 section 11 says, before them all others, by the time of their publication.
"""

import re
from typing import Final

_NUMBER: Final = r"(0|[1-9][0-9]{0,254})"
_NAMES: Final = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_SEMVER: Final = re.compile(rf"v?{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_NAMES}))?(?:\+{_NAMES})?")
#: Longer ones are no versions; the numbers within stay small enough to be read.
_LONGEST: Final = 255

_Identifier = tuple[int, int, str]
_Precedence = tuple[int, int, int, int, tuple[_Identifier, ...]]


def order_key(version: str, published_at: float) -> tuple[int, _Precedence, float, str]:
    """What versions are ordered by, the newest last. published_at: seconds since the epoch, 0 when not known."""
    precedence = _precedence(version)
    return 0 if precedence is None else 1, precedence or (0, 0, 0, 0, ()), published_at, version


def is_newer(version: str, published_at: float, than: str, than_published_at: float) -> bool:
    """Whether a version follows another one. published_at: as for order_key."""
    return order_key(version, published_at) > order_key(than, than_published_at)


def are_comparable(version: str, other: str) -> bool:
    """Whether the texts of two versions alone decide which one is newer."""
    left, right = _precedence(version), _precedence(other)
    return version == other or (left is not None and right is not None and left != right)


def _precedence(version: str) -> _Precedence | None:
    """The place of a semantic version among others; None for any other text. Build metadata does not count."""
    found = _SEMVER.fullmatch(version) if len(version) <= _LONGEST else None
    if found is None:
        return None
    major, minor, patch, pre = found.groups()
    return int(major), int(minor), int(patch), 0 if pre else 1, tuple(map(_identifier, pre.split("."))) if pre else ()


def _identifier(text: str) -> _Identifier:
    """Numbers come before names, and are compared as numbers."""
    return (0, int(text), "") if text.isdigit() else (1, 0, text)
