"""A client of the MCP Registry API (v0.1, and v0 where the base URL says so), tolerant of registries that deviate or fail for a while."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from http import HTTPStatus
from itertools import count
from typing import Any, Final, Self
from urllib.parse import quote, urlencode, urlunsplit

from junctor.net.backoff import Backoff
from junctor.net.clock import Clock
from junctor.net.json_values import has_more_values
from junctor.net.network_policy import OWN_MACHINE_POLICY, NetworkRules
from junctor.net.retry_after import retry_after_seconds
from junctor.net.timestamps import http_date
from junctor.net.urls import NotABase, NotHTTP, split_base_url
from junctor.registry.bodies import read_json, with_short_strings
from junctor.registry.errors import NotARegistry, QueryRefused, RegistryError, RegistryRateLimited, RegistryUnauthorized
from junctor.registry.fetch import Answer, Fetcher
from junctor.registry.reader import Page

#: Seconds. A registry that asks for a longer pause ends the sync; the next one begins after that pause.
_LONGEST_PAUSE: Final = 60.0
#: Seconds. No registry can delay its next sync for longer.
_LONGEST_RETRY_AFTER: Final = 3600.0
#: The clock adds the jitter.
_RETRIES: Final = Backoff(first=1.0, last=30.0, jitter=0.0)
#: Pauses are up to this share shorter or longer.
_SPREAD: Final = 0.5
_MAX_CURSOR: Final = 4096
#: Bytes of one answer, once its long strings are cut. A page of a real registry has 200,000.
_MAX_TEXT: Final = 4 * 1024**2
#: Characters. The official registry rejects a shorter text.
_SHORTEST_SEARCH: Final = 3
#: Values in one answer. Bounds the memory that a few MiB of `{},{},...` take. A page of a real registry has 30,000.
_MAX_VALUES: Final = 100_000


class RegistryClient:
    """Reads one registry. Close it, or use it in `async with`.

    Args:
        base_url: with or without /v0.1 (or /v0) at its end.
        headers: sent with every request, credentials included.
        tls: None trusts the system's authorities.
        timeout: seconds for one answer, from the connection to the last byte.
        page_size: 1 to 100.
        retries: how often a request is repeated, with growing pauses.
        first_retries: the same while the registry has not answered at all: a wrong address should be reported soon. None: as `retries`.
        network: which addresses the registry may have. Absent: all that a person at this machine would reach.
        clock: for the pauses, and for a Retry-After that names a date. None: the system's.
        large_answers: held while a large answer is read: one at a time of all registries that share it.

    Raises:
        ValueError: base_url is no URL of a registry.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        timeout: float = 30.0,
        page_size: int = 100,
        retries: int = 5,
        first_retries: int | None = None,
        network: NetworkRules = OWN_MACHINE_POLICY.default,
        clock: Clock | None = None,
        large_answers: asyncio.Lock | None = None,
    ) -> None:
        self._servers = _servers_url(base_url)
        self._page_size = page_size
        self._retries = retries
        self._first_retries = retries if first_retries is None else first_retries
        self._answered = False
        self._clock = clock or Clock()
        self._fetcher = Fetcher(headers or {}, tls, timeout, network, large_answers or asyncio.Lock())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._fetcher.close()

    async def page(
        self, cursor: str | None = None, *, updated_since: str | None = None, search: str | None = None, latest: bool = True
    ) -> Page:
        """Read one page of the servers; see `PageReader.page`."""
        query = {"limit": str(self._page_size)} | ({"version": "latest"} if latest else {})
        if updated_since is not None:
            query |= {"updated_since": updated_since, "include_deleted": "true"}
        if search is not None and len(search.strip()) >= _SHORTEST_SEARCH:
            query["search"] = search
        if cursor is not None:
            query["cursor"] = cursor
        answer, body, requests = await self._json(f"{self._servers}?{urlencode(query)}")
        records, next_cursor = _listing(answer, body)
        return Page(records, next_cursor, http_date(answer.headers.get("date")), requests)

    async def versions(self, name: str) -> Sequence[Any]:
        """Read all versions of a server; see `RegistryReader.versions`."""
        answer, body, _ = await self._json(f"{self._servers}/{quote(name, safe='')}/versions", may_be_unknown=True)
        return () if body is None else _listing(answer, body)[0]

    async def server(self, name: str, version: str = "latest") -> Any:
        """Read one version of a server, a JSON value that is not validated; None for one that is unknown or deleted.

        Raises RegistryError.
        """
        url = f"{self._servers}/{quote(name, safe='')}/versions/{quote(version, safe='')}"
        return (await self._json(url, may_be_unknown=True))[1]

    async def _json(self, url: str, *, may_be_unknown: bool = False) -> tuple[Answer, Any, int]:
        """Return the answer, its JSON value and the number of requests.

        may_be_unknown: whether a 404 in JSON means that the object does not exist; its value is None then.
        """
        for attempt in count():
            try:
                async with AsyncExitStack() as until_read:
                    answer = await self._fetcher.get(url, until_read)
                    value = await self._value(answer, may_be_unknown=may_be_unknown)
                    self._answered = True
                    return answer.without_body(), value, attempt + 1
            except RegistryError as error:
                retries = self._retries if self._answered else self._first_retries
                if not error.transient or attempt >= retries or (error.retry_after or 0.0) > _LONGEST_PAUSE:
                    raise
                backoff = self._clock.spread(_RETRIES.pause(attempt + 1), _SPREAD)
                await self._clock.sleep(max(backoff, error.retry_after or 0.0))
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _value(self, answer: Answer, *, may_be_unknown: bool) -> Any:
        status, where = answer.status, f"{answer.url} answers HTTP {answer.status}"
        retry_after = retry_after_seconds(answer.headers.get("retry-after"), self._clock.now())
        if retry_after is not None:
            retry_after = min(retry_after, _LONGEST_RETRY_AFTER)
        message = f"{where} ({answer.description})" if answer.length else f"{where} without a body"
        match status:
            case HTTPStatus.OK:
                return await asyncio.to_thread(_parsed, answer) if answer.is_large else _parsed(answer)
            case HTTPStatus.NOT_FOUND if may_be_unknown and "json" in answer.kind:
                return None
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
                raise RegistryUnauthorized(message, excerpt=answer.excerpt)
            case HTTPStatus.BAD_REQUEST | HTTPStatus.UNPROCESSABLE_ENTITY:
                raise QueryRefused(message, excerpt=answer.excerpt)
            case HTTPStatus.TOO_MANY_REQUESTS:
                raise RegistryRateLimited(f"{where}: too many requests", retry_after=retry_after, transient=True, excerpt=answer.excerpt)
            case HTTPStatus.REQUEST_TIMEOUT | HTTPStatus.TOO_EARLY:
                raise RegistryError(message, transient=True, excerpt=answer.excerpt)
            case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise RegistryError(message, retry_after=retry_after, transient=True, excerpt=answer.excerpt)
        raise NotARegistry(message, excerpt=answer.excerpt)


