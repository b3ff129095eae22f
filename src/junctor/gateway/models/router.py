"""Which model server generates for which model."""

import asyncio
import fnmatch
import json
import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from junctor.gateway.models.chat_completions import ChatCompletionsUpstream
from junctor.gateway.models.endpoint import Endpoint, read_body
from junctor.gateway.models.ports import ModelEvent, ModelRequest, UpstreamError

_log = logging.getLogger(__name__)

_MAX_LISTING: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class UpstreamRoute:
    """models: globs; case counts."""

    models: Sequence[str]
    upstream: ChatCompletionsUpstream

    def serves(self, model: str) -> bool:
        """Whether a glob matches."""
        return any(fnmatch.fnmatchcase(model, glob) for glob in self.models)


class UpstreamRouter:
    """Implements `ports.Upstream` with several: the first route that has a matching glob generates."""

    def __init__(self, routes: Sequence[UpstreamRoute]) -> None:
        self._routes = tuple(routes)

    def find(self, model: str) -> ChatCompletionsUpstream:
        """The upstream of a model. Raises UpstreamError, 404, when no route matches."""
        route = self._route(model)
        if route is None:
            message = f"the model {model[:200]!r} does not exist; GET /v1/models lists those that there are"
            raise UpstreamError(message, status=404, code="model_not_found", param="model")
        return route.upstream

    def round(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """As `ports.Upstream` says. Raises UpstreamError at once for a model that no route matches."""
        return self.find(request.model).round(request)

    async def models(self) -> list[dict[str, Any]]:
        """What all model servers list, as far as requests for it reach that server, in the order of the routes.

        A server that does not answer is left out, unless none does. Raises UpstreamError.
        """
        if not self._routes:
            return []
        listings = await asyncio.gather(*(_listing(route.upstream.endpoint) for route in self._routes), return_exceptions=True)
        found: dict[str, dict[str, Any]] = {}
        failures: list[UpstreamError] = []
        for route, listing in zip(self._routes, listings, strict=True):
            if isinstance(listing, UpstreamError):
                _log.warning("models of %s are left out of the list: %s", ", ".join(route.models), listing)
                failures.append(listing)
            elif isinstance(listing, BaseException):
                raise listing
            else:
                for model in listing:
                    if self._route(model["id"]) is route:
                        found.setdefault(model["id"], model)
        if len(failures) == len(self._routes):
            raise failures[0]
        return list(found.values())

    def _route(self, model: str) -> UpstreamRoute | None:
        return next((route for route in self._routes if route.serves(model)), None)


async def _listing(endpoint: Endpoint) -> list[dict[str, Any]]:
    unusable = UpstreamError("the model server's list of models cannot be read", code="server_error")
    try:
        async with asyncio.timeout(endpoint.timeouts.listing), endpoint.send("GET", "/models") as response:
            body = await read_body(response, _MAX_LISTING)
    except TimeoutError:
        raise UpstreamError("the model server did not list its models in time", code="server_error") from None
    try:
        data = json.loads(body or b"")["data"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise unusable from None
    if not isinstance(data, list):
        raise unusable
    return [model for model in data if isinstance(model, dict) and isinstance(model.get("id"), str)]
