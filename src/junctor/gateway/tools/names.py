"""Names under which models see the tools of MCP servers: `mcp__<label>__<tool>`, which OpenAI-like servers take and which never clash."""

import re
from collections.abc import Collection
from hashlib import sha256
from typing import Final

LONGEST_NAME: Final = 64

_OTHER: Final = re.compile(r"[^A-Za-z0-9_-]", re.ASCII)
_DIGITS: Final = 10


def plain_name(label: str, tool: str) -> str:
    """The name when it is free; not bounded."""
    return _OTHER.sub("_", f"mcp__{label}__{tool}")


def visible_name(label: str, tool: str) -> str:
    """The name that a tool gets when nothing clashes: hashed when it is too long."""
    plain = plain_name(label, tool)
    return plain if len(plain) <= LONGEST_NAME else hashed_name(label, tool)


def hashed_name(label: str, tool: str, taken: Collection[str] = ()) -> str:
    """A name that ends in a hash of label and tool, and in the hash of another attempt while that is taken."""
    plain = plain_name(label, tool)
    attempt = 0
    while True:
        digest = sha256("\0".join((label, tool, str(attempt)) if attempt else (label, tool)).encode(errors="replace")).hexdigest()[:_DIGITS]
        name = f"{plain[: LONGEST_NAME - _DIGITS - 2]}__{digest}"
        if name not in taken:
            return name
        attempt += 1


def assign_names(tools: Collection[tuple[str, str]], taken: Collection[str] = ()) -> dict[tuple[str, str], str]:
    """A name for each (label, tool), none of them in `taken`.

    It does not depend on the order: of tools whose plain names are the same, each gets a hashed one.
    """
    wanted: dict[str, list[tuple[str, str]]] = {}
    for label, tool in sorted(set(tools)):
        wanted.setdefault(visible_name(label, tool), []).append((label, tool))
    used = set(taken) | set(wanted)
    names: dict[tuple[str, str], str] = {}
    for name, owners in wanted.items():
        if len(owners) == 1 and name not in taken:
            names[owners[0]] = name
            continue
        for label, tool in owners:
            names[label, tool] = hashed_name(label, tool, used)
            used.add(names[label, tool])
    return names
