"""Connects /v1/responses with the connectors, their MCP servers and the model servers. Loaded only where there is a model server."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from starlette.routing import Route

from junctor.gateway.auth import Caller
from junctor.gateway.config import UpstreamConfiguration, upstream_router
from junctor.gateway.mcp import McpClientPool
from junctor.gateway.models.clients import ModelClients
from junctor.gateway.models.passthrough import passthrough_routes
from junctor.gateway.responses.routes import responses_routes
from junctor.gateway.responses.servers import ServerResolver
from junctor.gateway.serving.directory import Available, ConnectorDirectory
from junctor.gateway.serving.served_map import ServedMap
from junctor.gateway.tools.policy import ConnectorPolicy
from junctor.gateway.tools.ports import ToolServer
from junctor.gateway.tools.server_errors import ListingFailed, ListingRefused, RequestRefused


class ResponsesService:
    """The Responses API and what belongs to it. Owns the sessions with MCP servers and the connections to model servers."""

    def __init__(self, directory: ConnectorDirectory, upstreams: Sequence[UpstreamConfiguration]) -> None:
        self._directory = directory
        self._clients = ModelClients()
        self._router = upstream_router(upstreams, self._clients)
        self._pool = McpClientPool()

    def routes(self) -> list[Route]:
        """Return the routes of POST /v1/responses, GET /v1/models and POST /v1/chat/completions."""
        resolver = ServerResolver(self._directory, self._bind)
        return [*responses_routes(self._router.find, resolver), *passthrough_routes(self._router)]

    async def tools(self, caller: Caller, connector_id: str) -> dict[str, object]:
        """List the tools of a connector that a caller may use. Raises ListingRefused."""
        try:
            data = await self._tools(caller, connector_id)
        except RequestRefused as refused:
            raise ListingRefused(connector_id, ListingFailed(str(refused), HTTPStatus.FAILED_DEPENDENCY)) from refused
        except ListingFailed as failed:
            raise ListingRefused(connector_id, failed) from failed
        return {"object": "list", "data": data, "has_more": False}

    def map_changed(self, served: ServedMap) -> None:
        """End the sessions of connectors that changed, since another map is served now."""
        self._pool.entries_changed(served)

    async def close(self) -> None:
        """End all sessions and connections."""
        await self._pool.close()
        await self._clients.aclose()

    async def _tools(self, caller: Caller, connector_id: str) -> list[dict[str, object]]:
        found = await self._directory.find(caller, connector_id)
        if not isinstance(found, Available):
            raise ListingFailed(found.message, HTTPStatus.FAILED_DEPENDENCY)
        policy = ConnectorPolicy.of(found.connector.view)
        listed = await self._bind(found, None, {}).list_tools()
        return [
            {
                "object": "tool",
                "name": tool.name,
                "description": tool.description,
                "input_schema": tool.input_schema,
                "annotations": {"read_only": tool.read_only is True},
            }
            for tool in listed
            if policy.permits(tool)
        ]

    def _bind(self, found: Available, authorization: str | None, headers: Mapping[str, str]) -> ToolServer:
        return self._pool.from_config(found.connector, found.credentials, authorization=authorization, headers=headers)
