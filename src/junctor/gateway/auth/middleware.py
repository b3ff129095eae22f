"""The layer in front of everything on the public port: no request goes on before its caller is known."""

from starlette.types import ASGIApp, Receive, Scope, Send

from junctor.gateway.auth.ports import Callers
from junctor.gateway.web.errors import Unauthorized


class AuthenticationMiddleware:
    """Wraps an ASGI app, inside a `ErrorMiddleware`. Handlers find the `Caller` as `request.state.caller`."""

    def __init__(self, app: ASGIApp, callers: Callers) -> None:
        self._app = app
        self._callers = callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or raise."""
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        # Two would let this gate and what stands behind it each read another one.
        if len(given) > 1:
            raise Unauthorized
        caller = await self._callers.identify(given[0].decode("latin-1") if given else None)
        # The key ends here: what no handler sees, none can send on.
        headers = [(name, value) for name, value in scope["headers"] if name not in (b"authorization", b"proxy-authorization")]
        state = {**scope.get("state", {}), "caller": caller}
        await self._app({**scope, "headers": headers, "state": state}, receive, send)
