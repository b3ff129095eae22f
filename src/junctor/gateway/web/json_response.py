"""JSON answers, the same on both ports, and large bodies of any kind."""

import json
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_PIECE: Final = 256 * 1024


class JSONResponse(Response):
    """Compact JSON in UTF-8."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode `content`; a lone surrogate, which UTF-8 cannot express, becomes a question mark."""
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send_body(send, bytes(self.body))


async def send_body(send: Send, body: bytes, *, more_body: bool = False) -> None:
    """Send a body in pieces, each when the client has taken most of those before. more_body: whether another part of it follows.

    All at once would wait in the buffer of the connection, where the request, which is over then, no longer accounts for it.
    """
    for begin in range(0, max(len(body), 1), _PIECE):
        piece = body[begin : begin + _PIECE]
        await send({"type": "http.response.body", "body": piece, "more_body": more_body or begin + _PIECE < len(body)})
