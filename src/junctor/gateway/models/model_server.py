"""One model server over HTTP: its URL, the gateway's credentials for it, and how long it may take to answer; and the clients for all."""

import http.cookiejar
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import httpx

from junctor.gateway.models.model_errors import refusal
from junctor.gateway.models.ports import UpstreamError
from junctor.gateway.web.bodies import Hold
from junctor.net.files import FileStamp
from junctor.net.lifo_pool import LifoPool
from junctor.net.redaction import secret_words

_log = logging.getLogger(__name__)

#: Returns the gateway's API key for a model server, None for a server that needs none. Raises UpstreamError when there is no usable key.
Key = Callable[[], str | None]

_MAX_ERROR: Final = 64 * 1024
#: uvicorn, which vLLM runs on, closes idle connections after 5 s; a request sent at that very moment would fail.
_KEEP_SECONDS: Final = 3.0
_MOST_IDLE: Final = 100


def no_key() -> None:
    """Return no key, for a model server that needs none."""
    return


class KeyFile:
    """An API key in a file, such as a mounted Secret. A changed file is read again, so that a rotated key needs no restart."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: FileStamp | None = None
        self._key = ""

    def __call__(self) -> str:
        """Return the current key. Raises UpstreamError when the file holds none."""
        try:
            stamp = FileStamp.of(self._path)
            if stamp != self._stamp:
                key = self._path.read_text(encoding="ascii").strip()
                if not key or not key.isprintable():
                    raise ValueError("it is empty or has characters that no header can have")
                self._key, self._stamp = key, stamp
        except (OSError, ValueError) as error:
            reason = "it holds bytes that no header can have" if isinstance(error, UnicodeError) else error
            _log.error("key file %s cannot be used: %s", self._path, reason)
            raise UpstreamError("the gateway has no usable key for the model server", status=503, code="server_error") from None
        return self._key


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds.

    connect: until the connection stands. silence: without a byte, before the first one or between two; an answer that is not streamed is
    silent until it is complete. listing: for the list of models.
    """

    connect: float = 5.0
    silence: float = 600.0
    listing: float = 10.0


class ModelClients:
    """HTTP clients that all model servers share: as many connections as there are requests; cookies are not kept.

    The pool of httpx looks at every connection, with a system call for idle ones, whenever a request begins or ends, which at 16 concurrent
    requests was a fifth of the gateway's work. Here each pool has one connection.

    transport: replaces the network in tests.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._transport = transport
        self._tls = httpx.create_ssl_context()
        self._idle = LifoPool(self._client, httpx.AsyncClient.aclose, most=_MOST_IDLE, seconds=_KEEP_SECONDS)

    @asynccontextmanager
    async def stream(self, method: str, url: str, **options: Any) -> AsyncIterator[httpx.Response]:
        """Send a request and return the response before its body is read, as `httpx.AsyncClient.stream` does."""
        client = self._idle.take()
        try:
            async with client.stream(method, url, **options) as response:
                yield response
        finally:
            await self._idle.give(client)

    async def aclose(self) -> None:
        """Close the idle connections."""
        await self._idle.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _client(self) -> httpx.AsyncClient:
        no_cookies = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        limits = httpx.Limits(max_connections=None, keepalive_expiry=_KEEP_SECONDS)
        return httpx.AsyncClient(verify=self._tls, limits=limits, cookies=no_cookies, transport=self._transport)


@dataclass(frozen=True, slots=True)
class ModelServer:
    """base: a URL that `config.base_url` returned. key: called for each request. headers: sent with each request."""

    base: str
    clients: ModelClients = field(repr=False)
    key: Key = field(default=no_key, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeouts: Timeouts = Timeouts()

    @asynccontextmanager
    async def send(
        self, method: str, path: str, *, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[httpx.Response]:
        """Send a request and return the response before its body is read. Leaving the context ends the request at once.

        Args:
            method: GET or POST.
            path: what is added to the base URL.
            content: JSON, None for no body.
            headers: headers of the caller; configured headers replace those of the same name.

        Raises:
            UpstreamError: the server cannot be used or refused the request; also raised while the body is read inside the context.
        """
        sent = self._request_headers(headers or {}, has_body=content is not None)
        timeout = httpx.Timeout(self.timeouts.silence, connect=self.timeouts.connect, pool=self.timeouts.connect)
        with _transport_errors():
            async with self.clients.stream(
                method, self.base + path, content=content, headers=sent, timeout=timeout, follow_redirects=False
            ) as response:
                if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
                    # Which was not asked for. A kilobyte, compressed twice, may unpack to a gigabyte.
                    raise UpstreamError("the model server compressed its answer", code="server_error")
                if not response.is_success:
                    body = await read_body(response, _MAX_ERROR)
                    secrets = self.secrets(response.request)
                    raise refusal(response.status_code, body or b"", retry_after=response.headers.get("retry-after"), secrets=secrets)
                yield response

    def secrets(self, request: httpx.Request) -> tuple[str, ...]:
        """Return what `request` carried and no answer may repeat: the key, and configured header values that are long enough."""
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        return secret_words((key, *self.headers.values()))

    def _request_headers(self, headers: Mapping[str, str], *, has_body: bool) -> httpx.Headers:
        key = self.key()
        sent = httpx.Headers({**headers})
        # A compressed stream would arrive in large pieces.
        sent.update({**self.headers, "accept-encoding": "identity"})
        if has_body:
            sent["content-type"] = "application/json"
        if key:
            sent["authorization"] = f"Bearer {key}"
        return sent


async def read_body(response: httpx.Response, limit: int, hold: Hold = lambda _: None) -> bytes | None:
    """Return the whole body, or None when it has more than `limit` bytes. hold: is told how much has come."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        hold(len(chunk))
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


@contextmanager
def _transport_errors() -> Iterator[None]:
    """Raise UpstreamError for httpx's errors, whose texts may name addresses."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
        raise UpstreamError("the model server cannot be reached", status=503, code="server_error") from error
    except httpx.TimeoutException as error:
        raise UpstreamError("the model server was silent for too long", code="server_error") from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise UpstreamError("the connection to the model server broke", code="server_error") from error
