"""A registry for tests: serves rows of `registry_data` as the official one does, and misbehaves as told. One thread, no framework.

    with FakeRegistry(servers(500)) as registry:
        registry.fault = lambda request: Status(503) if request.page == 4 else None
        ... registry.url ...; registry.requests[0].query["cursor"]
        registry.rows = registry.rows[:50]                    # it shrinks
        registry.publish(record("io.github.acme/weather", "2.0.0", updated=...))

`python -m tests.support.fake_registry --servers 80000 --port 8000` serves it by itself.
"""

import asyncio
import contextlib
import gzip
import json
import ssl
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import parse_qsl, unquote

import click

from tests.support.listening import Listener
from tests.support.registry_data import OFFICIAL, Row, encoded, servers

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. number: of all requests, from 1. page: for a list, which page of the whole list it asks for, from 1; else 0."""

    number: int
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    page: int


@dataclass(frozen=True, slots=True)
class Status:
    """Another answer than the right one."""

    status: int
    body: bytes = b'{"title":"the script says so"}'
    kind: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection ends after that many bytes of the right body; None: before the answer begins."""

    after: int | None = None


@dataclass(frozen=True, slots=True)
class Stall:
    """No answer for ever; with `after`, no more after that many bytes of the body."""

    after: int | None = None


@dataclass(frozen=True, slots=True)
class Drip:
    """The right answer, a byte every so many seconds."""

    seconds: float = 0.01


