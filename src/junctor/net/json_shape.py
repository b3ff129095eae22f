"""How many values JSON text has and how deeply they are nested, before it is parsed.

Parsed JSON takes up to forty times the memory of its text (`[],[],[]`), so a limit on bytes alone says little. Counting needs no memory: it
takes about 2 ms for a megabyte.

JSONShapeError          parsing the text would cost too much
+-- TooManyValues
+-- NestedTooDeeply
"""

from collections.abc import Iterator
from itertools import accumulate
from typing import Final

_STRUCTURE: Final = b'"[]{},:'
_OTHER: Final = bytes(set(range(256)) - set(_STRUCTURE))
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_ALIKE: Final = bytes.maketrans(b"{}", b"[]")
_STEP: Final = tuple(1 if byte == ord("[") else -1 for byte in range(256))
#: Up to so many, those characters that stand in strings are counted too.
_FEW: Final = 5_000
#: Counted at once; small, so that a thread which counts lets others run in between.
_SLICE: Final = 64 * 1024


class JSONShapeError(ValueError):
    """Parsing the text would cost too much."""


class TooManyValues(JSONShapeError):
    """The text has more values than the limit."""


class NestedTooDeeply(JSONShapeError):
    """The text nests lists and objects more deeply than the limit."""


def check_shape(text: bytes, *, max_values: int, max_depth: int) -> int:
    """Return how many values a text has, or a few more. Raises TooManyValues or NestedTooDeeply if parsing it could exceed a limit.

    A name of a field counts as a value. Text that is not JSON passes or is refused; a parser stops at its first fault, and before that it
    makes no more values than the limit.

    Args:
        text: JSON in UTF-8, not in another encoding.
        max_values: Lists, objects, their members, and names of fields.
        max_depth: Lists and objects around a value.
    """
    # Each value but the first has a character of its own, and each level two.
    opening = text.count(b"[") + text.count(b"{")
    at_most = 1 + opening + text.count(b",") + text.count(b":")
    may_be_deep = opening > max_depth
    if at_most <= min(max_values, _FEW) and not may_be_deep:
        return at_most
    values, brackets = 1, []
    for structure in _outside_strings(text):
        kept = structure.translate(None, _NOT_BRACKETS)
        brackets.append(kept)
        # Closing brackets are no values.
        values += len(structure) - kept.count(b"]") - kept.count(b"}")
        if values > max_values:
            raise TooManyValues(f"the JSON has more than {max_values} values")
    if may_be_deep and _is_deeper(b"".join(brackets), max_depth):
        raise NestedTooDeeply(f"the JSON is nested more than {max_depth} levels deep")
    return values


def _outside_strings(text: bytes) -> Iterator[bytes]:
    """Yield the brackets, commas and colons of JSON text that are not part of strings."""
    in_string, begin = False, 0
    while begin < len(text):
        piece = text[begin : begin + _SLICE]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:  # the next character is escaped
            piece = text[begin : begin + _SLICE + 1]
        begin += len(piece)
        if b"\\" in piece:
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = piece.translate(None, _OTHER).split(b'"')
        yield b"".join(parts[in_string::2])
        in_string ^= len(parts) % 2 == 0


def _is_deeper(brackets: bytes, limit: int) -> bool:
    """Whether brackets nest more deeply than `limit`."""
    brackets, levels = brackets.translate(_ALIKE), 0
    # Usual JSON is wide: without its innermost pairs, level by level, little is left to walk through.
    while len(outer := brackets.replace(b"[]", b"")) < len(brackets) * 3 // 4:
        brackets = outer
        levels += 1
    return levels + max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > limit
