"""Authentication: callers, the port that identifies them, the subjects of `access` that they match, and the middleware for all requests."""

import re
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from junctor.connectormap.policy import Subject
from junctor.gateway import GatewayError
from junctor.gateway.web.errors import Unauthorized

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

    async def identify(self, authorization: str | None, peer: str = "") -> Caller:
        """Return the caller that the Authorization header names. peer: the address that the request came from.

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


class AuthenticationMiddleware:
    """Wraps an ASGI app, inside a `ErrorMiddleware`. Handlers find the `Caller` as `request.state.caller`."""

    def __init__(self, app: ASGIApp, callers: Callers) -> None:
        self._app = app
        self._callers = callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on with its caller. Raises Unauthorized."""
        keys = [value for name, value in scope["headers"] if name == b"authorization"]
        # With two headers, this layer and a handler could each read a different one.
        if len(keys) > 1:
            raise Unauthorized
        caller = await self._callers.identify(keys[0].decode("latin-1") if keys else None, (scope.get("client") or ("",))[0])
        # Handlers do not see the key, so none can send it on.
        headers = [(name, value) for name, value in scope["headers"] if name not in (b"authorization", b"proxy-authorization")]
        state = {**scope.get("state", {}), "caller": caller}
        await self._app({**scope, "headers": headers, "state": state}, receive, send)
