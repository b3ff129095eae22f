"""Log probabilities of a chunk's tokens, as OpenAI's clients read them: both APIs use one form, of which model servers leave out parts."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

Logprobs = tuple[Mapping[str, Any], ...]


def token_logprobs(value: Any) -> Logprobs:
    """The tokens of a choice's `logprobs`: {token, logprob, bytes, top_logprobs}. Tokens that cannot be read are left out."""
    tokens = value.get("content") if isinstance(value, Mapping) else None
    return tuple({**token, "top_logprobs": list(_tokens(item.get("top_logprobs")))} for item, token in _pairs(tokens))


def _tokens(items: Any) -> Iterator[dict[str, Any]]:
    return (token for _, token in _pairs(items))


def _pairs(items: Any) -> Iterator[tuple[Mapping[str, Any], dict[str, Any]]]:
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, Mapping):
            continue
        token, logprob, octets = item.get("token"), item.get("logprob"), item.get("bytes")
        # JSON has no infinity, and Python's reader takes it.
        if not isinstance(token, str) or not isinstance(logprob, int | float) or not math.isfinite(logprob):
            continue
        if not (isinstance(octets, list) and all(isinstance(octet, int) for octet in octets)):
            octets = list(token.encode(errors="replace"))
        yield item, {"token": token.encode(errors="replace").decode(), "logprob": logprob, "bytes": octets}
