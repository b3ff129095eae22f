"""The public port's app: what applications use. So far the catalog of connectors."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from junctor.gateway.boundary import Boundary, JSONResponse
from junctor.gateway.caller_view import CallerView
from junctor.gateway.callers import Caller, Callers, CallersGate, Everybody
from junctor.gateway.catalog import DEFAULT_LIMIT, MAX_LIMIT, MAX_SEARCH, Query, is_possible_id, item, near_ids, page, split_path
from junctor.gateway.errors import BadRequest, NoSuchThing, NotServing, openai_body
from junctor.gateway.served_map import ServedMap

BODY_LIMIT: Final = 10 * 1024 * 1024

Served = Callable[[], ServedMap | None]


#: Lists the tools of a connector for a caller.
Tools = Callable[[Caller, str], Awaitable[dict[str, object]]]


def public_app(
    served: Served,
    *,
    more: Sequence[Route] = (),
    tools: Tools | None = None,
    callers: Callers | None = None,
    body_limit: int = BODY_LIMIT,
) -> ASGIApp:
    """GET /v1/connectors, /v1/connectors/{id}, its /tools where `tools` lists them, and `more`. Errors are OpenAI's.

    served: gives the map of now; a request asks once. callers: who is let in, everybody unless given; asked before anything else.
    """
    handlers = _Handlers(served, tools)
    routes = [
        Route("/v1/connectors", handlers.list, methods=["GET"]),
        Route("/v1/connectors/{rest:path}", handlers.connector, methods=["GET"]),
        *more,
    ]
    gate = CallersGate(Router(routes, redirect_slashes=False), callers or Everybody())
    return Boundary(gate, body_limit=body_limit, render=openai_body)


class _Handlers:
    def __init__(self, served: Served, tools: Tools | None) -> None:
        self._served = served
        self._tools = tools

    async def list(self, request: Request) -> Response:
        """A page of connectors, or the one that `id` names."""
        parameters = _parameters(request, ("id",) if "id" in request.query_params else ("after", "limit", "search"))
        query = _query(parameters)
        view = self._view(request)
        if "id" in parameters:
            return JSONResponse(await _one(view, parameters["id"]))
        return JSONResponse(await page(view, query))

    async def connector(self, request: Request) -> Response:
        """One connector, or its tools."""
        _parameters(request, ())
        connector_id, sub_resource = split_path(request.path_params["rest"])
        view = self._view(request)
        if not connector_id:
            raise NoSuchThing("there is nothing at /v1/connectors/; use /v1/connectors or /v1/connectors/{id}", code="unknown_url")
        shown = await _one(view, connector_id)
        if sub_resource == "tools" and self._tools is not None:
            return JSONResponse(await self._tools(request.state.caller, connector_id))
        if sub_resource is not None:
            raise NoSuchThing(f"connector {connector_id!r} has no sub-resource {sub_resource[:100]!r}", code="unknown_url")
        return JSONResponse(shown)

    def _view(self, request: Request) -> CallerView:
        served = self._served()
        if served is None:
            raise NotServing
        return CallerView.of(served, request.state.caller)


async def _one(view: CallerView, connector_id: str) -> dict[str, object]:
    connector = view.get(connector_id)
    if connector is None:
        near = await near_ids(view, connector_id)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "; GET /v1/connectors lists those that there are"
        raise NoSuchThing(f"there is no connector {connector_id[:200]!r}{hint}", param="id", code="connector_not_found")
    return item(view.served, connector)


def _parameters(request: Request, allowed: tuple[str, ...]) -> dict[str, str]:
    """The query parameters, each known and given once. An unknown one is refused: a filter that is ignored looks like one that works."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in allowed:
            possible = f"possible here: {', '.join(allowed)}" if allowed else "there are none here"
            raise BadRequest(f"unknown query parameter {name[:100]!r}; {possible}", param=name[:100], code="unknown_parameter")
        if name in found:
            raise BadRequest(f"query parameter {name!r} is given twice", param=name, code="invalid_value")
        found[name] = value
    return found


def _query(parameters: dict[str, str]) -> Query:
    limit = parameters.get("limit", str(DEFAULT_LIMIT))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 4 and 1 <= int(limit) <= MAX_LIMIT):
        raise BadRequest(f"limit must be a whole number from 1 to {MAX_LIMIT}", param="limit", code="invalid_value")
    after = parameters.get("after", "")
    if "after" in parameters and not is_possible_id(after):
        raise BadRequest("after must be the id of a connector, such as last_id of the page before", param="after", code="invalid_value")
    search = parameters.get("search", "")
    if len(search) > MAX_SEARCH:
        raise BadRequest(f"search must have at most {MAX_SEARCH} characters", param="search", code="invalid_value")
    return Query(int(limit), after, search)
