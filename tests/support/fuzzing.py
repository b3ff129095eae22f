"""Inputs for fuzzing: texts that others wrote, changed in places, and the corpus of those that found something once.

    @replays("shards")
    @given(data=mutated(seeds, JSON_TOKENS))
    def test_...(data: bytes) -> None: ...

Keep what finds a fault: put it into a file in tests/fuzz/corpus/TARGET.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from hypothesis import example
from hypothesis import strategies as st

CORPUS: Final = Path(__file__).parents[1] / "fuzz" / "corpus"

#: What means something to readers of JSON, and what they may trip over.
JSON_TOKENS: Final = (
    *(b"null", b"true", b"false", b"0", b"-1", b"1e999", b"-0.0", b"NaN", b"Infinity", b"9" * 30, b"9" * 5000, b"1.5"),
    *(
        b'""',
        b'"\\ud800"',
        b'"\\u0000"',
        b'"\\u2028"',
        b'"x"',
        b"[]",
        b"{}",
        b"[[]]",
        b'{"":0}',
        b"[" * 40 + b"]" * 40,
        b"[" * 2000,
        b"[0]",
    ),
    *(b",", b":", b"[", b"]", b"{", b"}", b'"', b"\\", b"\n", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xf0\x9f\x92\xa3"),
)
_MOST_CHANGES: Final = 6


def kept(target: str) -> list[bytes]:
    """The corpus of a target. Raises ValueError for one without files."""
    found = [file.read_bytes() for file in sorted((CORPUS / target).glob("*"))]
    if not found:
        raise ValueError(f"{CORPUS / target} has no files")
    return found


def replays(target: str, *, name: str = "data", **others: Any) -> Callable[[Any], Any]:
    """Try each file of the corpus of a target first. name: of the argument that gets it. others: what the other arguments get."""

    def decorate(test: Any) -> Any:
        for data in kept(target):
            test = example(**{name: data}, **others)(test)
        return test

    return decorate


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes], tokens: Sequence[bytes] = JSON_TOKENS) -> bytes:
    """One of the seeds, changed in up to six places: cut, doubled, overwritten by a token, by bytes, or by a part of another seed."""
    data = draw(st.sampled_from(seeds))
    pieces = st.sampled_from(tokens) | st.binary(max_size=8)
    for _ in range(draw(st.integers(0, _MOST_CHANGES))):
        begin = draw(st.integers(0, len(data)))
        end = min(len(data), begin + draw(st.integers(0, 8) | st.integers(0, len(data))))
        match draw(st.integers(0, 4)):
            case 0:
                piece = b""
            case 1:
                piece = data[begin:end] * 2
            case 2:
                other = draw(st.sampled_from(seeds))
                start = draw(st.integers(0, len(other)))
                piece = other[start : start + end - begin]
            case _:
                piece = draw(pieces)
        data = data[:begin] + piece + data[end:]
    return data


def values(names: Sequence[str], leaves: Sequence[Any] = (), *, most: int = 12) -> st.SearchStrategy[Any]:
    """Any JSON value. names: of fields that somebody reads. leaves: texts and numbers that mean something."""
    keys = st.sampled_from(names) | st.text(max_size=3)
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    leaf = st.sampled_from(leaves) | scalars if leaves else scalars
    return st.recursive(leaf, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6), max_leaves=most)
