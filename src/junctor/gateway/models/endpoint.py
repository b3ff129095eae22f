"""One model server as an HTTP address: where it is, the gateway's credentials for it, how long it may take."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import httpx

from junctor.gateway.models.clients import StreamingClient
from junctor.gateway.models.errors import refusal
from junctor.gateway.models.keys import no_key
from junctor.gateway.models.ports import UpstreamError

Key = Callable[[], str | None]

_MAX_ERROR: Final = 64 * 1024
#: Shorter values of headers are names, and words of messages.
_SECRET_LENGTH: Final = 8


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. connect: until connected. silence: without a byte, before the first or between two; an answer that is not
    streamed is silent until it is whole. listing: for the list of models."""

    connect: float = 5.0
    silence: float = 600.0
    listing: float = 10.0


def base_url(url: str) -> str:
    """The URL that paths such as /chat/completions are added to; a URL without a path means its /v1. Raises ValueError, for people."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address such as http://vllm:8000 or https://models.example.com/v1")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("must not hold credentials, a query or a fragment; a key belongs into keyFile")
    _ = parts.port  # raises ValueError
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") or "/v1", "", ""))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """base: as `base_url` gives it. key: asked at each request, for Authorization. headers: sent with each request."""

    base: str
    client: StreamingClient = field(repr=False)
    key: Key = field(default=no_key, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeouts: Timeouts = Timeouts()

    @asynccontextmanager
    async def send(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        silence: float | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """The answer, its body not yet read; leaving ends it at once. headers: the caller's, which lose against the configured ones.

        Raises UpstreamError, also for what happens inside while the body is read.
        """
        key = self.key()
        sent = httpx.Headers({**(headers or {})})
        # Compressed, a stream would come in large pieces.
        sent.update({**self.headers, "accept-encoding": "identity"})
        if content is not None:
            sent["content-type"] = "application/json"
        if key:
            sent["authorization"] = f"Bearer {key}"
        timeouts = self.timeouts
        timeout = httpx.Timeout(silence or timeouts.silence, connect=timeouts.connect, pool=timeouts.connect)
        try:
            async with self.client.stream(
                method, self.base + path, content=content, headers=sent, timeout=timeout, follow_redirects=False
            ) as response:
                if not response.is_success:
                    body = await read_body(response, _MAX_ERROR)
                    raise refusal(
                        response.status_code,
                        body or b"",
                        retry_after=response.headers.get("retry-after"),
                        secrets=self.secrets(response.request),
                    )
                yield response
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            raise UpstreamError("the model server cannot be reached", status=503, code="server_error") from error
        except httpx.TimeoutException as error:
            raise UpstreamError("the model server was silent for too long", code="server_error") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise UpstreamError("the connection to the model server broke", code="server_error") from error

    def secrets(self, request: httpx.Request) -> tuple[str, ...]:
        """What was sent in `request` and must not be repeated from its answer: the key, and configured headers that are long enough."""
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        return tuple(secret for secret in (key, *self.headers.values()) if len(secret) >= _SECRET_LENGTH)


async def read_body(response: httpx.Response, limit: int) -> bytes | None:
    """The whole body; None when it has more than `limit` bytes."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)
