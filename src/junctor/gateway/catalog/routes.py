"""The app of the public port: the catalog of connectors and registries, and the routes of other rooms."""

from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Scope

from junctor.connectormap.ids import is_possible_id, is_registry_id
from junctor.gateway.auth import ANONYMOUS, AllowAll, AuthenticationMiddleware, Caller, Callers
from junctor.gateway.catalog.connectors import DEFAULT_LIMIT, MAX_LIMIT, MAX_SEARCH, Query, item, page, split_path
from junctor.gateway.catalog.items import ConnectorItem
from junctor.gateway.catalog.registries import registry_item, registry_page
from junctor.gateway.catalog.tools import BindServer, tool_list
from junctor.gateway.serving.directory import Available, ConnectorDirectory, Unavailable, Unknown
from junctor.gateway.web.bodies import HoldingMiddleware
from junctor.gateway.web.errors import BadRequest, NotFound, openai_body
from junctor.gateway.web.json_response import JSONResponse
from junctor.gateway.web.limits import BODY_BYTES
from junctor.gateway.web.middleware import ErrorMiddleware


def public_app(
    directory: ConnectorDirectory,
    bind: BindServer,
    *,
    more: Sequence[Route] = (),
    callers: Callers | None = None,
    body_limit: int = BODY_BYTES,
) -> ASGIApp:
    """Build the app: GET /v1/connectors, /{id} and /{id}/tools, GET /v1/registries and /{id}, and `more`. Errors have OpenAI's form.

    Args:
        directory: The connectors.
        bind: Gives the MCP server of a connector, to list its tools.
        more: Further routes.
        callers: Authentication, applied to every route; by default everybody may call.
        body_limit: Bytes of a request's body.
    """
    handlers = _Handlers(directory, bind)
    routes = [
        Route("/v1/connectors", handlers.list, methods=["GET"]),
        Route("/v1/connectors/{rest:path}", handlers.connector, methods=["GET"]),
        Route("/v1/registries", handlers.registries, methods=["GET"]),
        Route("/v1/registries/{rest:path}", handlers.registry, methods=["GET"]),
        *more,
    ]
    bounded = HoldingMiddleware(Router(routes, redirect_slashes=False), _share_of)
    authenticated = AuthenticationMiddleware(bounded, callers or AllowAll())
    return ErrorMiddleware(authenticated, body_limit=body_limit, render=openai_body)


def _share_of(scope: Scope) -> Caller | None:
    """Return the caller, if it is known: those who are not share one bound."""
    caller: Caller = scope["state"]["caller"]
    return None if caller.kind == ANONYMOUS.kind else caller


class _Handlers:
    def __init__(self, directory: ConnectorDirectory, bind: BindServer) -> None:
        self._directory = directory
        self._bind = bind

    async def list(self, request: Request) -> Response:
        """A page of connectors, or the one that `id` names."""
        possible = ("id",) if "id" in request.query_params else ("after", "limit", "search", "registry_id")
        parameters = _parameters(request, possible)
        query = _query(parameters, is_possible_id)
        if "id" in parameters:
            return JSONResponse(_shown(await self._find(request, parameters["id"])))
        return JSONResponse(await page(self._directory.view(request.state.caller), query))

    async def connector(self, request: Request) -> Response:
        """One connector, or its tools."""
        _parameters(request, ())
        connector_id, sub_resource = split_path(request.path_params["rest"])
        if not connector_id:
            raise NotFound("there is nothing at /v1/connectors/; use /v1/connectors or /v1/connectors/{id}", code="unknown_url")
        found = await self._find(request, connector_id)
        if sub_resource == "tools":
            return JSONResponse(await tool_list(found, self._bind))
        if sub_resource is not None:
            raise NotFound(f"connector {connector_id!r} has no sub-resource {sub_resource[:100]!r}", code="unknown_url")
        return JSONResponse(_shown(found))

    async def registries(self, request: Request) -> Response:
        """A page of registries."""
        query = _query(_parameters(request, ("after", "limit", "search")), is_registry_id)
        return JSONResponse(registry_page(self._directory.view(request.state.caller), query))

    async def registry(self, request: Request) -> Response:
        """One registry."""
        _parameters(request, ())
        registry_id, _, sub_resource = request.path_params["rest"].partition("/")
        view = self._directory.view(request.state.caller)
        if not registry_id:
            raise NotFound("there is nothing at /v1/registries/; use /v1/registries or /v1/registries/{id}", code="unknown_url")
        registry = view.registry(registry_id)
        if registry is None:
            message = f"there is no registry {registry_id[:200]!r}; GET /v1/registries lists those that there are"
            raise NotFound(message, param="id", code="registry_not_found")
        if sub_resource:
            message = (
                f"registry {registry_id!r} has no sub-resource {sub_resource[:100]!r}; GET /v1/connectors?registry_id= lists its servers"
            )
            raise NotFound(message, code="unknown_url")
        return JSONResponse(registry_item(view, registry))

    async def _find(self, request: Request, connector_id: str) -> Available | Unavailable:
        found = await self._directory.find(request.state.caller, connector_id)
        if isinstance(found, Unknown):
            raise NotFound(found.message, param="id", code="connector_not_found")
        return found


def _shown(found: Available | Unavailable) -> ConnectorItem:
    return item(found.connector, found.reason if isinstance(found, Unavailable) else "")


def _parameters(request: Request, allowed: tuple[str, ...]) -> dict[str, str]:
    """Return the query parameters, each known and unique. Unknown ones are refused: a filter that is ignored looks like one that works."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in allowed:
            possible = f"possible here: {', '.join(allowed)}" if allowed else "there are none here"
            raise BadRequest(f"unknown query parameter {name[:100]!r}; {possible}", param=name[:100], code="unknown_parameter")
        if name in found:
            raise BadRequest(f"query parameter {name!r} is given twice", param=name, code="invalid_value")
        found[name] = value
    return found


def _query(parameters: dict[str, str], is_id: Callable[[str], bool]) -> Query:
    limit = parameters.get("limit", str(DEFAULT_LIMIT))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 4 and 1 <= int(limit) <= MAX_LIMIT):
        raise BadRequest(f"limit must be a whole number from 1 to {MAX_LIMIT}", param="limit", code="invalid_value")
    after = parameters.get("after", "")
    if "after" in parameters and not is_id(after):
        raise BadRequest("after must be an id, such as last_id of the page before", param="after", code="invalid_value")
    search = parameters.get("search", "")
    if len(search) > MAX_SEARCH:
        raise BadRequest(f"search must have at most {MAX_SEARCH} characters", param="search", code="invalid_value")
    registry_id = parameters.get("registry_id", "")
    if "registry_id" in parameters and not is_registry_id(registry_id):
        message = "registry_id must be the id of a registry; GET /v1/registries lists them"
        raise BadRequest(message, param="registry_id", code="invalid_value")
    return Query(int(limit), after, search, registry_id)
