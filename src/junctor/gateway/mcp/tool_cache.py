"""The list of tools that one client has: when it is used again, and when the server is asked anew."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from junctor.gateway.mcp.budgets import Quota, Setback
from junctor.gateway.tools.ports import OmittedTool, ToolListing
from junctor.gateway.tools.server_errors import ListingFailed

_log = logging.getLogger(__name__)

#: Seconds for which a list of tools is used without asking the server again.
LISTING_FRESH: Final = 300.0
#: Seconds for which it is used while the server does not answer.
LISTING_USABLE: Final = 600.0
#: How many changes of its tools a server may announce at once, and in a second; after more, the list is used while it is fresh.
_CHANGES: Final = 5
_CHANGES_PER_SECOND: Final = 0.1
_MOST_LOGGED: Final = 5


class ToolCache:
    """A server's list of tools, and its last failure to give one. name: of the server, for the log. clock: in seconds."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self._name = name
        self._clock = clock
        self._tools: ToolListing | None = None
        self._at = 0.0
        self._is_stale = False
        self._relistings = Quota(_CHANGES, _CHANGES_PER_SECOND, clock=clock)
        self._failure = Setback[ListingFailed](clock)
        self._omitted: Sequence[OmittedTool] = ()
        #: How many changes the server has announced.
        self.changes = 0

    def current(self) -> ToolListing | None:
        """Return the tools; None when the server has to be asked. Raises ListingFailed when it failed and is not asked again yet."""
        age = self._clock() - self._at
        failure = self._failure.current()
        if failure is None and (self._tools is None or age >= LISTING_FRESH):
            return None
        if self._is_stale and self._relistings.take(1):
            return None
        if self._tools is not None and age < LISTING_USABLE:
            return self._tools
        if failure is not None:
            raise ListingFailed(str(failure), failure.status)
        return None

    def announce_change(self) -> None:
        """Ask the server again at the next use, unless its tools change all the time."""
        self.changes += 1
        self._is_stale = True

    def store(self, tools: ToolListing, changes: int) -> None:
        """Store what the server listed. changes: as they were before; one announced between two pages may concern the earlier page."""
        self._failure.clear()
        self._tools, self._at = tools, self._clock()
        self._is_stale = changes != self.changes
        if tools.omitted and tools.omitted != self._omitted:
            named = "; ".join(f"{tool.name!a} because {tool.reason}" for tool in tools.omitted[:_MOST_LOGGED])
            more = f"; and {len(tools.omitted) - _MOST_LOGGED} more" if len(tools.omitted) > _MOST_LOGGED else ""
            _log.warning("%s: left out tools: %s%s", self._name, named, more)
        self._omitted = tools.omitted

    def store_failure(self, failure: ListingFailed, changes: int) -> ToolListing:
        """Return the older tools while they are usable, else raise the failure. changes: as in `store`."""
        self._failure.record(failure)
        self._is_stale = changes != self.changes
        if self._tools is not None and self._clock() - self._at < LISTING_USABLE:
            return self._tools
        raise failure from None

    def drop(self) -> None:
        """Keep no list."""
        self._tools = None
