"""A listening socket that remembers the connections it accepted, so that a test server can close every one of them.

A connection in its TLS handshake is known to no server yet: asyncio hands it to the protocol only afterwards. Left open, the garbage
collector finds it later, and its ResourceWarning blames whichever test runs then.
"""

import asyncio
import contextlib
import socket
from typing import Any, Self

_DEADLINE = 60.0


class Listener(socket.socket):
    """A TCP socket that listens on a port of 127.0.0.1. The loop that accepts from it must be asyncio's own, not uvloop's."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._accepted: set[socket.socket] = set()

    @classmethod
    def on(cls, port: int = 0) -> Self:
        """Listen on this port; 0: any."""
        # asyncio disables Nagle's algorithm only for a socket that names its protocol.
        listener = cls(proto=socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(100)
        return listener

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.getsockname()[1])

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection, and remember it while it is open."""
        connection, address = super().accept()
        self._accepted = {known for known in self._accepted if known.fileno() != -1}
        self._accepted.add(connection)
        return connection, address

    async def close_connections(self) -> None:
        """End every accepted connection and wait until its transport has closed it. Call it once nothing is accepted any more."""
        async with asyncio.timeout(_DEADLINE):
            while self.shut_down_connections():  # noqa: ASYNC110  # a transport does not say when it has closed
                await asyncio.sleep(0.001)

    def shut_down_connections(self) -> int:
        """End every accepted connection, which its transport notices; the number of those that are still open."""
        still_open = [connection for connection in self._accepted if connection.fileno() != -1]
        for connection in still_open:
            with contextlib.suppress(OSError):  # the client may have gone first
                connection.shutdown(socket.SHUT_RDWR)
        return len(still_open)
