"""The app of the management port: the operator's signal, the served revision, and the probes. Never on the public port."""

import asyncio
import math
from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from junctor.connectormap.errors import InvalidMessage
from junctor.connectormap.messages import ReloadRefusal, ReloadSignal
from junctor.gateway.serving.map_loader import MapLoader, NotReadable, ReloadError, TooManyReloads
from junctor.gateway.web.bodies import parse_json, read_body
from junctor.gateway.web.errors import ApiError, BadRequest, management_body
from junctor.gateway.web.json_response import JSONResponse
from junctor.gateway.web.middleware import ErrorMiddleware

BODY_LIMIT: Final = 64 * 1024
#: Seconds for a signal's body to arrive.
_BODY_DEADLINE: Final = 5.0


def management_app(loader: MapLoader, *, stopping: Callable[[], bool] = lambda: False) -> ASGIApp:
    """Build the app: POST /-/reload; GET /-/revision, /-/livez, /-/readyz. Errors are `{"error": "..."}`.

    stopping: whether the process stops; /-/readyz then answers 503.
    """
    handlers = _Handlers(loader, stopping)
    routes = [
        Route("/-/reload", handlers.reload, methods=["POST"]),
        Route("/-/revision", handlers.revision, methods=["GET"]),
        Route("/-/livez", handlers.livez, methods=["GET"]),
        Route("/-/readyz", handlers.readyz, methods=["GET"]),
    ]
    return ErrorMiddleware(Router(routes, redirect_slashes=False), body_limit=BODY_LIMIT, render=management_body)


class _Handlers:
    def __init__(self, loader: MapLoader, stopping: Callable[[], bool]) -> None:
        self._loader = loader
        self._stopping = stopping

    async def reload(self, request: Request) -> Response:
        """Wait until at least the signal's sequence is served, and acknowledge it.

        Answers 409 when the map is refused, 503 when its source cannot be read, and 429 when there are too many signals.
        """
        signal = await _signal_of(request)
        try:
            served = await self._loader.reload(signal.sequence)
        except ReloadError as error:
            status, headers = 409, {}
            if isinstance(error, TooManyReloads):
                status, headers = 429, {"Retry-After": str(math.ceil(error.retry_after))}
            elif isinstance(error, NotReadable):
                status, headers = 503, {"Retry-After": "1"}
            return JSONResponse(self._refusal(str(error)).to_json(), status_code=status, headers=headers)
        return JSONResponse(served.acknowledgement().to_json())

    async def revision(self, _: Request) -> Response:
        """Answer with the served revision and the error of the newest load, if it failed."""
        served, error = self._loader.served(), self._loader.last_error
        last_error = error.message if error else None
        if served is None:
            body = ReloadRefusal("no connector map is served yet").to_json()
            return JSONResponse({**body, "lastError": last_error}, status_code=503, headers={"Retry-After": "1"})
        return JSONResponse({**served.acknowledgement().to_json(), "lastError": last_error})

    async def livez(self, _: Request) -> Response:
        """Answer, which shows that the event loop runs."""
        return PlainTextResponse("ok\n")

    async def readyz(self, _: Request) -> Response:
        """Answer whether the pod should get requests."""
        if self._stopping():
            return PlainTextResponse("not ready: the gateway is stopping\n", status_code=503)
        served, error = self._loader.served(), self._loader.last_error
        if served is None:
            why = error.message if error else "the connector map is being loaded"
            return PlainTextResponse(f"not ready: {why}\n", status_code=503)
        return PlainTextResponse(f"ready: sequence {served.sequence}\n")

    def _refusal(self, error: str) -> ReloadRefusal:
        served = self._loader.served()
        return ReloadRefusal(error) if served is None else ReloadRefusal(error, served.sequence, served.revision)


async def _signal_of(request: Request) -> ReloadSignal:
    try:
        async with asyncio.timeout(_BODY_DEADLINE):
            value = await parse_json(await read_body(request, BODY_LIMIT))
    except TimeoutError as error:
        raise ApiError("the request body did not arrive in time", status=408, headers={"Connection": "close"}) from error
    except BadRequest as error:
        raise BadRequest('the body must be JSON, such as {"sequence": 41}') from error
    try:
        return ReloadSignal.parse(value)
    except InvalidMessage as error:
        raise BadRequest(str(error)) from error
