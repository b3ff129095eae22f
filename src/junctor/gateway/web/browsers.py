"""Keeps web pages away from ports that do not ask who calls.

A page may send a request to any address that its reader's machine reaches. With a host name that changes its address (DNS rebinding) it may
read the answer too.
"""

import ipaddress
import logging
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from junctor.gateway.web.errors import ApiError, Forbidden, log_failure
from junctor.gateway.web.json_response import JSONResponse
from junctor.gateway.web.middleware import REQUEST_ID, Render, new_request_id

_log = logging.getLogger(__name__)

_FOREIGN: Final = (b"cross-site", b"same-site")


class BrowserGuard:
    """Wraps an ASGI app, outermost: answers 403 to web pages of other origins.

    Args:
        app: The app of a port that lets everybody in.
        render: Makes the body of an error answer.
        hosts: Names under which the port may be used besides loopback's own; None: any.
    """

    def __init__(self, app: ASGIApp, *, render: Render, hosts: Iterable[str] | None) -> None:
        self._app = app
        self._render = render
        names = None if hosts is None else frozenset(host.lower() for host in hosts)
        self._is_served = lru_cache(64)(lambda host: names is None or _is_loopback(_name_of(host)) or _name_of(host) in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        error = self._objection(dict(scope["headers"]))
        if error is None:
            await self._app(scope, receive, send)
            return
        request_id = new_request_id()
        log_failure(_log, request_id, "a web page's request", error)
        answer = JSONResponse(self._render(error), status_code=error.status, headers={REQUEST_ID.decode(): request_id})
        await answer(scope, receive, send)

    def _objection(self, headers: dict[bytes, bytes]) -> ApiError | None:
        host, origin = headers.get(b"host", b"").lower(), headers.get(b"origin")
        is_foreign = origin is not None and origin.lower().partition(b"://")[2] != host
        if is_foreign or headers.get(b"sec-fetch-site") in _FOREIGN:
            return Forbidden("web pages of other origins may not use this port", code="origin_not_allowed")
        if host and not self._is_served(host):
            name = _name_of(host)[:100]
            return Forbidden(f"this port is not served under the name {name!r}; add --allowed-host NAME if it is", code="host_not_allowed")
        return None


def _name_of(host: bytes) -> str:
    """Return the name in a Host header, without port and brackets."""
    text = host.decode("latin-1")
    return text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0]


def _is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
