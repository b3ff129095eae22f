"""POST /v1/responses, and the refusal of requests for stored responses, since there is no store."""

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from junctor.gateway.models.ports import Upstream
from junctor.gateway.responses.accumulator import ResponseAccumulator
from junctor.gateway.responses.loop import LoopLimits, Turn
from junctor.gateway.responses.request import create_request
from junctor.gateway.responses.sender import KEEP_ALIVE_SECONDS, ResponseSender
from junctor.gateway.responses.servers import ServerResolver
from junctor.gateway.web.errors import BadRequest, NotFound

#: Returns the upstream of a model. Raises ModelNotFound.
FindModel = Callable[[str], Upstream]


def responses_routes(
    find_model: FindModel, resolver: ServerResolver, *, limits: LoopLimits | None = None, keep_alive: float = KEEP_ALIVE_SECONDS
) -> list[Route]:
    """Return the routes, for a router behind authentication, inside middleware that answers errors as OpenAI does.

    Args:
        find_model: finds the upstream of a model.
        resolver: finds the MCP servers of a request.
        limits: bounds of each response.
        keep_alive: seconds of silence before a stream gets a comment.
    """
    handlers = _Handlers(find_model, resolver, limits or LoopLimits(), keep_alive)
    return [
        Route("/v1/responses", handlers.create, methods=["POST"]),
        Route("/v1/responses/{rest:path}", handlers.stored, methods=["GET", "POST", "DELETE"]),
    ]


class _Handlers:
    def __init__(self, find_model: FindModel, resolver: ServerResolver, limits: LoopLimits, keep_alive: float) -> None:
        self._find_model = find_model
        self._resolver = resolver
        self._limits = limits
        self._keep_alive = keep_alive

    async def create(self, request: Request) -> Response:
        """Create a response."""
        create = create_request(_decoded(await request.body()))
        upstream = self._find_model(create.body.model)
        servers = await self._resolver.resolve(request.state.caller, create)
        turn = Turn(create, upstream, servers, self._limits, request.state.request_id)
        accumulator = ResponseAccumulator(create.echo())
        return ResponseSender(turn, accumulator, stream=create.body.stream is True, keep_alive=self._keep_alive)

    async def stored(self, request: Request) -> Response:
        """Refuse: there are no stored responses."""
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
