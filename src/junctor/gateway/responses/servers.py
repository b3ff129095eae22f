"""Finds the MCP servers that a request declares, binds them to their credentials, and lists their tools before anything is generated."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from junctor.gateway.auth import Caller
from junctor.gateway.responses.declarations import McpDeclaration
from junctor.gateway.responses.refusals import refuse
from junctor.gateway.responses.request import CreateRequest
from junctor.gateway.serving.directory import Available, ConnectorDirectory, Unavailable, Unknown
from junctor.gateway.tools.policy import ConnectorPolicy, ToolPolicy
from junctor.gateway.tools.ports import ToolServer
from junctor.gateway.tools.registry import ListedServer
from junctor.gateway.tools.server_errors import ListingFailed, ListingRefused, RequestRefused

_UNSUPPORTED: Final = "unsupported_parameter"
#: Of `ToolListing.size`, in one request.
_MOST_LISTED: Final = 16 * 1024 * 1024

#: Binds a connector to the caller, its authorization (None: it brought none) and its headers. Raises RequestRefused, EntryUnusable.
BindConnector = Callable[[Available, Caller, str | None, Mapping[str, str]], ToolServer]
#: Binds a URL to the caller's authorization and headers in the same way.
BindUrl = Callable[[str, str | None, Mapping[str, str]], ToolServer]


@dataclass(frozen=True, slots=True)
class DeclaredServer:
    """A server that a request declares, bound to its target and credentials but not contacted yet."""

    label: str
    server: ToolServer = field(repr=False)
    policy: ToolPolicy = field(default_factory=ToolPolicy)
    description: str = ""


async def list_servers(servers: Sequence[DeclaredServer], deadline: float) -> list[ListedServer]:
    """List all servers concurrently. deadline: seconds.

    Raises ListingRefused for the first failure and cancels the other listings, and BadRequest for too much in all.
    """
    tasks = [asyncio.create_task(_listed(server, deadline)) for server in servers]
    try:
        for task in asyncio.as_completed(tasks):
            await task
        if sum(task.result().size for task in tasks) > _MOST_LISTED:
            # Each server may list as much as it does: a request can name the same one a hundred times.
            refuse(f"the servers of this request list more than {_MOST_LISTED} bytes of tools together; name fewer of them", "tools")
        return [task.result() for task in tasks]
    finally:
        for pending in tasks:
            pending.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _listed(declared: DeclaredServer, deadline: float) -> ListedServer:
    try:
        async with asyncio.timeout(deadline):
            tools = await declared.server.list_tools()
    except TimeoutError:
        raise ListingRefused(declared.label, ListingFailed(f"It did not answer within {deadline:g} seconds.", 504)) from None
    except ListingFailed as failure:
        raise ListingRefused(declared.label, failure) from failure
    return ListedServer(declared.label, declared.server, tools, declared.policy, declared.description, tools.size)


@dataclass(frozen=True, slots=True)
class ServerResolver:
    """Turns declarations of MCP servers into servers. bind_url: None when callers may not name URLs."""

    directory: ConnectorDirectory
    bind: BindConnector
    bind_url: BindUrl | None = None

    async def resolve(self, caller: Caller, request: CreateRequest) -> list[DeclaredServer]:
        """Return the servers of a request, in its order.

        Raises:
            BadRequest: a declaration is refused; `param` names its field.
            ListingRefused: a connector cannot be used now.
        """
        return [await self._server(caller, tool, f"tools[{position}]") for position, tool in request.servers]

    async def _server(self, caller: Caller, tool: McpDeclaration, place: str) -> DeclaredServer:
        try:
            if tool.connector_id is None:
                return self._url_server(tool, place)
            return await self._connector_server(caller, tool, tool.connector_id, place)
        except RequestRefused as refused:
            refuse(str(refused), f"{place}.{refused.field}", refused.code)
        except ListingFailed as failed:
            raise ListingRefused(tool.server_label, failed) from failed

    async def _connector_server(self, caller: Caller, tool: McpDeclaration, connector_id: str, place: str) -> DeclaredServer:
        found = await self.directory.find(caller, connector_id)
        if isinstance(found, Unknown):
            refuse(found.message, f"{place}.connector_id")
        if isinstance(found, Unavailable):
            raise ListingFailed(found.message, HTTPStatus.FAILED_DEPENDENCY)
        server, view = self.bind(found, caller, *_credentials(tool)), found.connector.view
        policy = ToolPolicy(ConnectorPolicy.of(view), tool.allowed, tool.approval)
        return DeclaredServer(tool.server_label, server, policy, tool.server_description or view.description)

    def _url_server(self, tool: McpDeclaration, place: str) -> DeclaredServer:
        if self.bind_url is None:
            refuse("server_url is disabled here; use connector_id (GET /v1/connectors lists them)", f"{place}.server_url", _UNSUPPORTED)
        server = self.bind_url(tool.server_url or "", *_credentials(tool))
        policy = ToolPolicy(ConnectorPolicy(), tool.allowed, tool.approval)
        return DeclaredServer(tool.server_label, server, policy, tool.server_description or "")


def _credentials(tool: McpDeclaration) -> tuple[str | None, dict[str, str]]:
    """Return authorization and the other headers. A bearer token in an Authorization header counts as authorization."""
    headers = dict(tool.headers or {})
    if tool.authorization is not None:
        return tool.authorization.strip(), headers
    for name, value in headers.items():
        scheme, _, token = value.strip().partition(" ")
        if name.lower() == "authorization" and scheme.lower() == "bearer" and token.strip():
            return token.strip(), {other: kept for other, kept in headers.items() if other != name}
    return None, headers
