"""Makes the SDK's client for a server: over streamable HTTP or HTTP+SSE, and for an era of MCP."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import httpx2
import mcp_types as types
from mcp import Client
from mcp.client.session import MessageHandlerFnT
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from junctor import __version__
from junctor.gateway.mcp.target import Target
from junctor.gateway.mcp.transport import READ_GRACE, SessionTransport

_CLIENT_INFO: Final = types.Implementation(name="junctor", version=__version__)


@dataclass(frozen=True, slots=True)
class Era:
    """The protocol of a server, remembered between sessions.

    wire: streamable HTTP or HTTP+SSE. mode: the SDK's connection mode, or a protocol version. discovered: the server's answer to
    server/discover, for a known version.
    """

    wire: Literal["http", "sse"]
    mode: str
    discovered: types.DiscoverResult | None = None


def sdk_client(target: Target, era: Era, transport: SessionTransport, on_notification: MessageHandlerFnT) -> Client:
    """Return the SDK's client, to be entered once.

    Args:
        target: the server and what is sent to it.
        era: the protocol to begin with.
        transport: the transport under the SDK.
        on_notification: receives the server's notifications.
    """
    limits = target.limits
    # A handshake may take as long as connecting may; each call brings its own deadline.
    answer_seconds = max(limits.connect_timeout, limits.call_timeout)

    def http_client(*_: Any, **__: Any) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            transport=transport,
            headers={**target.headers, "accept-encoding": "identity"},
            timeout=httpx2.Timeout(limits.connect_timeout, read=answer_seconds + READ_GRACE),
            trust_env=False,
        )

    if era.wire == "sse":
        wire: Any = sse_client(target.url, httpx_client_factory=http_client)
    else:
        wire = _streamable(target.url, http_client)
    return Client(
        wire,
        mode=era.mode,
        prior_discover=era.discovered,
        read_timeout_seconds=answer_seconds,
        message_handler=on_notification,
        client_info=_CLIENT_INFO,
        cache=None,
    )


@asynccontextmanager
async def _streamable(url: str, http_client: Callable[[], httpx2.AsyncClient]) -> AsyncIterator[Any]:
    async with (
        http_client() as http,
        streamable_http_client(url, http_client=http, max_sse_event_size=None) as streams,
    ):
        yield streams
