"""Which servers a request means. Looks up and binds; asks no server anything."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from junctor.gateway.auth import Caller
from junctor.gateway.models.ports import Upstream
from junctor.gateway.responses.declarations import McpDeclaration
from junctor.gateway.responses.listing import DeclaredServer
from junctor.gateway.responses.refusals import ListingRefused, refuse
from junctor.gateway.responses.request import CreateRequest
from junctor.gateway.serving.directory import Unknown
from junctor.gateway.tools.policy import ConnectorPolicy, ToolPolicy
from junctor.gateway.tools.ports import ListingFailed, ToolServer
from junctor.gateway.web.errors import ApiError, BadRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesPorts:
    """What responses need of the rest of the gateway.

    upstream: the model server of a model. Raises ApiError 404 when there is none.
    connector: the content of a connector's entry, None when there is none for this caller. What cannot be used now has `available` false
    and a `reason`.
    near_ids: ids of connectors that exist for the caller and look like the one that was asked for.
    connector_server: the server of an entry's content, with the caller's authorization (None: it brought none) and headers. Raises
    BadRequest, whose `param` is the field of the tool, and ListingFailed when the entry itself cannot be used.
    url_server: the same for a URL of the caller; None: callers may not name URLs. What it refuses, it refuses with an ApiError.
    """

    upstream: Callable[[str], Upstream]
    connector: Callable[[Caller, str], Mapping[str, Any] | None]
    near_ids: Callable[[Caller, str], Awaitable[Sequence[str]]]
    connector_server: Callable[[Mapping[str, Any], str | None, Mapping[str, str]], ToolServer]
    url_server: Callable[[str, str | None, Mapping[str, str]], ToolServer] | None = None


async def declared_servers(ports: ResponsesPorts, caller: Caller, request: CreateRequest) -> list[DeclaredServer]:
    """The servers of a caller's request. Raises BadRequest that names the field, ListingRefused for a connector that cannot be used now."""
    return [await _declared(ports, caller, tool, f"tools[{position}]") for position, tool in request.servers]


async def _declared(ports: ResponsesPorts, caller: Caller, tool: McpDeclaration, place: str) -> DeclaredServer:
    authorization, headers = _credentials(tool)
    if tool.connector_id is None:
        server = _url_server(ports, tool.server_url or "", authorization, headers, f"{place}.server_url")
        return DeclaredServer(tool.server_label, server, ToolPolicy(ConnectorPolicy(), tool.allowed, tool.approval), _about(tool))
    content = ports.connector(caller, tool.connector_id)
    if content is None:
        return refuse(await _unknown(ports, caller, tool.connector_id), f"{place}.connector_id")
    if content.get("available") is not True:
        reason = str(content.get("reason") or "Unavailable")
        raise ListingRefused(tool.server_label, ListingFailed(f"Connector {tool.connector_id!r} cannot be used now: {reason}.", 424))
    _check_authorization(content, authorization, tool.connector_id, f"{place}.authorization")
    policy = ToolPolicy(ConnectorPolicy.of(content), tool.allowed, tool.approval)
    try:
        server = ports.connector_server(content, authorization, headers)
    except BadRequest as refusal:
        refusal.param = f"{place}.{refusal.param}"
        raise
    except ListingFailed as failed:
        raise ListingRefused(tool.server_label, failed) from failed
    return DeclaredServer(tool.server_label, server, policy, _about(tool) or str(content.get("description") or ""))


def _credentials(tool: McpDeclaration) -> tuple[str | None, dict[str, str]]:
    """Authorization and the other headers. An Authorization among the headers counts as authorization when it is a bearer token."""
    headers = dict(tool.headers or {})
    if tool.authorization is not None:
        return tool.authorization.strip(), headers
    for name, value in headers.items():
        scheme, _, token = value.strip().partition(" ")
        if name.lower() == "authorization" and scheme.lower() == "bearer" and token.strip():
            return token.strip(), {other: kept for other, kept in headers.items() if other != name}
    return None, headers


def _url_server(ports: ResponsesPorts, url: str, authorization: str | None, headers: Mapping[str, str], param: str) -> ToolServer:
    if ports.url_server is None:
        return refuse("server_url is disabled here; use connector_id (GET /v1/connectors lists them)", param, "unsupported_parameter")
    try:
        return ports.url_server(url, authorization, headers)
    except ApiError as refusal:
        refusal.param = refusal.param or param
        raise


def _check_authorization(content: Mapping[str, Any], authorization: str | None, connector_id: str, param: str) -> None:
    match content.get("callerAuthorization"):
        case "Require" if authorization is None:
            refuse(f"connector {connector_id!r} needs the caller's authorization", param, "missing_required_parameter")
        case "Forbid" if authorization is not None:
            refuse(f"connector {connector_id!r} takes no authorization from callers; leave it out", param)


async def _unknown(ports: ResponsesPorts, caller: Caller, connector_id: str) -> str:
    return Unknown(connector_id, tuple(await ports.near_ids(caller, connector_id))).message


def _about(tool: McpDeclaration) -> str:
    return tool.server_description or ""
