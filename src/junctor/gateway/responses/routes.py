"""The Responses API: POST /v1/responses, and the refusal of requests for stored responses, since there is no store.

Imported only by a gateway that has a model server.
"""

from collections.abc import Callable, Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from junctor.gateway.auth import Caller
from junctor.gateway.config import UpstreamConfiguration
from junctor.gateway.mcp import McpClientPool
from junctor.gateway.models.model_server import ModelClients
from junctor.gateway.models.passthrough import passthrough_routes
from junctor.gateway.models.ports import Upstream
from junctor.gateway.models.router import upstream_router
from junctor.gateway.responses.accumulator import ResponseAccumulator
from junctor.gateway.responses.loop import LoopLimits, Turn
from junctor.gateway.responses.request import create_request
from junctor.gateway.responses.sender import KEEP_ALIVE_SECONDS, ResponseSender
from junctor.gateway.responses.servers import ServerResolver
from junctor.gateway.serving.directory import Available, ConnectorDirectory
from junctor.gateway.tools.ports import ToolServer
from junctor.gateway.web.bodies import Hold, parse_json, read_body
from junctor.gateway.web.errors import NotFound

#: Returns the upstream of a model. Raises ModelNotFound.
FindModel = Callable[[str], Upstream]


class ResponsesService:
    """The Responses API. Owns the connections to model servers; the pool of MCP clients belongs to the caller."""

    def __init__(self, directory: ConnectorDirectory, upstreams: Sequence[UpstreamConfiguration], pool: McpClientPool) -> None:
        self._directory = directory
        self._clients = ModelClients()
        self._router = upstream_router(upstreams, self._clients)
        self._pool = pool

    def routes(self) -> list[Route]:
        """Return the routes of POST /v1/responses, GET /v1/models and POST /v1/chat/completions."""
        resolver = ServerResolver(self._directory, self._bind)
        return [*responses_routes(self._router.find, resolver), *passthrough_routes(self._router)]

    async def close(self) -> None:
        """Close the connections to model servers."""
        await self._clients.aclose()

    def _bind(self, found: Available, caller: Caller, authorization: str | None, headers: Mapping[str, str]) -> ToolServer:
        name = f"{caller.kind} {caller.namespace}/{caller.name}"
        return self._pool.from_config(found.connector, found.credentials, authorization=authorization, headers=headers, caller=name)


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
        hold: Hold = request.state.hold
        create = create_request(await parse_json(await read_body(request), hold))
        upstream = self._find_model(create.body.model)
        servers = await self._resolver.resolve(request.state.caller, create)
        turn = Turn(create, upstream, servers, self._limits, request.state.request_id, hold)
        accumulator = ResponseAccumulator(create.echo())
        return ResponseSender(turn, accumulator, stream=create.body.stream is True, keep_alive=self._keep_alive)

    async def stored(self, request: Request) -> Response:
        """Refuse: there are no stored responses."""
        response_id = request.path_params["rest"].partition("/")[0]
        raise NotFound(
            f"there is no response {response_id[:100]!r}: this gateway stores no responses yet; keep the output and send it in input",
            param="response_id",
        )
