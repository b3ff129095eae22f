"""Collects what the HTTP layer knows about one request of the SDK and the SDK does not report.

The SDK runs a request's POST in the context of the task that made the request, so a context variable connects the two.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

import anyio

#: What went wrong below HTTP: the status to report for it, and a sentence.
Problem = tuple[int, str]


@dataclass(slots=True, eq=False)
class Exchange:
    """One call, one listing or one connect. limit: bytes that an answer may have on the wire.

    status: of the last answer, 0 before there is one. json_rpc: the answer was a JSON-RPC error. unclear: an answer was an outage or a
    refusal, which does not show the protocol that the server speaks. problem: what went wrong below HTTP, with the status to report for it.
    session_lost: the server does not know the session and refused the request before executing it. resumed: how often a broken answer was
    resumed.
    """

    limit: int
    status: int = 0
    json_rpc: bool = False
    unclear: bool = False
    problem: Problem | None = None
    session_lost: bool = False
    over: bool = False
    resumed: int = 0
    scope: anyio.CancelScope | None = field(default=None, repr=False)
    _requests: set[anyio.CancelScope] = field(default_factory=set, init=False, repr=False)

    def answered(self, status: int, *, json_rpc: bool = False, session_lost: bool = False) -> None:
        """Record an answer."""
        if not self.over:
            self.status, self.json_rpc = status, json_rpc
            self.session_lost = self.session_lost or session_lost
            self.unclear = self.unclear or status in (401, 403, 429) or status >= 500

    def broke(self, code: int, message: str) -> None:
        """Record what went wrong. The first cause is kept."""
        if not self.over:
            self.unclear = True
            self.problem = self.problem or (code, message)

    def abort(self) -> None:
        """End the wait for an answer that cannot arrive any more."""
        if self.scope is not None and not self.over:
            self.scope.cancel()

    def end(self) -> None:
        """Cancel what still runs for this exchange. The SDK would read on until the server ends its answer."""
        self.over = True
        for request in self._requests:
            request.cancel()

    @contextmanager
    def cancelled_at_end(self) -> Iterator[None]:
        """Cancel the body of the context, and absorb the cancellation, when the exchange is over."""
        with anyio.CancelScope() as scope:
            if self.over:
                scope.cancel()
            self._requests.add(scope)
            try:
                yield
            finally:
                self._requests.discard(scope)


current: Final[ContextVar[Exchange | None]] = ContextVar("junctor_mcp_exchange", default=None)
