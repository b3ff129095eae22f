"""What a hostile MCP server answers, for a ScriptedServer."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from starlette.responses import RedirectResponse, Response, StreamingResponse

from tests.support.mcp_servers import Answer, result, text_result

#: What callers and models read about a fault, as a pattern; the fault may be in the handshake, in a listing or in a call.
SAYS: Final[Mapping[str, str]] = {
    "never-answers": "did not answer in time|did not open a session within 1 s",
    "large-body": "more than [0-9]+ bytes",
    "large-event": "more than [0-9]+ bytes",
    "endless-body": "more than [0-9]+ bytes",
    "endless-event": "more than [0-9]+ bytes",
    "endless-comments": "did not answer in time|did not open a session within 1 s",
    "invalid-utf-8": "not valid JSON-RPC",
    "invalid-utf-8-event": "not valid JSON-RPC",
    "cut-body": "broke the connection",
    "cut-event": "broke the connection",
    "redirects-303": "redirects to another place",
    "redirects-307": "redirects to another place",
}

_LARGE: Final = 5_000_000


def faults(elsewhere: str, sent: Callable[[int], None] = lambda _: None) -> Mapping[str, Answer]:
    """Answers by the names of SAYS. elsewhere: where redirects lead. sent: told how many bytes of something endless were sent."""

    async def never(_: Any) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    def endless(start: bytes, piece: bytes, kind: str, pause: float = 0.0) -> Answer:
        async def stream() -> AsyncIterator[bytes]:
            yield start
            while True:
                yield piece
                sent(len(piece))
                await asyncio.sleep(pause)

        return _streaming(stream, kind)

    def cut(start: bytes, kind: str) -> Answer:
        async def stream() -> AsyncIterator[bytes]:
            yield start
            raise ConnectionError

        return _streaming(stream, kind)

    def redirect(status: int) -> Answer:
        async def answer(_: Any) -> Response:
            return RedirectResponse(f"{elsewhere}/mcp?from=here", status)

        return answer

    async def large_body(request: dict[str, Any]) -> Response:
        return text_result(request, "x" * _LARGE)

    async def large_event(request: dict[str, Any]) -> Response:
        return Response(b"data: " + bytes(text_result(request, "x" * _LARGE).body) + b"\n\n", media_type=_EVENTS)

    async def no_text(request: dict[str, Any]) -> Response:
        return Response(bytes(text_result(request, "?").body).replace(b"?", b"\xff\xfe"), media_type=_JSON)

    async def no_text_event(request: dict[str, Any]) -> Response:
        return Response(b"data: " + b"\xff" + bytes(text_result(request, "?").body) + b"\n\n", media_type=_EVENTS)

    return {
        "never-answers": never,
        "large-body": large_body,
        "large-event": large_event,
        "endless-body": endless(b'{"jsonrpc": "2.0", "id": 1, "result": "', b"x" * 65536, _JSON),
        "endless-event": endless(b"data: ", b"x" * 65536, _EVENTS),
        "endless-comments": endless(b"", b": I am here\n\n", _EVENTS, 0.01),
        "invalid-utf-8": no_text,
        "invalid-utf-8-event": no_text_event,
        "cut-body": cut(b'{"jsonrpc": "2.0", ', _JSON),
        "cut-event": cut(b'data: {"jsonrpc": ', _EVENTS),
        "redirects-303": redirect(303),
        "redirects-307": redirect(307),
    }


async def looping_cursor(request: dict[str, Any]) -> Response:
    """A page of a listing that says that the same page follows."""
    return result(request, {"tools": [], "nextCursor": "again"})


_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream"


def _streaming(stream: Callable[[], AsyncIterator[bytes]], kind: str) -> Answer:
    async def answer(_: Any) -> Response:
        return StreamingResponse(stream(), media_type=kind)

    return answer
