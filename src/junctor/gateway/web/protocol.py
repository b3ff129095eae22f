"""The HTTP protocol of both ports: uvicorn's, with budgets for heads, connections and silence, which uvicorn does not have."""

import asyncio
import heapq
import logging
from typing import Any, Final

import httptools
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from junctor.gateway.web import limits
from junctor.gateway.web.errors import ApiError, BadRequest, HeadTooLarge, Overloaded, RequestTimeout, UrlTooLong, log_failure
from junctor.gateway.web.json_response import JSONResponse
from junctor.gateway.web.middleware import REQUEST_ID, Render, new_request_id

_log = logging.getLogger(__name__)

#: Looked up for each header.
_HEADERS: Final = limits.HEADERS
#: Of how many connections one is closed when there are too many: looking for them takes time by the number of all.
_SHARE_THAT_LEAVES: Final = 64
_MALFORMED: Final = "the request is not valid HTTP/1.1"


class PortState(ServerState):
    """What the connections of one port share.

    max_connections: how many are served at once. render: makes the body of an error answer. seconds: a clock that stands still while the
    event loop does, so that no client is late because the gateway was.
    """

    def __init__(self, max_connections: int, render: Render) -> None:
        super().__init__()
        self.max_connections = max_connections
        self.render = render
        self.seconds = 0
        self.turned_away = 0
        self.gave_way = 0
        #: Connections that give way and are not closed yet.
        self.leaving = 0
        self._number = 0

    def next_number(self) -> int:
        """Number the connections in their order."""
        self._number += 1
        return self._number

    def has_room(self, newest: "BoundedProtocol") -> bool:
        """Whether the port takes one more connection, after it has closed some of those that wait: those that do so for longest.

        So nobody who only holds connections keeps out others, whose requests follow at once.
        """
        if len(self.connections) - self.leaving <= self.max_connections:
            return True
        waiting = [other for other in self.connections if isinstance(other, BoundedProtocol) and other.is_waiting and other is not newest]
        longest = heapq.nsmallest(-(-self.max_connections // _SHARE_THAT_LEAVES), waiting, key=lambda other: other.waits_since)
        for connection in longest:
            connection.give_way()
        self.leaving += len(longest)
        self.gave_way += len(longest)
        return bool(longest)

    def tick(self) -> None:
        """Close the connections that are late. Called about once a second."""
        self.seconds += 1
        for connection in tuple(self.connections):
            if isinstance(connection, BoundedProtocol):
                connection.check_deadlines()
        if self.turned_away:
            _log.warning("%d connections were refused: %d are open, the most that this port takes", self.turned_away, self.max_connections)
            self.turned_away = 0
        if self.gave_way:
            _log.warning("%d connections without a request gave way to others; the port takes %d", self.gave_way, self.max_connections)
            self.gave_way = 0


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A refusal is answered unless an earlier request still is, and closes the connection.

    Bytes are counted as they come, because the parser itself keeps a header until its end, however long it is.
    """

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        if not isinstance(server_state, PortState):
            raise TypeError("BoundedProtocol needs a PortState")
        self._port = server_state
        self._number = 0
        self._gives_way = False
        self._in_head = True
        #: Bytes since the parser last gave something: a whole head, a part of a body.
        self._unparsed = 0
        self._head_since = self._received_at = self._port.seconds
        self._refusal: ApiError | None = None
        #: Whether what still comes is dropped.
        self._is_deaf = False
        self._closing_since: int | None = None
        self._unsent = (0, 0)

    @property
    def is_waiting(self) -> bool:
        """Whether no request is being answered: its head or the rest of its body may be on the way."""
        is_idle = self.cycle is None or self.cycle.response_complete
        return is_idle and not self._gives_way and not self.transport.is_closing() and not self.transport.get_write_buffer_size()

    @property
    def waits_since(self) -> tuple[int, int]:
        """Of two connections that wait, the one with the smaller value does so longer."""
        return self._head_since, self._number

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        """Refuse the connection when there are too many and none of them gives way."""
        self._number = self._port.next_number()
        super().connection_made(transport)
        if not self._port.has_room(self):
            self._port.turned_away += 1
            self._refuse(Overloaded("the gateway has too many connections"))

    def give_way(self) -> None:
        """Close the connection, which waits, in favour of others."""
        self._is_deaf = self._gives_way = True
        if self._unparsed:
            self.transport.write(self._rendered(Overloaded("the gateway has too many connections")))
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self._port.leaving -= self._gives_way

    def data_received(self, data: bytes) -> None:
        """Parse what came, in pieces that the budget of a head allows."""
        self._unset_keepalive_if_required()
        self._received_at = self._port.seconds
        if self._in_head and not self._unparsed:
            self._head_since = self._port.seconds
        while data and not self._is_deaf:
            room = limits.HEAD_BYTES - self._unparsed
            if not room:
                self._refuse(HeadTooLarge(f"{limits.HEAD_BYTES} bytes of headers"))
                return
            piece, data = data[:room], data[room:]
            self._unparsed += len(piece)
            self._parse(piece)

    def _parse(self, piece: bytes) -> None:
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            # Nothing is upgraded: the request is answered as it is, and the parser takes no other on this connection.
            self._end_after(self.cycle)
        except httptools.HttpParserError:
            if not self._is_deaf:
                self._refuse(self._refusal or BadRequest(_MALFORMED))

    def on_message_begin(self) -> None:
        """Take the next request only when the one before it is answered; a client that pipelines repeats it (RFC 9112 section 9.3.2)."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._end_after(self.cycle)
            raise _Refused
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        if len(self.url) + len(url) > limits.URL_BYTES:
            self._refusal = UrlTooLong(limits.URL_BYTES)
            raise _Refused
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header or a trailer, as uvicorn does; without its help, because a request has many."""
        name = name.lower()
        self.headers.append((name, value))
        if name == b"expect":
            self.expect_100_continue = self.expect_100_continue or value.lower() == b"100-continue"
        if len(self.headers) > _HEADERS:
            self._refusal = HeadTooLarge(f"{_HEADERS} headers")
            raise _Refused

    def on_headers_complete(self) -> None:
        """Start the request."""
        self._in_head = False
        self._unparsed = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        self._in_head = True
        self._unparsed = 0
        self._head_since = self._port.seconds
        super().on_message_complete()

    def check_deadlines(self) -> None:
        """Close the connection if its client is late."""
        now, cycle = self._port.seconds, self.cycle
        if self._closing_since is not None or self.transport.is_closing():
            self._closing_since = now if self._closing_since is None else self._closing_since
            if now - self._closing_since > limits.LINGER_SECONDS:
                self.transport.abort()
        elif cycle is None or cycle.response_complete:
            # uvicorn itself times the wait for the first byte of a later request.
            if self.timeout_keep_alive_task is None:
                self._check_arrival(in_head=self._in_head)
        elif cycle.more_body and not self.flow.read_paused:
            self._check_arrival(in_head=False)
        elif self.flow.write_paused:
            size, since = self._unsent
            if (left := self.transport.get_write_buffer_size()) != size:
                self._unsent = (left, now)
            elif now - since > limits.ANSWER_SILENCE_SECONDS:
                self.transport.abort()

    def _check_arrival(self, *, in_head: bool) -> None:
        now = self._port.seconds
        if not in_head and now - self._received_at > limits.BODY_SILENCE_SECONDS:
            self._refuse(RequestTimeout("body", limits.BODY_SILENCE_SECONDS))
        elif in_head and now - self._head_since > limits.HEAD_SECONDS:
            if self._unparsed:
                self._refuse(RequestTimeout("head", limits.HEAD_SECONDS))
            else:
                self.transport.close()

    def _end_after(self, cycle: Any) -> None:
        """Drop whatever else comes, and close the connection once `cycle`, a request, is answered."""
        self._is_deaf = True
        cycle.keep_alive = False

    def _refuse(self, error: ApiError) -> None:
        self._is_deaf = True
        self._unset_keepalive_if_required()
        cycle = self.cycle
        if cycle is None or cycle.response_complete or (cycle.more_body and not cycle.response_started):
            self.transport.write(self._rendered(error))
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        if len(self.connections) > self._port.max_connections + limits.REFUSED_CONNECTIONS:
            self.transport.close()
        else:
            self.transport.write_eof()
            self._closing_since = self._port.seconds

    def _rendered(self, error: ApiError) -> bytes:
        request_id = new_request_id()
        log_failure(_log, request_id, "a request", error)
        headers = {**error.headers, "Connection": "close", REQUEST_ID.decode(): request_id}
        answer = JSONResponse(self._port.render(error), status_code=error.status, headers=headers)
        lines = [name + b": " + value + b"\r\n" for name, value in (*self.server_state.default_headers, *answer.raw_headers)]
        return b"".join((STATUS_LINE[error.status], *lines, b"\r\n", bytes(answer.body)))


class _Refused(Exception):
    """Ends the parser's work; it does not leave this module."""
