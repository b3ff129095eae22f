"""Bodies of requests: how they become values, and how many bytes requests in progress hold."""

import asyncio
import json
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from junctor.gateway.web import limits
from junctor.gateway.web.errors import BadRequest, BodyTooLarge, NotJSON, Overloaded, TooManyBytes, TooManyValues
from junctor.gateway.web.middleware import WITHOUT_BODY
from junctor.net import json_shape

#: One thread: of many large bodies, one at a time becomes values, which take more memory than their text.
_PARSER: Final = ThreadPoolExecutor(1, "json")
#: Counted in advance, so that each word of a model need not be counted for its caller.
_SPARE: Final = 16 * 1024
#: Counts bytes of memory that a request holds until it is answered. Raises TooManyBytes, Overloaded.
Hold = Callable[[int], None]


async def read_body(request: Request, limit: int = limits.BODY_BYTES) -> bytes:
    """Read a body that is declared as JSON. limit: bytes. Raises NotJSON, BodyTooLarge, TooManyBytes, Overloaded, ClientDisconnect."""
    content_type: bytes = next((value for name, value in request.scope["headers"] if name == b"content-type"), b"")
    # Browsers send other types to foreign servers without asking them.
    if content_type.partition(b";")[0].strip().lower() != b"application/json":
        raise NotJSON
    body, is_complete = bytearray(), False
    while not is_complete:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        is_complete = not message.get("more_body", False)
        if len(body) > limit:
            raise BodyTooLarge(limit)
    return bytes(body)


async def parse_json(body: bytes, hold: Hold = lambda _: None) -> Any:
    """Return the value of a body, a large one without standing in the event loop's way.

    hold: is told what the value takes. Raises BadRequest, TooManyValues, and what `hold` raises.
    """
    if len(body) < limits.LARGE_BODY:
        value, values = _parse(body)
    else:
        value, values = await asyncio.get_running_loop().run_in_executor(_PARSER, _parse, body)
    hold(values * limits.VALUE_BYTES)
    return value


def _parse(body: bytes) -> tuple[Any, int]:
    """Return the value of a body, and how many values are in it, or a few more."""
    try:
        # Strictly UTF-8: `loads` would also take other encodings of bytes, whose structure cannot be counted.
        text = body.decode()
        values = json_shape.check_shape(body, max_values=limits.JSON_VALUES, max_depth=limits.JSON_DEPTH)
        return json.loads(text), values
    except json_shape.TooManyValues:
        raise TooManyValues(limits.JSON_VALUES) from None
    except json_shape.NestedTooDeeply:
        message = f"the body nests lists and objects more than {limits.JSON_DEPTH} levels deep; send it flatter"
        raise BadRequest(message, code="invalid_json") from None
    except ValueError:
        raise BadRequest("the body is not valid JSON", code="invalid_json") from None


class HoldingMiddleware:
    """Wraps an ASGI app, inside an `ErrorMiddleware`: bounds the memory that all requests in progress hold.

    These are their bodies, and what handlers count with `request.state.hold`, a `Hold`.

    owner: whose share a request counts against; None for nobody's, which leaves the bound on all.
    """

    def __init__(self, app: ASGIApp, owner: Callable[[Scope], Hashable | None]) -> None:
        self._app = app
        self._owner = owner
        self._held = 0
        self._held_of: dict[Hashable, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on. What it holds counts until it is answered."""
        if scope["method"] in WITHOUT_BODY:
            await self._app(scope, receive, send)
            return
        owner, held, spare = self._owner(scope), 0, 0

        def hold(size: int) -> None:
            nonlocal held, spare
            if size > spare:
                more = size - spare + _SPARE
                self._add(owner, more)
                held += more
                spare += more
            spare -= size

        async def counted() -> Message:
            message = await receive()
            hold(len(message.get("body", b"")) * limits.BODY_COPIES)
            return message

        scope["state"]["hold"] = hold
        try:
            await self._app(scope, counted, send)
        finally:
            if held:
                self._remove(owner, held)

    def _add(self, owner: Hashable | None, size: int) -> None:
        if self._held + size > limits.HELD_BYTES:
            raise Overloaded("the gateway holds too much for requests in progress")
        if owner is not None:
            held = self._held_of.get(owner, 0) + size
            if held > limits.CALLER_HELD_BYTES:
                raise TooManyBytes(limits.CALLER_HELD_BYTES)
            self._held_of[owner] = held
        self._held += size

    def _remove(self, owner: Hashable | None, size: int) -> None:
        self._held -= size
        if owner is not None:
            self._held_of[owner] -= size
            if not self._held_of[owner]:
                del self._held_of[owner]
