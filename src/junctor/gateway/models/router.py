"""Selects the model server for a model."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from junctor.gateway.config import UpstreamConfiguration
from junctor.gateway.models.bounded_json import parse_bounded
from junctor.gateway.models.chat_completions import ChatCompletionsUpstream
from junctor.gateway.models.model_errors import ModelNotFound
from junctor.gateway.models.model_server import KeyFile, ModelClients, ModelServer, Timeouts, no_key, read_body
from junctor.gateway.models.ports import UpstreamError
from junctor.net.formats import OpenAIObject
from junctor.net.globs import Globs

_log = logging.getLogger(__name__)

_MAX_LISTING: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class UpstreamRoute:
    """models: case-sensitive globs."""

    models: Globs
    upstream: ChatCompletionsUpstream

    def serves(self, model: str) -> bool:
        """Tell whether a glob matches."""
        return self.models.matches(model)


class UpstreamRouter:
    """Routes models to model servers: the first route with a matching glob generates."""

    def __init__(self, routes: Sequence[UpstreamRoute]) -> None:
        self._routes = tuple(routes)

    def find(self, model: str) -> ChatCompletionsUpstream:
        """Return the upstream of a model. Raises ModelNotFound."""
        route = self._route(model)
        if route is None:
            raise ModelNotFound(model)
        return route.upstream

    async def models(self) -> list[OpenAIObject]:
        """Return the models of all model servers in the order of the routes; each model only from the server that it is routed to.

        A server that does not answer is left out. Raises UpstreamError when none answers.
        """
        if not self._routes:
            return []
        listings = await asyncio.gather(*(_listing(route.upstream.server) for route in self._routes), return_exceptions=True)
        found: dict[str, OpenAIObject] = {}
        failures: list[UpstreamError] = []
        for route, listing in zip(self._routes, listings, strict=True):
            if isinstance(listing, UpstreamError):
                _log.warning("models of %s are left out of the list: %s", ", ".join(route.models.patterns), listing)
                failures.append(listing)
            elif isinstance(listing, BaseException):
                raise listing
            else:
                self._add_models(found, listing, route)
        if len(failures) == len(self._routes):
            raise failures[0]
        return list(found.values())

    def _add_models(self, found: dict[str, OpenAIObject], listing: Sequence[OpenAIObject], route: UpstreamRoute) -> None:
        for model in listing:
            if self._route(model["id"]) is route:
                found.setdefault(model["id"], model)

    def _route(self, model: str) -> UpstreamRoute | None:
        return next((route for route in self._routes if route.serves(model)), None)


async def _listing(server: ModelServer) -> list[OpenAIObject]:
    unusable = UpstreamError("the model server's list of models cannot be read", code="server_error")
    try:
        async with asyncio.timeout(server.timeouts.listing), server.send("GET", "/models") as response:
            body = await read_body(response, _MAX_LISTING)
    except TimeoutError:
        raise UpstreamError("the model server did not list its models in time", code="server_error") from None
    try:
        data = parse_bounded(body or b"")["data"]
    except (ValueError, KeyError, TypeError):
        raise unusable from None
    if not isinstance(data, list):
        raise unusable
    return [model for model in data if isinstance(model, dict) and isinstance(model.get("id"), str)]


def upstream_router(
    upstreams: Sequence[UpstreamConfiguration], clients: ModelClients, *, timeouts: Timeouts | None = None
) -> UpstreamRouter:
    """The model servers of a configuration. clients: shared by all, closed by its owner."""
    return UpstreamRouter([UpstreamRoute(Globs(upstream.models), _upstream(upstream, clients, timeouts)) for upstream in upstreams])


def _upstream(upstream: UpstreamConfiguration, clients: ModelClients, timeouts: Timeouts | None) -> ChatCompletionsUpstream:
    key = KeyFile(upstream.key_file) if upstream.key_file else no_key
    return ChatCompletionsUpstream(upstream.url, clients=clients, key=key, headers=upstream.headers, timeouts=timeouts)
