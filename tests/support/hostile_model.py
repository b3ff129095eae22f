"""A model server that answers with raw bytes."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

#: Bytes of an answer after its head, piece by piece.
Pieces = Callable[[], Iterable[bytes]]


@dataclass
class HostileModel:
    """pieces: of the next answers. headers: of the next answers. url: of the server."""

    pieces: Pieces = field(default=lambda: ())
    headers: dict[str, str] = field(default_factory=dict)
    url: str = ""

    def answers(self, pieces: Pieces, kind: str = "text/event-stream", **headers: str) -> None:
        """Answer so from now on, until the connection is closed. headers: `_` for `-`."""
        self.pieces = pieces
        self.headers = {"Content-Type": kind, "Connection": "close", **{name.replace("_", "-"): value for name, value in headers.items()}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def do_GET(self) -> None:
        model = getattr(self.server, "model", None)
        assert isinstance(model, HostileModel)
        self.send_response(200)
        for name, value in model.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        for piece in model.pieces():
            self.wfile.write(piece)

    def handle(self) -> None:
        with suppress(ConnectionError, TimeoutError):
            super().handle()

    def finish(self) -> None:
        with suppress(ConnectionError, TimeoutError):
            super().finish()

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


@contextmanager
def hostile_model() -> Iterator[HostileModel]:
    """Run a model server that answers as its `answers` was told last."""
    model = HostileModel()
    server = _Server(("127.0.0.1", 0), _Handler)
    server.model = model  # type: ignore[attr-defined]  # read by the handlers
    model.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
