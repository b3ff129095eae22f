"""Puts /v1/responses together: the served map, the MCP servers and the model servers. Loaded only where there is a model server."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.routing import Route

from junctor.gateway.auth import Caller
from junctor.gateway.config import UpstreamConfiguration, upstream_router
from junctor.gateway.mcp import HeaderRefused, McpClientPool, McpRefused
from junctor.gateway.models.clients import ModelClients
from junctor.gateway.models.passthrough import passthrough_routes
from junctor.gateway.responses.endpoint import responses_routes
from junctor.gateway.responses.refusals import ListingRefused
from junctor.gateway.responses.resolve import ResponsesPorts
from junctor.gateway.serving.caller_view import CallerView
from junctor.gateway.serving.directory import near_ids
from junctor.gateway.serving.served_map import ServedMap
from junctor.gateway.tools.policy import ConnectorPolicy
from junctor.gateway.tools.ports import ListingFailed, ToolServer
from junctor.gateway.web.errors import BadRequest, MapNotLoaded


class Responding:
    """What a gateway with model servers has beside the catalog. served: gives the map of now."""

    def __init__(self, served: Callable[[], ServedMap | None], upstreams: Sequence[UpstreamConfiguration]) -> None:
        self._served = served
        self._client = ModelClients()
        self._router = upstream_router(upstreams, self._client)
        self._pool = McpClientPool()

    def routes(self) -> list[Route]:
        """POST /v1/responses and what belongs to it; GET /v1/models, POST /v1/chat/completions."""
        ports = ResponsesPorts(
            upstream=self._router.find, connector=self._connector, near_ids=self._near_ids, connector_server=self._connector_server
        )
        return [*responses_routes(ports), *passthrough_routes(self._router)]

    async def tools(self, caller: Caller, connector_id: str) -> dict[str, object]:
        """The tools of a connector as a caller may use them. Raises ListingRefused."""
        content = self._connector(caller, connector_id)
        if content is None or content.get("available") is not True:
            reason = (content or {}).get("reason") or "it is not served any more"
            raise ListingRefused(connector_id, ListingFailed(f"Connector {connector_id!r} cannot be used now: {reason}.", 424))
        policy = ConnectorPolicy.of(content)
        try:
            listed = await self._connector_server(content, None, {}).list_tools()
        except ListingFailed as failed:
            raise ListingRefused(connector_id, failed) from failed
        data = [
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
        return {"object": "list", "data": data, "has_more": False}

    def map_changed(self, served: ServedMap) -> None:
        """Another map is served: sessions of connectors that changed end."""
        self._pool.entries_changed(served)

    async def close(self) -> None:
        """End all sessions and connections."""
        await self._pool.close()
        await self._client.aclose()

    def _connector(self, caller: Caller, connector_id: str) -> Mapping[str, Any] | None:
        served = self._served()
        if served is None:
            raise MapNotLoaded
        connector = CallerView.of(served, caller).get(connector_id)
        if connector is None:
            return None
        unavailable = served.unavailable(connector)
        content = connector.content
        return content | {"available": False, "reason": unavailable} if unavailable else content

    async def _near_ids(self, caller: Caller, connector_id: str) -> Sequence[str]:
        served = self._served()
        return await near_ids(CallerView.of(served, caller), connector_id) if served is not None else ()

    def _connector_server(self, content: Mapping[str, Any], authorization: str | None, headers: Mapping[str, str]) -> ToolServer:
        """The server of a connector that `_connector` gave in the same step of the loop, so the map is still the same.

        Raises BadRequest for what the caller brings. ListingFailed, hence 424, for what the entry lacks: it is not the caller's fault, and
        a 503 would make clients try again although only a corrected Secret or resource helps.
        """
        served = self._served()
        connector = served.get(str(content["id"])) if served is not None else None
        if served is None or connector is None:
            raise RuntimeError(f"connector {content['id']} is not served any more")
        try:
            return self._pool.from_config(connector, served.credentials, authorization=authorization, headers=headers)
        except HeaderRefused as refused:
            raise BadRequest(str(refused), param="headers", code="invalid_value") from refused
        except McpRefused as refused:
            raise ListingFailed(str(refused), 424) from refused