def _servers_url(base_url: str) -> str:
    try:
        parts = split_base_url(base_url)
    except NotHTTP:
        raise ValueError("the address of a registry is http or https, with a host; for example https://registry.example.com") from None
    except NotABase:
        raise ValueError("the address of a registry is its base, without user name, password, query and fragment") from None
    path = parts.path.rstrip("/")
    if not path.endswith(("/v0.1", "/v0")):
        path += "/v0.1"
    return urlunsplit((parts.scheme, parts.netloc, f"{path}/servers", "", ""))


def _parsed(answer: Answer) -> Any:
    # Each value has at most a key and a text.
    if answer.is_large and answer.body.count(b'"') > 4 * _MAX_VALUES:
        raise _too_many_values(answer)
    body = bytes(with_short_strings(answer.body) if answer.is_large else answer.body)
    if len(body) > _MAX_TEXT:
        limit = f"{_MAX_TEXT // 1024**2} MiB"
        raise RegistryError(f"{answer.url} has more than {limit} of short texts in one answer; lower spec.sync.pageSize")
    if has_more_values(body, _MAX_VALUES):
        raise _too_many_values(answer)
    try:
        return read_json(body)
    except ValueError:
        # An answer that claims to be JSON was cut on its way, so a retry may help; a web page stays a web page.
        message = f"{answer.url} answers with {answer.kind or 'no content type'} that is not JSON ({answer.length} bytes)"
        raise NotARegistry(message, transient="json" in answer.kind, excerpt=answer.excerpt) from None


def _too_many_values(answer: Answer) -> RegistryError:
    return RegistryError(f"{answer.url} has more than {_MAX_VALUES} values in one answer; lower spec.sync.pageSize")


def _listing(answer: Answer, body: Any) -> tuple[Sequence[Any], str | None]:
    """Return records and next cursor. Go writes an empty list as null; only the metadata beside it shows that it is a list."""
    records = body.get("servers") if isinstance(body, dict) else None
    metadata = body.get("metadata") if isinstance(body, dict) else None
    if records is None and isinstance(body, dict) and "servers" in body and isinstance(metadata, dict):
        records = []
    if not isinstance(records, list):
        message = f"{answer.url} answers with JSON that is no list of servers ({answer.description})"
        raise NotARegistry(message, excerpt=answer.excerpt)
    metadata = metadata if isinstance(metadata, dict) else {}
    cursor = metadata.get("nextCursor") or metadata.get("next_cursor") or None
    if cursor is not None and not (isinstance(cursor, str) and len(cursor) <= _MAX_CURSOR):
        raise NotARegistry(f"{answer.url} answers with a cursor that is not a text of at most {_MAX_CURSOR} characters")
    return records, cursor
