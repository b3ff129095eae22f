"""The port of authentication: callers, what identifies them, and the subjects of `access` that they match."""

import re
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from junctor.connectormap.policy import Subject
from junctor.gateway import GatewayError

CallerKind = Literal["User", "ServiceAccount", "Anonymous"]

#: Longer values are not keys: the longest real ones are tokens with a few claims.
_MAX_TOKEN: Final = 16 * 1024
_BEARER: Final = re.compile(r"bearer +([\x21-\x7e]+)", re.IGNORECASE)


class CallersError(GatewayError):
    """`--callers` cannot work; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, in the terms of `access`. namespace: of a ServiceAccount; "" for others. The owner of an API key is a User."""

    kind: CallerKind
    name: str
    groups: tuple[str, ...] = ()
    namespace: str = ""


#: The caller of a gateway that does not identify callers.
ANONYMOUS: Final = Caller("Anonymous", "anonymous")


class Callers(Protocol):
    """Identifies who sends a request."""

    async def identify(self, authorization: str | None) -> Caller:
        """Return the caller that the Authorization header names.

        Raises Unauthorized, with one answer for a missing, a wrong and an expired key; ApiError 503 when the key cannot be checked now.
        """

    async def close(self) -> None:
        """Close connections."""


def bearer_token(authorization: str | None) -> str | None:
    """Return the token of `Bearer TOKEN`; None when the header is absent or of another form."""
    if authorization is None or len(authorization) > _MAX_TOKEN:
        return None
    found = _BEARER.fullmatch(authorization.strip(" \t"))
    return found[1] if found else None


def subjects_of(caller: Caller) -> frozenset[Subject]:
    """Return the caller itself and its groups: it may use a connector whose `access` names one of them."""
    groups = (Subject("Group", "", group) for group in caller.groups)
    return frozenset([Subject(caller.kind, caller.namespace, caller.name), *groups])
