"""A registry that answers every request with the next page of an attack, over plain HTTP, from a thread.

with HostileRegistry(endless(wide)) as registry: ... registry.url ...
"""

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

from tests.support.registry_data import record, remote

#: Makes the pages of one sync: each a body without its end, `{"servers": [...`, to which the cursor is added.
Pages = Callable[[], Iterator[bytes]]

_MIB: Final = 1024 * 1024
_END: Final = b'],"metadata":{"nextCursor":"%s"}}'


class HostileRegistry:
    """The server on a port of 127.0.0.1 while the context lasts. pages: begins anew with each sync. syncs, sent: so far."""

    def __init__(self, pages: Pages) -> None:
        self.syncs = 0
        self.sent = 0
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            state: Iterator[bytes] = iter(())

            def do_GET(self) -> None:
                if "cursor=" not in self.path:
                    registry.syncs += 1
                    registry._pages = pages()
                page = next(registry._pages, None)
                registry.sent += 1
                body = b'{"servers":[]}' if page is None else page + _END % str(registry.sent).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._pages: Iterator[bytes] = iter(())
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that has gone is no error here
        self._thread = threading.Thread(target=self._server.serve_forever, name="hostile registry")
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def page_of(*records: bytes) -> bytes:
    """A page without its end."""
    return b'{"servers":[' + b",".join(records)


def wide(number: int, salt: str = "", *, bytes_each: int = 56_000) -> bytes:
    """A record whose entry takes about so many bytes of the map."""
    values = [{"name": f"X-{index}", "value": f"{salt}{number}".ljust(4000, "v")} for index in range(bytes_each // 4000)]
    return record(f"com.evil/{number}", "1.0.0", remotes=[remote(f"https://{number}.example.com/mcp", headers=values)]).body


def endless(salted: bool = False) -> Pages:
    """Pages of 60 wide records, 3.4 MB, without an end. salted: every record differs from that of the sync before."""
    syncs = itertools.count()

    def pages() -> Iterator[bytes]:
        salt = f"{next(syncs)}-" if salted else ""
        for first in itertools.count(0, 60):
            yield page_of(*(wide(number, salt) for number in range(first, first + 60)))

    return pages


def many(count: int) -> Pages:
    """So many small records, as many on a page as fit into one megabyte."""
    names = (f"com.evil/{'n' * 100}{number}" for number in range(count))
    rows = [json.dumps({"server": {"name": name, "version": "1.0.0", "remotes": [{"type": "grpc"}]}}).encode() for name in names]
    return lambda: (page_of(*rows[first : first + 4000]) for first in range(0, count, 4000))


def large() -> Pages:
    """Pages of almost 32 MiB, each of texts that take four bytes for each character once they are read."""
    text = json.dumps({"server": {"name": "com.evil/large", "description": "\U0001f4a3" + "d" * 3900}}, ensure_ascii=False).encode()
    page = page_of(*[text] * (31 * _MIB // (len(text) + 1)))
    return lambda: itertools.repeat(page)


def dense() -> Pages:
    """Pages of almost as many bytes, each with millions of empty values."""
    page = page_of(b"{}," * (10 * _MIB) + b"{}")
    return lambda: itertools.repeat(page)
