"""Names under which models see the tools of MCP servers: `mcp__<label>__<tool>`, valid for model servers and unique within a request."""

import re
from collections.abc import Collection
from hashlib import sha256
from typing import Final

LONGEST_NAME: Final = 64

_OTHER: Final = re.compile(r"[^A-Za-z0-9_-]", re.ASCII)
_DIGITS: Final = 10


def plain_name(label: str, tool: str) -> str:
    """Return the readable name, which may be too long or clash with another."""
    return _OTHER.sub("_", f"mcp__{label}__{tool}")


def visible_name(label: str, tool: str) -> str:
    """Return the name that a tool gets when nothing clashes: hashed when the plain one is too long."""
    plain = plain_name(label, tool)
    return plain if len(plain) <= LONGEST_NAME else hashed_name(label, tool)


def hashed_name(label: str, tool: str, taken: Collection[str] = ()) -> str:
    """Return a name that ends in a hash of label and tool; `taken` names are avoided by further attempts."""
    plain = plain_name(label, tool)
    attempt = 0
    while True:
        digest = sha256("\0".join((label, tool, str(attempt)) if attempt else (label, tool)).encode(errors="replace")).hexdigest()[:_DIGITS]
        name = f"{plain[: LONGEST_NAME - _DIGITS - 2]}__{digest}"
        if name not in taken:
            return name
        attempt += 1


def assign_names(tools: Collection[tuple[str, str]], taken: Collection[str] = ()) -> dict[tuple[str, str], str]:
    """Return a name for each (label, tool), none of them in `taken`.

    The names do not depend on the order of the tools: of tools with the same plain name, each gets a hashed one.
    """
    owners_of: dict[str, list[tuple[str, str]]] = {}
    for label, tool in sorted(set(tools)):
        owners_of.setdefault(visible_name(label, tool), []).append((label, tool))
    used = set(taken) | set(owners_of)
    names: dict[tuple[str, str], str] = {}
    for name, owners in owners_of.items():
        if len(owners) == 1 and name not in taken:
            names[owners[0]] = name
            continue
        for label, tool in owners:
            names[label, tool] = hashed_name(label, tool, used)
            used.add(names[label, tool])
    return names