@dataclass(frozen=True, slots=True)
class Slow:
    """The right answer, so many seconds later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cursor:
    """The right records with this next cursor; "": none."""

    cursor: str


Fault = Status | Cut | Stall | Drip | Slow | Cursor


@dataclass
class Manner:
    """How the registry differs from the official one. Change it at any time.

    updated_since: "honoured", "ignored" or "refused". metadata: whether lists have any. meta: whether records have `_meta`. null: an empty
    list is null. date: what it says the time is. key: of the bearer token that it wants. encoding: "gzip" compresses.
    """

    latest: bool = True
    search: bool = True
    include_deleted: bool = True
    updated_since: str = "honoured"
    cursor_name: str = "nextCursor"
    metadata: bool = True
    meta: bool = True
    null: bool = False
    date: datetime | None = None
    key: str | None = None
    encoding: str = ""


class _Selection(NamedTuple):
    of: Sequence[Row]
    key: tuple[Any, ...]
    rows: list[Row]
    keys: list[tuple[str, str]]


class FakeRegistry:
    """The server on a port of 127.0.0.1 while the context lasts. url: without /v0.1, with the prefix. fault: decides what goes wrong."""

    def __init__(
        self,
        rows: Iterable[Row] = (),
        *,
        prefix: str = "",
        version: str = "v0.1",
        port: int = 0,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        self.rows = list(rows)
        self.manner = Manner()
        self.requests: list[Asked] = []
        self.fault: Callable[[Asked], Fault | None] = lambda _: None
        #: False for long scans whose requests nobody looks at.
        self.keep_requests = True
        self._path = f"{prefix}/{version}/servers"
        self._count = 0
        self._selected: _Selection | None = None
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
        if self._tls and tls:
            self._tls.load_cert_chain(*tls)
        self._socket = Listener.on(port)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._socket.port}{prefix}"
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="fake registry")
        self._connections: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def rows(self) -> list[Row]:
        """All versions of all servers. Assign a new list to change them."""
        return self._rows

    @rows.setter
    def rows(self, rows: Iterable[Row]) -> None:
        self._rows = sorted(rows, key=lambda row: (row.name, row.version))

    def publish(self, row: Row) -> None:
        """Add a version; when it is the latest, the others of the server are not any more. A version that is there is replaced."""
        others = [known for known in self.rows if (known.name, known.version) != (row.name, row.version)]
        self.rows = [_not_latest(known) if row.latest and known.name == row.name else known for known in others] + [row]

    def set_status(self, name: str, status: str, *, updated: float, version: str | None = None) -> None:
        """Make a server, or one version of it, active, deprecated or deleted. The latest is one that is not deleted, if there is one."""
        mine = [row for row in self.rows if row.name == name]
        mine = [_changed(row, status=status, updated=updated) if version in (None, row.version) else row for row in mine]
        latest = max(mine, key=lambda row: (row.status != "deleted", row.latest, row.updated))
        mine = [_changed(row, latest=row is latest) if row.latest != (row is latest) else row for row in mine]
        self.rows = [*(row for row in self.rows if row.name != name), *mine]

    # --- the server

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with await asyncio.start_server(self._connected, sock=self._socket, ssl=self._tls):
            self._started.set()
            await self._stop.wait()
            self._loop.remove_reader(self._socket)  # closing the server at once would lose connections that were just accepted
            await self._turns()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            await self._socket.close_connections()

    async def _turns(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            while await self._exchange(reader, writer):
                pass
        writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection stays."""
        first = await reader.readexactly(1)
        if not first.isalpha():
            # TLS, where none is spoken: what servers of HTTP say.
            writer.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
            await writer.drain()
            return False
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path, _, query = head[0].split(" ")[1].partition("?")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        asked = self._asked(path, dict(parse_qsl(query, keep_blank_values=True)), headers)
        fault = self.fault(asked)
        if isinstance(fault, Slow):
            await asyncio.sleep(fault.seconds)
        status, body, more = self._answer(asked, fault)
        if self.manner.encoding == "gzip":
            body, more = gzip.compress(body, 1), {**more, "content-encoding": "gzip"}
        date = format_datetime(self.manner.date or datetime.now(UTC), usegmt=True)
        lines = {"content-type": JSON, "date": date, "content-length": str(len(body)), **more}
        start = f"HTTP/1.1 {status} Because\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
        return await self._write(writer, start.encode("latin-1"), body, fault)

    async def _write(self, writer: asyncio.StreamWriter, start: bytes, body: bytes, fault: Fault | None) -> bool:
        match fault:
            case Cut(after=None):
                return False
            case Stall(after=None):
                await asyncio.Event().wait()
            case Cut(after=int(after)) | Stall(after=int(after)):
                writer.write(start + body[:after])
                await writer.drain()
                if isinstance(fault, Stall):
                    await asyncio.Event().wait()
                # What was written has to leave before the connection is reset.
                writer.close()
                await writer.wait_closed()
                return False
            case Drip(seconds=seconds):
                writer.write(start)
                for at in range(len(body)):
                    writer.write(body[at : at + 1])
                    await writer.drain()
                    await asyncio.sleep(seconds)
            case _:
                writer.write(start + body)
                await writer.drain()
        return True

    # --- what it answers

    def _asked(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Asked:
        self._count += 1
        page = 0
        if path == self._path:
            _, keys = self._selection(query)
            size = max(int(query.get("limit", "30")), 1) if query.get("limit", "30").isdigit() else 30
            page = _after(keys, query.get("cursor")) // size + 1
        asked = Asked(self._count, path, query, headers, page)
        if self.keep_requests:
            self.requests.append(asked)
        return asked

    def _answer(self, asked: Asked, fault: Fault | None) -> tuple[int, bytes, Mapping[str, str]]:
        if isinstance(fault, Status):
            return fault.status, fault.body, {"content-type": fault.kind, **fault.headers}
        if self.manner.key is not None and asked.headers.get("authorization") != f"Bearer {self.manner.key}":
            return _problem(401, "Unauthorized")
        if asked.path == self._path:
            return self._list(asked.query, fault)
        parts = asked.path.removeprefix(f"{self._path}/").split("/")
        if asked.path.startswith(f"{self._path}/") and parts[1:2] == ["versions"] and len(parts) <= 3:
            return self._versions(unquote(parts[0]), unquote(parts[2]) if parts[2:] else None)
        return 404, b"404 page not found\n", {"content-type": "text/plain; charset=utf-8"}

    def _list(self, query: Mapping[str, str], fault: Fault | None) -> tuple[int, bytes, Mapping[str, str]]:
        limit = query.get("limit", "30")
        if not limit.isdigit() or not 1 <= int(limit) <= 100:
            return _problem(422, "validation failed")
        if "updated_since" in query:
            if self.manner.updated_since == "refused" or _time(query["updated_since"]) is None:
                return _problem(400, "Invalid updated_since format: expected RFC3339 timestamp")
            if query.get("include_deleted") == "false":
                return _problem(400, "Cannot set include_deleted=false when using updated_since")
        if self.manner.search and 0 < len(query.get("search", "").strip()) < 3:
            return _problem(422, "search must contain at least 3 characters after trimming surrounding whitespace")
        rows, keys = self._selection(query)
        start = _after(keys, query.get("cursor"))
        page = rows[start : start + int(limit)]
        # As the official one: a full page has a cursor, also when it is the last.
        cursor = ":".join(keys[start + len(page) - 1]) if len(page) == int(limit) else ""
        if isinstance(fault, Cursor):
            cursor = fault.cursor
        return 200, self._list_body([row.body for row in page], cursor), {}

    def _list_body(self, bodies: Sequence[bytes], cursor: str) -> bytes:
        if not self.manner.meta:
            bodies = [json.dumps({"server": json.loads(body)["server"]}).encode() for body in bodies]
        metadata: dict[str, Any] = {"count": len(bodies)} | ({self.manner.cursor_name: cursor} if cursor else {})
        end = b',"metadata":' + json.dumps(metadata).encode() if self.manner.metadata else b""
        listed = b"null" if self.manner.null and not bodies else b"[" + b",".join(bodies) + b"]"
        return b'{"servers":' + listed + end + b"}"

    def _versions(self, name: str, version: str | None) -> tuple[int, bytes, Mapping[str, str]]:
        known = [row for row in self.rows if row.name == name and row.status != "deleted"]
        if version is not None:
            known = [row for row in known if row.version == version or (version == "latest" and row.latest)]
        if not known:
            return _problem(404, "Server not found")
        return 200, known[0].body if version is not None else self._list_body([row.body for row in known], ""), {}

    def _selection(self, query: Mapping[str, str]) -> tuple[list[Row], list[tuple[str, str]]]:
        """The rows that a query asks for, and their keys; the last selection is remembered, because all pages of a scan ask for it."""
        manner = self.manner
        since = _time(query.get("updated_since", "")) if manner.updated_since == "honoured" else None
        latest = manner.latest and query.get("version") == "latest"
        deleted = not manner.include_deleted or query.get("include_deleted") == "true" or since is not None
        search = query.get("search", "").lower() if manner.search else ""
        version = query.get("version") if query.get("version") != "latest" else None
        known, key = self._rows, (since, latest, deleted, search, version)
        selected = self._selected
        if selected is None or selected.of is not known or selected.key != key:
            rows = [
                row
                for row in known
                if (since is None or round(row.updated, 6) > round(since, 6))  # times are told in microseconds
                and (not latest or row.latest)
                and (deleted or row.status != "deleted")
                and search in row.name.lower()
                and version in (None, row.version)
            ]
            selected = self._selected = _Selection(known, key, rows, [(row.name, row.version) for row in rows])
        return selected.rows, selected.keys


def _after(keys: Sequence[tuple[str, str]], cursor: str | None) -> int:
    name, _, version = (cursor or "").partition(":")
    return bisect_right(keys, (name, version)) if cursor else 0


def _problem(status: int, detail: str) -> tuple[int, bytes, Mapping[str, str]]:
    return status, json.dumps({"status": status, "detail": detail}).encode(), {"content-type": "application/problem+json"}


def _time(text: str) -> float | None:
    with contextlib.suppress(ValueError):
        time = datetime.fromisoformat(text)
        return time.timestamp() if time.tzinfo else None
    return None


def _not_latest(row: Row) -> Row:
    return _changed(row, latest=False) if row.latest else row


def _changed(row: Row, **changes: Any) -> Row:
    """A row with another status, time of change or isLatest, also in its body. When it was published does not change."""
    changed = replace(row, **changes)
    document = json.loads(row.body)
    published = document["_meta"][OFFICIAL]["publishedAt"]
    document = json.loads(encoded(document["server"], changed.updated, changed.latest, changed.status))
    document["_meta"][OFFICIAL]["publishedAt"] = published
    return replace(changed, body=json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())


@click.command(context_settings={"show_default": True})
@click.option("--servers", "count", default=1000, type=click.IntRange(0), help="How many servers it has.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Port; 0: any.")
def main(count: int, port: int) -> None:
    """Serve generated servers until Ctrl-C; the first line is the address."""
    with FakeRegistry(servers(count), port=port) as registry:
        registry.keep_requests = False
        click.echo(registry.url)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
