"""What the ways to know callers have in common."""

import re
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from junctor.gateway import GatewayError

CallerKind = Literal["User", "ServiceAccount", "Anonymous"]

#: Longer ones are no keys: the longest real thing here is a token with a few claims.
_MAX_TOKEN: Final = 16 * 1024
_BEARER: Final = re.compile(r"bearer +([\x21-\x7e]+)", re.IGNORECASE)


class CallersError(GatewayError):
    """`--callers` cannot work; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, as `access` names subjects. namespace: of a ServiceAccount; of others empty.

    Whom an API key belongs to is a User.
    """

    kind: CallerKind
    name: str
    groups: tuple[str, ...] = ()
    namespace: str = ""


#: Who calls when nobody is asked.
ANONYMOUS: Final = Caller("Anonymous", "anonymous")


class Callers(Protocol):
    """Tells who sends a request."""

    async def identify(self, authorization: str | None) -> Caller:
        """Whom the Authorization header names.

        Raises Unauthorized, with one answer for no key, a wrong one and one that is over; ApiError 503 when this cannot be told now.
        """

    async def close(self) -> None:
        """Let go of connections."""


def bearer_token(authorization: str | None) -> str | None:
    """The token of `Bearer TOKEN`; None when the header is absent or anything else."""
    if authorization is None or len(authorization) > _MAX_TOKEN:
        return None
    found = _BEARER.fullmatch(authorization.strip(" \t"))
    return found[1] if found else None
