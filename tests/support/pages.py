"""The pages of the documentation: their fenced blocks and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page. Asserts that each one is closed."""
    begun: tuple[int, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        if begun is None and (fence := re.fullmatch(r"```(\w*)", line)):
            begun, lines = (number, fence[1]), []
        elif begun is not None and line == "```":
            yield Block(page, begun[0], begun[1], "\n".join(lines) + "\n")
            begun = None
        elif begun is not None:
            lines.append(line)
    assert begun is None, f"{page}:{begun}: a block that is never closed"


def heredocs(text: str) -> list[str]:
    """The here-documents of a shell block."""
    return [found[2] for found in re.finditer(r"<<'?(\w+)'?.*?\n(.*?)^\1$", text, re.M | re.S)]


def commands(block: Block) -> Iterator[list[str]]:
    """The words of each simple command of a shell block, without assignments before it and redirections."""
    text = block.text
    for found in heredocs(text):
        text = text.replace(found, "")
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
        lexer.whitespace_split = True
        words: list[str] = []
        skip = False
        for word in [*lexer, ";"]:
            if set(word) <= set("|&;()"):
                if words:
                    yield words
                words = []
            elif set(word) <= set("<>"):
                skip = True
            elif skip:
                skip = False
            elif words or not re.match(r"[A-Z_]+=", word):
                words.append(word)
