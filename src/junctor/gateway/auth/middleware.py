"""Identifies the caller of every request on the public port before any handler runs."""

from starlette.types import ASGIApp, Receive, Scope, Send

from junctor.gateway.auth.ports import Callers
from junctor.gateway.web.errors import Unauthorized


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
        caller = await self._callers.identify(keys[0].decode("latin-1") if keys else None)
        # Handlers do not see the key, so none can send it on.
        headers = [(name, value) for name, value in scope["headers"] if name not in (b"authorization", b"proxy-authorization")]
        state = {**scope.get("state", {}), "caller": caller}
        await self._app({**scope, "headers": headers, "state": state}, receive, send)
