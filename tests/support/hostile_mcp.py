"""An MCP server that answers with raw bytes, on a socket and threads of its own, so that it can be as hostile and as quick as it likes."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

JSON = "application/json"
EVENTS = "text/event-stream"

#: Answers a JSON-RPC request.
Answer = Callable[["Handler", dict[str, Any]], None]


@dataclass
class HostileServer:
    """answers: by JSON-RPC method, or `GET` for the stream of a session; what is not there is answered well. url: without /mcp.

    asked: when each method was asked, in seconds; `next page` is for pages of tools/list after the first.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    url: str = ""
    asked: dict[str, list[float]] = field(default_factory=dict)

    def count(self, method: str) -> int:
        """How often a method was asked."""
        return len(self.asked.get(method, ()))


class Handler(BaseHTTPRequestHandler):
    """One connection. `server.hostile` is the HostileServer."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def send(self, body: bytes, kind: str = JSON, **headers: str) -> None:
        """Send a whole answer."""
        self.begin(kind, Content_Length=str(len(body)), **headers)
        self.wfile.write(body)
        self.wfile.flush()

    def begin(self, kind: str = JSON, **headers: str) -> None:
        """Send the head of an answer. headers: `_` for `-`; `status` is the status."""
        self.send_response(int(headers.pop("status", "200")))
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def stream(self, chunks: Iterator[bytes], kind: str = EVENTS) -> None:
        """Send an answer in these chunks, each in a chunk of HTTP, until the other side closes."""
        self.begin(kind, Transfer_Encoding="chunked")
        for chunk in chunks:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def result(self, request: Mapping[str, Any], value: bytes) -> None:
        """Send a JSON-RPC result that is written already."""
        self.send(result(request, value))

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method = request.get("method", "reply")
        self._record("next page" if (request.get("params") or {}).get("cursor") else method)
        if "id" not in request or method == "reply":
            self.begin(status="202", Content_Length="0")
        elif method in self._hostile.answers:
            self._hostile.answers[method](self, request)
        elif method == "initialize":
            value = (
                b'{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"h","version":"1"}}'
            )
            self.send(result(request, value), Mcp_Session_Id=f"session-{id(self)}")
        elif method == "tools/list":
            self.result(request, b'{"tools":[{"name":"echo","inputSchema":{"type":"object"}}]}')
        elif method == "tools/call":
            self.result(request, b'{"content":[{"type":"text","text":"well"}]}')
        else:
            self.send(json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32601, "message": "no such method"}}).encode())

    def do_GET(self) -> None:
        self._record("GET")
        if "GET" in self._hostile.answers:
            self._hostile.answers["GET"](self, {})
        else:
            self.begin(status="405", Content_Length="0")

    def do_DELETE(self) -> None:
        self._record("DELETE")
        self.begin(status="204")

    def handle(self) -> None:
        with suppress(ConnectionError, TimeoutError):
            super().handle()

    def finish(self) -> None:
        with suppress(ConnectionError, TimeoutError):
            super().finish()

    def log_message(self, *_: Any) -> None:
        pass

    @property
    def _hostile(self) -> HostileServer:
        hostile = getattr(self.server, "hostile", None)
        assert isinstance(hostile, HostileServer)
        return hostile

    def _record(self, method: str) -> None:
        self._hostile.asked.setdefault(method, []).append(time.monotonic())


def result(request: Mapping[str, Any], value: bytes) -> bytes:
    """A JSON-RPC result around a value that is written already."""
    return b'{"jsonrpc":"2.0","id":%s,"result":%s}' % (json.dumps(request["id"]).encode(), value)


@contextmanager
def hostile_server(**answers: Answer) -> Iterator[HostileServer]:
    """Run a server. answers: as of HostileServer, with `_` for `/`."""
    hostile = HostileServer({method.replace("_", "/"): answer for method, answer in answers.items()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    server.hostile = hostile  # type: ignore[attr-defined]  # read by the handlers
    hostile.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hostile
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def page(schema: bytes, cursor: bytes = b"") -> bytes:
    """A page of one tool. schema: values with a comma behind each, which stand in its input schema. cursor: of the next page."""
    more = b',"nextCursor":"%s"' % cursor if cursor else b""
    return b'{"tools":[{"name":"t%s","inputSchema":{"type":"object","x":[%s0]}}]%s}' % (cursor, schema, more)


def paged(schema: bytes, pages: int) -> Answer:
    """Answers tools/list with so many pages, each of one tool."""

    def answer(handler: Handler, request: dict[str, Any]) -> None:
        number = int((request.get("params") or {}).get("cursor") or 0) + 1
        handler.result(request, page(schema, b"%d" % number if number < pages else b""))

    return answer


def same_tools(handler: Handler, request: dict[str, Any]) -> None:
    """Answers tools/list with pages without an end, each of 55,000 tools of one name."""
    number = int((request.get("params") or {}).get("cursor") or 0) + 1
    tool = b'{"name":"same","inputSchema":{"type":"object"}}'
    handler.result(request, b'{"tools":[%s],"nextCursor":"%d"}' % (b",".join([tool] * 55_000), number))


def ends_at_once(handler: Handler, _: dict[str, Any]) -> None:
    """Answers GET with a stream that ends, and asks for no pause before the next one."""
    handler.send(b"retry: 0\nid: 1\ndata:\n\n", EVENTS)
