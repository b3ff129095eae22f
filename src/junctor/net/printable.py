"""Text of others on a terminal or in a log."""


def printable(text: str) -> str:
    """Return the text on one line, without characters that move the cursor or change colours or the direction of writing."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def printable_lines(text: str, separator: str = "\n") -> str:
    """Return the lines of a text, each printable; they end at line feeds only. separator: what to put between them."""
    return separator.join(map(printable, text.split("\n")))
