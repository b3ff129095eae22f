"""Which of two versions of a server is the newer one. A registry's `isLatest` may be missing or wrong, so it never decides alone.

Versions are semantic ones as a rule, and then ordered as semver.org 2.0.0 section 11 says; others by the time of publication.
"""

import re
from typing import Final

_SEMVER: Final = re.compile(r"v?(\d{1,18})\.(\d{1,18})(?:\.(\d{1,18}))?(?:-([0-9A-Za-z.-]{1,128}))?(?:\+[0-9A-Za-z.-]{1,128})?", re.ASCII)

_Identifier = tuple[int, int, str]
_Semver = tuple[int, int, int, int, tuple[_Identifier, ...]]


def is_newer(version: str, published_at: float, than: str, than_published_at: float) -> bool:
    """Whether a version follows another one. published_at: seconds since the epoch, 0 when not known."""
    left, right = _semver(version), _semver(than)
    if left is not None and right is not None and left != right:
        return left > right
    if published_at and than_published_at and published_at != than_published_at:
        return published_at > than_published_at
    if (left is None) != (right is None):
        return left is not None  # a number beats a name when nothing else is known
    return version > than


def can_tell(version: str, other: str) -> bool:
    """Whether the texts alone tell which of two versions is the newer one."""
    return version == other or (_semver(version) is not None and _semver(other) is not None)


def _semver(version: str) -> _Semver | None:
    found = _SEMVER.fullmatch(version)
    if found is None:
        return None
    major, minor, patch, pre = found.groups()
    return int(major), int(minor), int(patch or 0), 0 if pre else 1, tuple(map(_identifier, pre.split("."))) if pre else ()


def _identifier(text: str) -> _Identifier:
    """Numbers come before names, and are compared as numbers."""
    return (0, int(text), "") if text.isdigit() else (1, 0, text)
