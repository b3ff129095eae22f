"""Names below which anybody may have a host, from the Public Suffix List: `co.uk`, and also `github.io` of its private section.

The list is the library's own copy, as old as the release of the library; nothing is fetched.
"""

from functools import cache
from pathlib import Path
from typing import Final

from publicsuffixlist import PSLFILE, PublicSuffixList

_WILDCARDS: Final = frozenset("*?")


def covered_suffix(host_glob: str) -> str:
    """Return a public suffix below which a glob of host names matches hosts of strangers; "" if there is none.

    `*.github.io` covers github.io, and `*.amazonaws.com` s3.amazonaws.com. A name without a wildcard covers nothing.
    """
    if not _WILDCARDS & set(host_glob):
        return ""
    last = max(map(host_glob.rfind, _WILDCARDS))
    # The label with the wildcard may be any name that ends like it.
    plain = host_glob[last + 1 :].partition(".")[2].strip(".").lower()
    if not plain:
        return ""
    suffixes, below = _suffixes()
    return plain if suffixes.is_public(plain) else below.get(plain, "")


@cache
def _suffixes() -> tuple[PublicSuffixList, dict[str, str]]:
    """The list, and for each name above a public suffix one of those below it."""
    below: dict[str, str] = {}
    for line in Path(PSLFILE).read_text(encoding="utf-8").splitlines():
        rule = line.strip()
        if not rule or rule.startswith(("//", "!")):
            continue
        name = rule = rule.encode("idna").decode("ascii")  # one with a wildcard is below the rest of it
        while "." in (name := name.partition(".")[2]):
            below.setdefault(name, rule)
    return PublicSuffixList(), below
