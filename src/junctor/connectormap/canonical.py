"""Canonical JSON and its digest: equal values have equal text, whoever writes it."""

import hashlib
import json
from typing import Any, Final

#: Made once: `json.dumps` makes an encoder at each call, and a map has a hundred thousand entries.
_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False)


def canonical(value: Any) -> str:
    """JSON with sorted keys, no white space and no raw control characters: equal values, equal text."""
    return _ENCODER.encode(value)


def sha256(text: str | bytes | memoryview) -> str:
    """`sha256:<hex>` of a text (UTF-8) or bytes."""
    return "sha256:" + hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()
