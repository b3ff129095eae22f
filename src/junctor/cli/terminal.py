"""Text of strangers on a terminal."""


def printable(text: str) -> str:
    """On one line, and without what moves the cursor, changes colours or the direction of writing."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
