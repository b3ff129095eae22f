"""What a token says of itself. Nothing has been verified: it is a reason to refuse a token or to let it wait, never one to accept it."""

import base64
import hashlib
import json
from typing import Any, Final, NamedTuple

_SEGMENTS: Final = 3
#: Seconds since 1970 that no token names: JSON has integers that are too large for a float.
_NO_TIME: Final = 1e308


class Claims(NamedTuple):
    """audiences: as named. expires_at: seconds since 1970. subject: a hash of issuer and subject."""

    audiences: tuple[str, ...]
    expires_at: float
    subject: bytes


def unverified_claims(token: str) -> Claims | None:
    """Return the claims of a JSON Web Token (RFC 7519); None for any other text and for a token without a sensible `exp`."""
    segments = token.split(".")
    if len(segments) != _SEGMENTS or not segments[2]:
        return None
    header, claims = _object(segments[0]), _object(segments[1])
    if header is None or claims is None or not isinstance(header.get("alg"), str):
        return None
    audience, end = claims.get("aud"), claims.get("exp")
    if isinstance(end, bool) or not isinstance(end, int | float) or not 0 < end < _NO_TIME:
        return None
    named = audience if isinstance(audience, list) else [audience]
    subject = json.dumps([claims.get("iss"), claims.get("sub")]).encode()
    return Claims(tuple(name for name in named if isinstance(name, str)), end, hashlib.sha256(subject).digest())


def _object(segment: str) -> dict[str, Any] | None:
    try:
        value = json.loads(base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
