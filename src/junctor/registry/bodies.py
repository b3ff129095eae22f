"""Reads the JSON that a registry sends so that one record cannot spoil its page: a publisher may nest values deeper than Python reads,
write a number of 5,000 digits or a description of 10 MB.

A streaming parser does not replace this. ijson 3.6 with yajl needs 0.48 ms for a page of 100 records (64 kB) where `json` needs 0.24 ms,
loses all of a page after a number that is out of range, replaces lone surrogates, and ends the process on a number of 5,000 digits
(segmentation fault).
"""

import codecs
import json
import re
from typing import Any, Final

Body = bytes | bytearray

#: One string, or the rest of the text when it does not end. Possessive, so that the time is linear whatever the text.
STRING: Final = re.compile(rb'"(?:[^"\\]|\\.?)*+(?:"|\Z)', re.DOTALL)
#: Digits are counted from the first one of a number only: a page of many numbers that are just short enough would be read 400 times.
_TOKEN: Final = re.compile(
    rb"(?P<text>" + STRING.pattern + rb")|(?P<open>[\[{])|(?P<close>[\]}])|(?P<number>-?(?<![0-9])[0-9]{400,}+)", re.DOTALL
)
_BACKSLASH: Final = 0x5C
#: Bytes that are looked at in one step.
_STEP: Final = 4096
#: Longer than any field that Junctor reads, so that a string that is cut to it is still rejected as too long.
_LONGEST_STRING: Final = 65536
#: Records are 10 levels deep; extensions in `_meta` may be deeper.
_DEEPEST: Final = 64


def read_json(body: bytes) -> Any:
    """Return the value of a body, with None in place of values that are nested too deep and numbers that are too long.

    Raises ValueError for a body that is not JSON.
    """
    try:
        return _loads(body)
    except (ValueError, RecursionError):
        trimmed = _trimmed(body)
        if trimmed is None:
            raise ValueError("not JSON") from None
        return _loads(trimmed)


def _loads(body: bytes) -> Any:
    # Of bytes, `loads` would guess UTF-16 and UTF-32 too, whose values cannot be counted before.
    return json.loads(body.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogatepass"))


def with_short_strings(body: Body) -> Body:
    """Return the body with long strings cut to a length that is still too long for any field.

    Parsing a string of 10 MB blocks every thread of the process for a tenth of a second; this function takes many small steps.
    """
    kept: list[Body] = []
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


def _end_of_string(body: Body, begin: int) -> int:
    """Return the position of the quote that ends the string which begins at `begin`, -1 without one."""
    close = body.find(b'"', begin + 1)
    while close >= 0:
        if body[close - 1] != _BACKSLASH or _backslashes_before(body, close) % 2 == 0:
            return close
        close = body.find(b'"', close + 1)
    return -1


def _backslashes_before(body: Body, end: int) -> int:
    """Return how many backslashes precede a position. In large steps: there may be millions."""
    begin = end
    while begin > 0 and (found := len(piece := body[max(0, begin - _STEP) : begin]) - len(piece.rstrip(b"\\"))):
        begin -= found
        if found < len(piece):
            break
    return end - begin


def _trimmed(body: bytes) -> bytes | None:
    """Return the body with `null` in place of what cannot be read; None when there is nothing to replace, or the body is cut."""
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
