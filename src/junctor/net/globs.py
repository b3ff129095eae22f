"""Globs: `*` stands for any characters, `?` for one, everything else for itself."""

import re
from collections.abc import Iterable


class Globs:
    """Several globs, compiled once, at the first match: a megabyte of them takes seconds, which a thread may have and a loop has not.

    Without globs nothing matches.

    ignore_case: for ASCII letters only, as in host names. The time of a match grows with the text's length times the globs' length at
    worst, whatever the globs are: somebody else wrote the text.
    """

    def __init__(self, globs: Iterable[str], *, ignore_case: bool = False) -> None:
        self.patterns = tuple(globs)
        self._flags = re.DOTALL | (re.IGNORECASE | re.ASCII if ignore_case else re.NOFLAG)
        self._pattern: re.Pattern[str] | None = None

    def matches(self, text: str) -> bool:
        """Whether one of the globs matches the whole text."""
        if not self.patterns:
            return False
        if self._pattern is None:
            self._pattern = re.compile("|".join(map(_expression, self.patterns)), self._flags)
        return self._pattern.fullmatch(text) is not None


def _expression(glob: str) -> str:
    head, *rest = ("".join("." if char == "?" else re.escape(char) for char in part) for part in glob.split("*"))
    if not rest:
        return head
    *middle, tail = rest
    # The first place where a middle part fits is as good as any later one. The atomic group keeps `re` from trying those as well.
    return head + "".join(f"(?>.*?{part})" for part in middle if part) + ".*" + tail
