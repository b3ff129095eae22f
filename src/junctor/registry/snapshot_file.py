"""Snapshot files of whole registries: `junctor registries list --save` writes them, `junctor render --registry-snapshot` reads them.

A file is JSON, one value on each line, compressed with gzip. The first line identifies it:

    {"schema": "junctor.dev/registry-snapshot/v1", "url": "https://registry.example.com", "taken": "2026-05-17T12:00:00Z"}

Each other line is a page with its records as the registry sent them: `{"servers": [...]}`. The reader accepts uncompressed lines, too. The
file holds nothing that was sent to the registry.

SnapshotError    the file is no snapshot, or is incomplete; the message names it
"""

import gzip
import io
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from junctor.net.timestamps import rfc3339
from junctor.registry.reader import Page

SCHEMA: Final = "junctor.dev/registry-snapshot/v1"
_MAGIC: Final = b"\x1f\x8b"
#: Bytes of a line: the largest page that the client reads, and some room.
_MAX_LINE: Final = 48 * 2**20


class SnapshotError(Exception):
    """A file cannot be read as a snapshot."""


class SnapshotWriter:
    """Writes a snapshot page by page. The file appears complete when the context ends without an error. Raises OSError."""

    def __init__(self, path: Path, url: str, taken: datetime) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._file = self._part.open("xb")
        # Without a time of its own, so that equal content gives an equal file.
        self._zip = gzip.GzipFile("", "wb", compresslevel=6, fileobj=self._file, mtime=0)
        self._line({"schema": SCHEMA, "url": url, "taken": rfc3339(taken)})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            self._zip.close()
            self._file.close()
            if error is None:
                self._part.replace(self._path)
        finally:
            self._part.unlink(missing_ok=True)

    def add(self, records: Sequence[Any]) -> None:
        """Add the records of a page."""
        self._line({"servers": records})

    def _line(self, value: Any) -> None:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        # Records may hold halves of surrogate pairs, which only the parser of the record judges.
        self._zip.write(text.encode("utf-8", "surrogatepass") + b"\n")


@contextmanager
def open_snapshot(path: Path) -> Iterator["SnapshotReader"]:
    """Read a snapshot while the context lasts. Raises SnapshotError."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise SnapshotError(f"{path} cannot be read: {error.strerror}") from error
    with file:
        yield SnapshotReader(path, gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == _MAGIC else file)


class SnapshotReader:
    """Reads the pages of a snapshot once, like those of a registry. url: of the registry. taken: when it was read. Raises SnapshotError."""

    def __init__(self, path: Path, file: gzip.GzipFile | io.BufferedReader) -> None:
        self._path = path
        self._file = file
        self._number = 0
        head = self._line()
        if not isinstance(head, dict) or head.get("schema") != SCHEMA:
            found = head.get("schema") if isinstance(head, dict) else None
            is_newer = isinstance(found, str) and found.startswith(SCHEMA.rpartition("/")[0])
            why = f"is of the schema {found}, which this version does not know" if is_newer else "is no snapshot of a registry"
            raise SnapshotError(f"{path} {why}; make one with junctor registries list --save")
        self.url = str(head.get("url"))
        try:
            self.taken = datetime.fromisoformat(str(head.get("taken"))).astimezone(UTC)
        except ValueError:
            raise SnapshotError(f"{path} does not say when it was taken") from None
        self._ahead = self._records()

    async def page(
        self, cursor: str | None = None, *, updated_since: str | None = None, search: str | None = None, latest: bool = True
    ) -> Page:
        """Read the next page, whatever the parameters: the reader filters by itself. Raises SnapshotError."""
        records, self._ahead = self._ahead or (), self._records()
        self._number += 1
        return Page(records, None if self._ahead is None else str(self._number), self.taken, 0)

    def _records(self) -> Sequence[Any] | None:
        line = self._line()
        if line is None:
            return None
        records = line.get("servers") if isinstance(line, dict) else None
        if not isinstance(records, list):
            raise SnapshotError(f"{self._path}: line {self._number + 2} is no page of a registry")
        return records

    def _line(self) -> Any:
        try:
            line = self._file.readline(_MAX_LINE)
            return json.loads(line) if line else None
        except (OSError, EOFError, zlib.error) as error:
            raise SnapshotError(f"{self._path} is not whole: {error}") from error
        except (ValueError, RecursionError) as error:
            raise SnapshotError(f"{self._path} is no snapshot of a registry: it is not JSON on each line") from error
