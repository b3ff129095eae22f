"""JSON as a registry sends it, read so that one record cannot spoil its page: a publisher may nest values deeper than Python reads, or
write a number of 5,000 digits.
"""

import json
import re
from typing import Any, Final

#: One string, the last one even when it does not end. Never goes back: the time grows with the length, whatever the text.
STRING: Final = re.compile(rb'"(?:[^"\\]|\\.?)*+(?:"|\Z)', re.DOTALL)
_TOKEN: Final = re.compile(rb"(?P<text>" + STRING.pattern + rb")|(?P<open>[\[{])|(?P<close>[\]}])|(?P<number>-?[0-9]{400,}+)", re.DOTALL)
#: Records are 10 deep; what they carry along for others may be deeper.
_DEEPEST: Final = 64


def read_json(body: bytes) -> Any:
    """The value of a body; what is too deep or too long a number in it is None. Raises ValueError for what is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        trimmed = _trimmed(body)
        if trimmed is None:
            raise ValueError("not JSON") from None
        return json.loads(trimmed)


def _trimmed(body: bytes) -> bytes | None:
    """The body with `null` in place of what cannot be read; None when there is no such thing, or no end to it."""
    kept: list[bytes] = []
    depth, end = 0, 0
    for token in _TOKEN.finditer(body):
        kind = token.lastgroup
        if kind == "open":
            depth += 1
            if depth == _DEEPEST + 1:
                kept.append(body[end : token.start()])
        elif kind == "close":
            if depth == _DEEPEST + 1:
                kept.append(b"null")
                end = token.end()
            depth -= 1
        elif kind == "number" and depth <= _DEEPEST:
            kept += [body[end : token.start()], b"null"]
            end = token.end()
    return b"".join([*kept, body[end:]]) if kept and depth == 0 else None
