"""Cut secrets out of texts that another system wrote, because it may repeat what was sent to it."""

from collections.abc import Iterable
from typing import Final

#: Shorter values are names and flags, which are words of ordinary texts too.
_SHORTEST_SECRET: Final = 8


def secret_words(values: Iterable[str]) -> tuple[str, ...]:
    """The values that were sent and their words (the token of `Bearer <token>`), as far as they are long enough to be secrets."""
    words = {word for value in values for word in (value, *value.split()) if len(word) >= _SHORTEST_SECRET}
    return tuple(sorted(words, key=len, reverse=True))


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text with `***` in place of every secret. secrets: as `secret_words` gives them, the longest first."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
