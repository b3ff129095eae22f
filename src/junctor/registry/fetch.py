"""Sends GET requests that are bounded in time and size and never leave their origin. Every failure is a RegistryError.

Messages name the media type and the length of an answer. Only the log quotes it: a short printable excerpt in one line, without the values
of the request's own headers.
"""

import asyncio
import http.cookiejar
import ssl
import zlib
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final, Self

import anyio  # noqa: F401 - httpx would import it at the first request and block the event loop meanwhile
import httpx

from junctor import __version__
from junctor.net.connecting import AddressRefused
from junctor.net.network_policy import NetworkRules
from junctor.net.redaction import redact, secret_words
from junctor.net.tls import ssl_context
from junctor.net.transport_failures import FailureKind, causes, transport_failure
from junctor.net.urls import redacted_url
from junctor.registry.bodies import Body
from junctor.registry.errors import NotARegistry, RegistryAddressRefused, RegistryError, RegistryTLSFailed, RegistryUnreachable, SyncTimeout
from junctor.registry.network import GuardedTransport

#: Bytes of one answer, decompressed.
MAX_BODY: Final = 32 * 1024 * 1024
#: Bytes. A page of a real registry has 200,000.
LARGE: Final = 1024 * 1024
_MAX_REDIRECTS: Final = 5
_MAX_CONNECT_SECONDS: Final = 10.0
_EXCERPT: Final = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of any status but a redirect.

    url: without its query. excerpt: its beginning, printable, for the log. length: bytes of the body.
    """

    url: str
    status: int
    headers: httpx.Headers
    body: Body
    excerpt: str
    length: int

    @property
    def kind(self) -> str:
        """Its media type, such as application/json; "" when it names none."""
        return printable(self.headers.get("content-type", "").split(";")[0].lower())

    @property
    def description(self) -> str:
        """Its media type and its length, for messages."""
        return f"{self.kind or 'no content type'}, {self.length} bytes"

    @property
    def is_large(self) -> bool:
        """Whether to read it takes so long that it belongs in a thread."""
        return self.length > LARGE

    def without_body(self) -> Self:
        """What is left to know once the body was read."""
        return replace(self, body=b"")


class Fetcher:
    """Sends GET requests.

    Args:
        headers: sent with each request, to its own origin only.
        tls: None trusts the system's authorities.
        timeout: seconds for an answer, from the connection to the last byte.
        network: which addresses the origin may have.
        large_answers: held from the moment when an answer turns out to be large.
    """

    def __init__(
        self, headers: Mapping[str, str], tls: ssl.SSLContext | None, timeout: float, network: NetworkRules, large_answers: asyncio.Lock
    ) -> None:
        self._timeout = timeout
        self._large_answers = large_answers
        self._secrets = secret_words(headers.values())
        self._client = httpx.AsyncClient(
            headers={"user-agent": f"junctor/{__version__}", "accept": "application/json", **headers, "accept-encoding": "gzip"},
            cookies=http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[])),
            # Proxies of the environment would resolve the name themselves; with a transport of its own, the client uses none.
            transport=GuardedTransport(tls or ssl_context(), network),
            # `get` limits the whole exchange; the connection has a limit of its own so that its failure is reported as such.
            timeout=httpx.Timeout(None, connect=min(_MAX_CONNECT_SECONDS, timeout / 2)),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def get(self, url: str, until_read: AsyncExitStack) -> Answer:
        """Send a GET and return the answer, whatever its status. Raises RegistryError.

        until_read: ends when the body is not needed any more; a large one keeps other large ones waiting until then.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return await self._follow(httpx.URL(url), until_read)
        except httpx.TransportError as error:
            # Not chained: the library's texts may hold header values.
            raise _failure(error, redacted_url(url)) from None
        except TimeoutError:
            raise SyncTimeout(f"{redacted_url(url)} did not answer completely within {self._timeout:g} s", transient=True) from None

    async def _follow(self, url: httpx.URL, until_read: AsyncExitStack) -> Answer:
        origin = url
        for _ in range(_MAX_REDIRECTS + 1):
            async with self._client.stream("GET", url) as response:
                if response.next_request is None:
                    body = await self._read(response, until_read)
                    excerpt = self._excerpt(body)
                    return Answer(redacted_url(str(origin)), response.status_code, response.headers, body, excerpt, len(body))
                target = response.next_request.url
            if _origin(target) != _origin(origin):
                there = redacted_url(str(target))
                raise NotARegistry(f"{redacted_url(str(origin))} redirects to {there}, another origin, where requests are not sent")
            url = target
        raise NotARegistry(f"{redacted_url(str(origin))} redirects more than {_MAX_REDIRECTS} times")

    async def _read(self, response: httpx.Response, until_read: AsyncExitStack) -> Body:
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity", "gzip"):
            url = redacted_url(str(response.url))
            raise RegistryError(f"{url} compressed its answer with {printable(encoding)!r}, which was not asked for")
        # Not httpx's own decoder: it does not bound the size that a few bytes unpack to.
        unpacked = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
        body = bytearray()  # not a list of parts: to join them takes their memory twice
        async for chunk in response.aiter_raw():
            try:
                part = unpacked.decompress(chunk, MAX_BODY + 1 - len(body)) if unpacked else chunk
            except zlib.error:
                raise _broken(response) from None
            if len(body) <= LARGE < len(body) + len(part):
                await until_read.enter_async_context(self._large_answers)
            body += part
            if len(body) > MAX_BODY:
                limit = f"{MAX_BODY // 1024**2} MiB"
                raise RegistryError(f"{redacted_url(str(response.url))} has more than {limit} in one answer; lower spec.sync.pageSize")
        if unpacked and not unpacked.eof:
            raise _broken(response)
        return body

    def _excerpt(self, body: Body) -> str:
        text = redact(body[: 64 * 1024].decode("utf-8", "replace"), self._secrets)
        return printable(text[: 10 * _EXCERPT])


def printable(text: str) -> str:
    """Return at most 100 printable characters of a text, with white space collapsed."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:_EXCERPT]


def _broken(response: httpx.Response) -> RegistryError:
    return RegistryError(f"the compressed answer of {redacted_url(str(response.url))} cannot be read", transient=True)


def _failure(error: httpx.TransportError, url: str) -> RegistryError:
    refused = next((cause for cause in causes(error) if isinstance(cause, AddressRefused)), None)
    if refused is not None:
        return RegistryAddressRefused(f"the address of the host of {url} {refused.reason}; nothing was sent")
    kind, detail = transport_failure(error)
    match kind:
        case FailureKind.CERTIFICATE:
            return RegistryTLSFailed(f"the certificate of {url} is not valid: {printable(detail)}")
        case FailureKind.TLS:
            return RegistryTLSFailed(f"no TLS connection to {url}: {detail}")
        case FailureKind.NAME:
            return RegistryUnreachable(f"the host name of {url} does not resolve", transient=True)
        case FailureKind.REFUSED:
            return RegistryUnreachable(f"nothing accepts connections at {url}", transient=True)
    match error:
        case httpx.ConnectTimeout():
            return RegistryUnreachable(f"{url} did not accept a connection in time", transient=True)
        case httpx.ConnectError():
            return RegistryUnreachable(f"no connection to {url}", transient=True)
        case httpx.LocalProtocolError():
            return RegistryError(f"the request to {url} could not be sent; look at spec.headers and spec.auth")
        case _:
            return RegistryError(f"{url} broke the connection before its answer was complete", transient=True)


def _origin(url: httpx.URL) -> tuple[str, str, int | None, bytes]:
    # User information would take the place of the credentials.
    return url.scheme, url.host, url.port, url.userinfo
