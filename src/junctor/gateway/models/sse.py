"""Parses server-sent events as model servers send them: bytes in, `data` payloads out, bounded in size."""

from collections.abc import Iterator
from typing import Final

from junctor.gateway.models.ports import UpstreamError

MAX_EVENT: Final = 4 * 1024 * 1024
MAX_STREAM: Final = 64 * 1024 * 1024


class StreamTooLarge(UpstreamError):
    """One event or the whole stream has more bytes than allowed."""

    def __init__(self) -> None:
        super().__init__("the model server's answer is larger than the gateway takes", code="server_error")


class EventReader:
    """Splits a byte stream into events. Only LF and CRLF end a line: no model server sends the lone CR that the standard also allows."""

    def __init__(self, *, max_event: int = MAX_EVENT, max_stream: int = MAX_STREAM) -> None:
        self._max_event = max_event
        self._left = max_stream
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the data of each event that `chunk` completes. Raises StreamTooLarge."""
        self._left -= len(chunk)
        if self._left < 0:
            raise StreamTooLarge
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            yield from self._line(line)
        self._check(len(self._rest))

    def finish(self) -> Iterator[str]:
        """Yield the last event when the stream ends: some servers omit the empty line that the standard requires after it."""
        line, self._rest = self._rest, b""
        if line:
            yield from self._line(line)
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[str]:
        line = line.removesuffix(b"\r")
        if not line:
            if self._data:
                # Decode complete events only: a character's bytes may arrive in two chunks.
                data, self._data, self._size = b"\n".join(self._data), [], 0
                yield data.decode("utf-8", errors="replace")
            return
        name, _, value = line.removeprefix(b"\xef\xbb\xbf").partition(b":")
        if name == b"data":
            self._check(len(value))
            self._data.append(value.removeprefix(b" "))
            self._size += len(value)

    def _check(self, more: int) -> None:
        if self._size + more > self._max_event:
            raise StreamTooLarge
