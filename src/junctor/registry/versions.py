"""Orders the versions of a server. A registry's `isLatest` may be missing or wrong, so it does not decide.

The order follows the official registry (its docs, "Versioning", recommendations for aggregators): semantic versions by semver.org 2.0.0
section 11; all other versions are older, ordered by the time of their publication.
"""

import re
from typing import Final

_NUMBER: Final = r"(0|[1-9][0-9]{0,254})"
_NAMES: Final = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_SEMVER: Final = re.compile(rf"v?{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_NAMES}))?(?:\+{_NAMES})?")
#: A longer text is no version, so the numbers in it stay small enough for Python to parse.
_LONGEST: Final = 255

_Identifier = tuple[int, int, str]
_Precedence = tuple[int, int, int, int, tuple[_Identifier, ...]]


def order_key(version: str, published_at: float) -> tuple[int, _Precedence, float, str]:
    """Return the sort key of a version, the newest last. published_at: seconds since the epoch, 0 when unknown."""
    precedence = _precedence(version)
    return 0 if precedence is None else 1, precedence or (0, 0, 0, 0, ()), published_at, version


def is_newer(version: str, published_at: float, than: str, than_published_at: float) -> bool:
    """Whether a version is newer than another one. published_at: as for order_key."""
    return order_key(version, published_at) > order_key(than, than_published_at)


def are_comparable(version: str, other: str) -> bool:
    """Whether the texts of two versions alone decide which one is newer."""
    left, right = _precedence(version), _precedence(other)
    return version == other or (left is not None and right is not None and left != right)


def _precedence(version: str) -> _Precedence | None:
    """Return the sort key of a semantic version, None for any other text. Build metadata does not count."""
    found = _SEMVER.fullmatch(version) if len(version) <= _LONGEST else None
    if found is None:
        return None
    major, minor, patch, pre = found.groups()
    return int(major), int(minor), int(patch), 0 if pre else 1, tuple(map(_identifier, pre.split("."))) if pre else ()


def _identifier(text: str) -> _Identifier:
    """Return the sort key of a pre-release identifier: numbers come before names, in numeric order."""
    return (0, int(text), "") if text.isdigit() else (1, 0, text)
