"""Connects /v1/responses with the connectors, their MCP servers and the model servers. Loaded only where there is a model server."""

from collections.abc import Mapping, Sequence

from starlette.routing import Route

from junctor.gateway.config import UpstreamConfiguration
from junctor.gateway.mcp import McpClientPool
from junctor.gateway.models.clients import ModelClients
from junctor.gateway.models.passthrough import passthrough_routes
from junctor.gateway.models.router import upstream_router
from junctor.gateway.responses.routes import responses_routes
from junctor.gateway.responses.servers import ServerResolver
from junctor.gateway.serving.directory import Available, ConnectorDirectory
from junctor.gateway.tools.ports import ToolServer


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

    def _bind(self, found: Available, authorization: str | None, headers: Mapping[str, str]) -> ToolServer:
        return self._pool.from_config(found.connector, found.credentials, authorization=authorization, headers=headers)
