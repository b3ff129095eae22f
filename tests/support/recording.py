"""What reaches an MCP server: a layer around its app that keeps every request, and an app that stands for a server of another process."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HOP_BY_HOP = frozenset(("connection", "content-length", "host", "keep-alive", "transfer-encoding"))


@dataclass(slots=True)
class Kept:
    """A request as it came."""

    method: str
    headers: Headers
    body: bytearray = field(default_factory=bytearray)

    @property
    def text(self) -> str:
        """All that could hold a secret."""
        return f"{self.headers.items()} {bytes(self.body).decode(errors='replace')}"


class Recording:
    """Wraps an app. requests: what came, in order."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.requests: list[Kept] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        kept = Kept(scope["method"], Headers(scope=scope))
        self.requests.append(kept)

        async def keeping() -> Message:
            message = await receive()
            kept.body += message.get("body", b"")
            return message

        await self._app(scope, keeping, send)

    @property
    def authorizations(self) -> set[str | None]:
        """Each value that Authorization had, None for a request without it."""
        return {request.headers.get("authorization") for request in self.requests}


def forwarding(origin: str) -> ASGIApp:
    """An app that hands requests on to the server at `origin`, http://host:port, and answers as it does."""

    async def forward(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        headers = [(name, value) for name, value in request.headers.items() if name not in _HOP_BY_HOP]
        async with httpx.AsyncClient(timeout=None, trust_env=False) as http:
            body = await request.body()
            async with http.stream(request.method, origin + request.url.path, headers=headers, content=body) as answer:
                kept = list(_end_to_end(answer.headers))
                await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
                async for chunk in answer.aiter_raw():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return forward


def _end_to_end(headers: httpx.Headers) -> Iterator[tuple[bytes, bytes]]:
    return ((name, value) for name, value in headers.raw if name.decode("latin-1").lower() not in _HOP_BY_HOP)
