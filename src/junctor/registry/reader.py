"""How a registry is read, whatever stands behind it: a server, or a file with all that a server held."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from junctor.api.endpoint import SecretKeyRef
from junctor.api.registry import MCPRegistrySpec

#: Returns the value of a Secret's key in the form in which it is sent. Raises an exception of the caller's choice when there is none.
SecretText = Callable[[SecretKeyRef], str]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list.

    records: JSON values, not validated. next_cursor: None on the last page. date: the registry's clock when it answered, None when the
    answer had no readable date. requests: how many requests the page took.
    """

    records: Sequence[Any]
    next_cursor: str | None
    date: datetime | None
    requests: int


class PageReader(Protocol):
    """Reads the list of servers, page by page: all that a full sync needs."""

    async def page(
        self, cursor: str | None = None, *, updated_since: str | None = None, search: str | None = None, latest: bool = True
    ) -> Page:
        """Read one page of the servers.

        Args:
            cursor: of the page before, None for the first.
            updated_since: RFC 3339; only servers that were updated since then, deleted ones included.
            search: part of a name, which shortens the list where the registry supports it. Other servers may still be in it.
            latest: only the latest version of each server, where the registry knows it.

        Raises:
            RegistryError: the registry could not be read; QueryRefused when it does not accept one of the parameters.
        """
        ...


class RegistryReader(PageReader, Protocol):
    """Reads one registry."""

    async def versions(self, name: str) -> Sequence[Any]:
        """Read all versions of a server that are not deleted, as JSON values, not validated; none of an unknown server.

        Raises RegistryError.
        """
        ...


def request_headers(spec: MCPRegistrySpec, secret: SecretText) -> dict[str, str]:
    """Return the headers of every request to the registry itself, credentials included. Raises what `secret` raises."""
    headers = {}
    for header in spec.headers or ():
        headers[header.name] = secret(header.value_from.secret_key_ref) if header.value_from else header.value or ""
    if spec.auth and spec.auth.bearer:
        headers["Authorization"] = f"Bearer {secret(spec.auth.bearer.secret_key_ref)}"
    return headers
