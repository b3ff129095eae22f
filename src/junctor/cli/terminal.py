"""Untrusted text on a terminal."""


def printable(text: str) -> str:
    """Return the text on one line, without characters that move the cursor or change colours or the direction of writing."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
