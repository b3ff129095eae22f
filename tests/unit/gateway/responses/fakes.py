"""A gateway with fake model and MCP servers, and OpenAI's client in front of it, which checks every body and event against its types."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import httpx
from openai import AsyncOpenAI
from starlette.routing import Router
from starlette.types import ASGIApp

from junctor.gateway.auth import ANONYMOUS, AllowAll, AuthenticationMiddleware, Caller
from junctor.gateway.mcp.target import target_of_entry
from junctor.gateway.models.model_errors import ModelNotFound
from junctor.gateway.models.ports import ModelCall, ModelEvent, ModelRequest, RoundEnd, RoundUsage, TextDelta
from junctor.gateway.responses.loop import LoopLimits
from junctor.gateway.responses.routes import responses_routes
from junctor.gateway.responses.servers import ServerResolver
from junctor.gateway.serving.directory import Available, ConnectorDirectory
from junctor.gateway.serving.served_map import ServedMap
from junctor.gateway.tools.ports import ToolServer
from junctor.gateway.tools.server_errors import RequestRefused
from junctor.gateway.web.bodies import HoldingMiddleware
from junctor.gateway.web.errors import openai_body
from junctor.gateway.web.middleware import ErrorMiddleware
from tests.unit.gateway.maps import content, registry, served_map
from tests.unit.gateway.tools.servers import FakeServer

#: One of the ids that OpenAI's types know.
GMAIL = "connector_gmail"
Step = ModelEvent | Exception | asyncio.Event
USAGE = RoundUsage(10, 5, 2, 1)


def call(name: str, arguments: str = "{}", call_id: str = "") -> ModelCall:
    return ModelCall(call_id or f"call_{name}", name, arguments)


def answer(text: str = "Done.", finish_reason: str = "stop") -> list[Step]:
    return [TextDelta(text), RoundEnd(finish_reason, (), USAGE)]


def calls(*made: ModelCall, before: Sequence[Step] = ()) -> list[Step]:
    return [*before, RoundEnd("tool_calls", made, USAGE)]


class FakeUpstream:
    """Plays rounds, the last one again and again. An Event among the steps is waited for."""

    def __init__(self, *rounds: Sequence[Step]) -> None:
        self.rounds = rounds or (answer(),)
        self.requests: list[ModelRequest] = []
        self.closed = 0

    async def round(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self.requests.append(request)
        try:
            for step in self.rounds[min(len(self.requests), len(self.rounds)) - 1]:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    yield step
        finally:
            self.closed += 1


class Gateway:
    """connectors: servers by id. contents: what their entries hold besides the defaults. urls: whether callers may name URLs."""

    def __init__(
        self,
        upstream: FakeUpstream,
        connectors: Mapping[str, FakeServer] | None = None,
        contents: Mapping[str, Mapping[str, Any]] | None = None,
        url_server: FakeServer | None = None,
        limits: LoopLimits | None = None,
        keep_alive: float = 15.0,
        refuses_urls: bool = False,
    ) -> None:
        self.upstream = upstream
        self.connectors = connectors or {}
        self._contents = contents or {}
        self.bound: list[tuple[str, str | None, Mapping[str, str]]] = []
        resolver = ServerResolver(ConnectorDirectory(self._served_map), self._bind, self._bind_url if url_server else None)
        self._by_url = url_server
        self._refuses_urls = refuses_urls
        routes = Router(responses_routes(self._model, resolver, limits=limits, keep_alive=keep_alive))
        held = HoldingMiddleware(routes, lambda _: None)
        self.app: ASGIApp = ErrorMiddleware(AuthenticationMiddleware(held, AllowAll()), body_limit=1 << 20, render=openai_body)
        # The client's types ask for its own edition of httpx; both have the same interface.
        http_client: Any = httpx.AsyncClient(transport=httpx.ASGITransport(self.app))
        self.client = AsyncOpenAI(
            api_key="caller",
            base_url="http://gateway/v1",
            http_client=http_client,
            max_retries=0,
            _strict_response_validation=True,
        )

    def _model(self, model: str) -> FakeUpstream:
        if model != "m":
            raise ModelNotFound(model)
        return self.upstream

    def _served_map(self) -> ServedMap:
        own = [content(connector_id, **self._contents.get(connector_id, {})) for connector_id in self.connectors]
        return served_map(registry("internal"), *own)

    def _bind(self, found: Available, caller: Caller, authorization: str | None, headers: Mapping[str, str]) -> ToolServer:
        assert caller == ANONYMOUS
        target_of_entry(found.connector.view, found.credentials, authorization, headers)
        self.bound.append((found.connector.id, authorization, headers))
        return self.connectors[found.connector.id]

    def _bind_url(self, url: str, authorization: str | None, headers: Mapping[str, str]) -> ToolServer:
        assert self._by_url
        if self._refuses_urls:
            raise RequestRefused("this host is not allowed", field="server_url")
        self.bound.append((url, authorization, headers))
        return self._by_url


def mcp(label: str = "git", connector_id: str = GMAIL, **fields: Any) -> Any:
    return {"type": "mcp", "server_label": label, "connector_id": connector_id, "require_approval": "never"} | fields


def function(name: str) -> Any:
    return {"type": "function", "name": name, "parameters": {"type": "object", "properties": {}}}


class RawExchange:
    """A request without a client, for what a client cannot do: read a stream while it comes, and go away. frames: what was sent."""

    def __init__(self, app: ASGIApp, body: bytes) -> None:
        self.app = app
        self.body = body
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.sent = b""
        self.ended = False
        self._changed = asyncio.Condition()
        self._asked = False
        self.gone = asyncio.Event()

    async def run(self) -> None:
        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/v1/responses", "headers": headers, "query_string": b"", "root_path": ""}
        await self.app(scope, self._receive, self._send)

    async def until(self, text: bytes) -> None:
        """Wait until `text` was sent."""
        async with self._changed:
            await self._changed.wait_for(lambda: text in self.sent)

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        async with self._changed:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.headers = dict(message["headers"])
            else:
                self.sent += message["body"]
                self.ended = not message.get("more_body", False)
            self._changed.notify_all()
