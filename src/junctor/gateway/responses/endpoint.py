"""POST /v1/responses, and what is said about stored responses while there is no store."""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from junctor.gateway.responses.accumulator import ResponseAccumulator
from junctor.gateway.responses.delivery import KEEP_ALIVE_SECONDS, Delivery
from junctor.gateway.responses.loop import LoopLimits, Turn
from junctor.gateway.responses.request import create_request
from junctor.gateway.responses.resolve import ResponsesPorts, declared_servers
from junctor.gateway.web.errors import BadRequest, NotFound


def responses_routes(ports: ResponsesPorts, *, limits: LoopLimits | None = None, keep_alive: float = KEEP_ALIVE_SECONDS) -> list[Route]:
    """The routes, for a router inside a ErrorMiddleware with OpenAI's errors and a AuthenticationMiddleware.

    keep_alive: seconds of silence before a stream gets a comment.
    """
    handlers = _Handlers(ports, limits or LoopLimits(), keep_alive)
    return [
        Route("/v1/responses", handlers.create, methods=["POST"]),
        Route("/v1/responses/{rest:path}", handlers.stored, methods=["GET", "POST", "DELETE"]),
    ]


class _Handlers:
    def __init__(self, ports: ResponsesPorts, limits: LoopLimits, keep_alive: float) -> None:
        self._ports = ports
        self._limits = limits
        self._keep_alive = keep_alive

    async def create(self, request: Request) -> Response:
        """Create a response."""
        wanted = create_request(_decoded(await request.body()))
        upstream = self._ports.upstream(wanted.body.model)
        servers = await declared_servers(self._ports, request.state.caller, wanted)
        turn = Turn(wanted, upstream, servers, ResponseAccumulator(wanted.echo()), self._limits, request.state.request_id)
        return Delivery(turn, stream=wanted.body.stream is True, keep_alive=self._keep_alive)

    async def stored(self, request: Request) -> Response:
        """There is none."""
        response_id = request.path_params["rest"].partition("/")[0]
        raise NotFound(
            f"there is no response {response_id[:100]!r}: this gateway stores no responses yet; keep the output and send it in input",
            param="response_id",
        )


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest("the body is not valid JSON", code="invalid_json") from None
