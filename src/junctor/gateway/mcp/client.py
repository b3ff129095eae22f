"""One MCP server as one principal uses it: a session, opened when needed and replaced when it dies, and a cached list of tools."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Self

import anyio
import mcp_types as types

from junctor.connectormap.policy import Limits
from junctor.gateway.mcp.budgets import InFlight, Setback
from junctor.gateway.mcp.exchange import Problem
from junctor.gateway.mcp.http_pools import HttpPools
from junctor.gateway.mcp.listing import CollectedTools, ListingCache
from junctor.gateway.mcp.outcome import SessionFailed, SessionLost, failed_outcome, outcome_of
from junctor.gateway.mcp.session import Session
from junctor.gateway.mcp.target import Target
from junctor.gateway.mcp.tool_cache import ToolCache
from junctor.gateway.mcp.wire import Era
from junctor.gateway.tools.ports import ToolFailure, ToolListing, ToolOutcome
from junctor.gateway.tools.server_errors import ListingFailed
from junctor.net.formats import MCPObjectView

LISTING_SECONDS: Final = 10.0
#: The server refuses the credential.
_REFUSALS: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

_NOT_UNDERSTOOD: Final = (types.UNSUPPORTED_PROTOCOL_VERSION, types.METHOD_NOT_FOUND, types.INVALID_REQUEST, types.PARSE_ERROR)


@dataclass(frozen=True, slots=True)
class Shares:
    """What the clients of one connector share. slots: bounds concurrent calls. in_flight: counts what answers take.

    listings: the cached lists of all connectors.
    """

    slots: asyncio.Semaphore
    in_flight: InFlight
    listings: ListingCache

    @classmethod
    def of(cls, limits: Limits, listings: ListingCache | None = None) -> Self:
        """Return the shares of a connector with these limits. listings: None for a cache of its own."""
        return cls(asyncio.Semaphore(limits.max_concurrent_calls), InFlight(limits.max_result_bytes), listings or ListingCache())


class McpClient:
    """A ToolServer. connector: its name. is_accepted: the server has listed its tools for the credential."""

    def __init__(
        self,
        target: Target,
        pools: HttpPools,
        shares: Shares | None = None,
        *,
        listen: bool = True,
        clock: Callable[[], float] = time.monotonic,
        when_refused: Callable[[], None] = lambda: None,
    ) -> None:
        """Create a client; nothing is sent before it is used.

        Args:
            target: the server and what is sent to it.
            pools: the connections.
            shares: what it shares with the other clients of its connector; None when there is no other.
            listen: subscribe to changes of the tool list.
            clock: in seconds.
            when_refused: called when the server refuses the credential.
        """
        self._target = target
        self._pools = pools
        self._shares = shares or Shares.of(target.limits)
        self._listen = listen
        self._when_refused = when_refused
        self._clock = clock
        self._session: Session | None = None
        self._ending: set[Session] = set()
        self._era: Era | None = None
        self._tools = ToolCache(target.name, clock)
        self._listing: asyncio.Task[ToolListing] | None = None
        self._offence = Setback[Problem](clock)
        self._users = 0
        self._retired = False
        self.connector = target.name
        self.last_used = clock()
        self.is_accepted = False

    def __repr__(self) -> str:
        return f"McpClient({self._target.name})"

    # --- ToolServer -------------------------------------------------------------------------------------------------------------------

    async def list_tools(self) -> ToolListing:
        """Return all tools, from the cache while it is fresh. Concurrent callers share one request. Raises ListingFailed.

        After failures in a row the server is not asked again for a while, and the last failure is raised again.
        """
        self.last_used = self._clock()
        if (cached := self._tools.current()) is not None:
            return cached
        if self._listing is None or self._listing.done():
            self._listing = asyncio.create_task(self._list(), name=f"list tools of {self._target.name}")
            self._listing.add_done_callback(_retrieve_exception)
        return await asyncio.shield(self._listing)

    async def call_tool(self, name: str, arguments: MCPObjectView) -> ToolOutcome:
        """Call a tool by the server's own name. Every failure is an outcome; cancelling this cancels the call."""
        limits = self._target.limits
        has_slot = False
        self._begin()
        try:
            # The session's own deadline ends a call with a better explanation; this one also bounds the wait for a slot.
            with anyio.move_on_after(limits.call_timeout + 1.0):
                await self._shares.slots.acquire()
                has_slot = True
                result = await self._call(name, arguments)
                return outcome_of(result, limits.max_result_bytes)
            text = "the server did not answer in time" if has_slot else f"{limits.max_concurrent_calls} calls of this connector run already"
            return failed_outcome(ToolFailure("http", text, 504))
        except SessionFailed as error:
            return failed_outcome(error.failure)
        finally:
            if has_slot:
                self._shares.slots.release()
            self._finish()

    # --- life -------------------------------------------------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether a call or a listing runs."""
        return self._users > 0

    @property
    def has_session(self) -> bool:
        """Whether a session is open or being opened."""
        return self._session is not None and not self._session.is_dead

    @property
    def is_closed(self) -> bool:
        """Whether the client is retired and its last session has ended."""
        return self._retired and not self._users and self._session is None and not self._ending

    def drop_tools(self) -> None:
        """Keep no list of tools."""
        self._tools.drop()

    def end_if_idle(self) -> None:
        """End the session unless something runs; the next use opens another one."""
        if not self._users:
            self._discard(self._session)

    def retire(self) -> None:
        """End the session once nothing runs, and after each later use: requests that began with this client may finish."""
        self._retired = True
        self._shares.listings.release(self)
        self.end_if_idle()

    async def aclose(self) -> None:
        """End everything now, running calls included."""
        self._retired = True
        self._shares.listings.release(self)
        if self._listing is not None and not self._listing.done():
            self._listing.cancel()
            await asyncio.wait([self._listing])
        self._discard(self._session)
        for session in list(self._ending):
            session.end()
            await session.wait_until_finished()
            self._ending.discard(session)

    async def __aenter__(self) -> "McpClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # --- inside -----------------------------------------------------------------------------------------------------------------------

    async def _list(self) -> ToolListing:
        self._begin()
        changes = self._tools.changes
        try:
            with anyio.fail_after(LISTING_SECONDS):
                collected = await self._list_with_retry()
        except (SessionFailed, TimeoutError) as error:
            failure = self._listing_failure(error)
            if failure.status in _REFUSALS:
                self._when_refused()
            return self._tools.store_failure(failure, changes)
        finally:
            self._finish()
        self.is_accepted = True
        tools = collected.listing if self._retired else self._shares.listings.keep(self, collected)
        self._tools.store(tools, changes)
        return tools

    def _listing_failure(self, error: SessionFailed | TimeoutError) -> ListingFailed:
        if isinstance(error, SessionFailed):
            status = error.failure.code if error.failure.kind == "http" else 502
            return ListingFailed(f"the tools of {self._target.name} could not be listed: {error.failure.message}", status)
        return ListingFailed(f"the tools of {self._target.name} could not be listed within {LISTING_SECONDS:g} s", 504)

    async def _list_with_retry(self) -> CollectedTools:
        reused = self.has_session
        session = await self._open_session()
        try:
            return await session.list_tools()
        except SessionFailed as error:
            if not isinstance(error, SessionLost) and not session.is_dead and not (reused and _may_have_wrong_era(session, error.failure)):
                raise
        # Listing twice does no harm. The remembered era may be what was wrong.
        self._discard(session)
        self._era = None
        return await (await self._open_session()).list_tools()

    async def _call(self, name: str, arguments: MCPObjectView) -> Any:
        session = await self._open_session()
        try:
            return await session.call_tool(name, arguments)
        except SessionLost:
            # The only failure after which it is certain that nothing was executed.
            self._discard(session)
        except SessionFailed as error:
            if _may_have_wrong_era(session, error.failure):
                # The call is not repeated, but the next session negotiates the protocol again.
                self._discard(session)
                self._era = None
            raise
        return await (await self._open_session()).call_tool(name, arguments)

    async def _open_session(self) -> Session:
        session = self._session
        if session is None or session.is_dead or session.is_worn:
            self._discard(session)
            if (offence := self._offence.current()) is not None:
                raise SessionFailed(ToolFailure("http", f"{offence[1]}; its session was ended; try again later", offence[0]))
            session = self._session = Session(
                self._target, self._pools, self._era, self._tools.announce_change, in_flight=self._shares.in_flight, listen=self._listen
            )
        try:
            await session.wait_until_open()
        except SessionFailed:
            self._era = None
            self._discard(session)
            raise
        self._era = session.era
        return session

    def _discard(self, session: Session | None) -> None:
        if session is None:
            return
        if session is self._session:
            self._session = None
            if session.offence is not None:
                self._offence.record(session.offence)
        session.abandon()
        self._ending.add(session)
        session.when_finished(self._ending.discard)

    def _begin(self) -> None:
        self._users += 1
        self.last_used = self._clock()

    def _finish(self) -> None:
        self._users -= 1
        self.last_used = self._clock()
        if self._retired:
            self.end_if_idle()


def _may_have_wrong_era(session: Session, failure: ToolFailure) -> bool:
    """Tell whether a failure looks like an older server's answer to a session whose protocol version was assumed."""
    if session.era is None or session.era.mode == "legacy":
        return False
    return (failure.code in _NOT_UNDERSTOOD) if failure.kind == "protocol" else (failure.code in (400, 404, 405))


def _retrieve_exception(task: asyncio.Task[Any]) -> None:
    """Mark a listing's failure as handled: everybody who waited for it may have been cancelled."""
    if not task.cancelled():
        task.exception()
