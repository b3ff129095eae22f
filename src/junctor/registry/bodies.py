"""JSON as a registry sends it, read so that one record cannot spoil its page: a publisher may nest values deeper than Python reads, write
a number of 5,000 digits or a description of 10 MB.
"""

import json
import re
from typing import Any, Final

#: One string, the last one even when it does not end. Never goes back: the time grows with the length, whatever the text.
STRING: Final = re.compile(rb'"(?:[^"\\]|\\.?)*+(?:"|\Z)', re.DOTALL)
_TOKEN: Final = re.compile(rb"(?P<text>" + STRING.pattern + rb")|(?P<open>[\[{])|(?P<close>[\]}])|(?P<number>-?[0-9]{400,}+)", re.DOTALL)
_BACKSLASH: Final = 0x5C
#: Nothing that Junctor reads is as long; what is longer stays too long.
_LONGEST_STRING: Final = 65536
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


def with_short_strings(body: bytes) -> bytes:
    """The body with long strings cut down to a length that is still too long for any field.

    Reading a string of 10 MB would keep every thread of the process waiting for a tenth of a second; this takes many small steps.
    """
    kept: list[bytes] = []
    end = 0
    begin = body.find(b'"')
    while begin >= 0:
        close = _end_of_string(body, begin)
        if close < 0:
            return body  # not JSON
        if close - begin > _LONGEST_STRING:
            kept += [body[end : begin + 1], b"x" * _LONGEST_STRING]
            end = close
        begin = body.find(b'"', close + 1)
    return b"".join([*kept, body[end:]]) if kept else body


def _end_of_string(body: bytes, begin: int) -> int:
    """The place of the quote that ends the string which begins at `begin`; -1 without one."""
    close = body.find(b'"', begin + 1)
    while close >= 0:
        before = close - 1
        while body[before] == _BACKSLASH:
            before -= 1
        if (close - before) % 2 == 1:
            return close
        close = body.find(b'"', close + 1)
    return -1


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
