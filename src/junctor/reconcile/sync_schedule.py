"""When a registry is read next, and whether as a whole: intervals, pauses after failures, and what annotations request."""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple, Self

from junctor.api.names import ACCEPT_SHRINK_ANNOTATION, SYNC_REQUESTED_ANNOTATION
from junctor.api.registry import Sync
from junctor.api.resources import RegistryResource
from junctor.api.sync_report import Discovered
from junctor.net.backoff import Backoff
from junctor.net.clock import Clock
from junctor.registry.sync import SyncResult
from junctor.registry.turns import SMALL

INTERVAL_SECONDS: Final = 300
FULL_INTERVAL_SECONDS: Final = 86400
FIRST_RETRY_SECONDS: Final = 10.0
#: Many installations must not send their requests to a registry at the same moment.
_JITTER: Final = 0.1
#: Annotations are cut to what a status can hold.
_ANNOTATION_LENGTH: Final = 256


class SyncRequests(NamedTuple):
    """What the annotations of a registry request. full_sync: each new value requests one. accept_shrink: the digest that is confirmed."""

    full_sync: str
    accept_shrink: str

    @classmethod
    def of(cls, resource: RegistryResource) -> Self:
        """Read the annotations of a resource."""
        return cls(
            *(resource.annotations.get(name, "")[:_ANNOTATION_LENGTH] for name in (SYNC_REQUESTED_ANNOTATION, ACCEPT_SHRINK_ANNOTATION))
        )

    def are_new(self, handled: "SyncRequests") -> bool:
        """Whether one of them has not been handled yet."""
        return any(value not in ("", before) for value, before in zip(self, handled, strict=True))


class SyncSchedule:
    """Decides when the next sync of one registry begins. The first one is due at once.

    next_full_sync: seconds since the epoch, 0 when it is due.
    """

    def __init__(self, clock: Clock, next_full_sync: float) -> None:
        self._clock = clock
        self._due = clock.monotonic()
        self._full_due = next_full_sync
        self._failures = 0
        self._moved = asyncio.Event()

    @property
    def is_failing(self) -> bool:
        """Whether the last sync failed."""
        return self._failures > 0

    @property
    def full_sync_is_due(self) -> bool:
        """Whether the next sync has to be a full one."""
        return self._clock.now().timestamp() >= self._full_due

    def sync_now(self, *, forget_failures: bool = False) -> None:
        """Make the next sync due at once. forget_failures: the pauses after failures begin anew."""
        if forget_failures:
            self._failures = 0
        self._due = self._clock.monotonic()
        self._moved.set()

    async def wait(self) -> None:
        """Return when the next sync is due."""
        while (pause := self._due - self._clock.monotonic()) > 0:
            self._moved.clear()
            await self._clock.wait(self._moved, pause)
        # A sync that is requested while this one runs follows it at once; see `finished`.
        self._due = float("inf")

    def finished(self, result: SyncResult, settings: Sync) -> None:
        """Plan the next sync after this one."""
        interval = float(settings.interval_seconds or INTERVAL_SECONDS)
        if result.complete:
            self._failures, pause = 0, interval
            if result.full:
                self._full_due = self._clock.now().timestamp() + (settings.full_interval_seconds or FULL_INTERVAL_SECONDS)
        else:
            self._failures += 1
            backoff = Backoff(first=FIRST_RETRY_SECONDS, last=interval, jitter=0.0)  # the clock spreads the pause
            pause = max(result.retry_after or 0.0, backoff.pause(self._failures))
        if result.full_sync_next:
            self._full_due = 0.0
        self._due = min(self._due, self._clock.monotonic() + self._clock.spread(pause, _JITTER))


class PublicationGate:
    """Holds the next sync of a registry back while what it finds could not be published, only be kept beside what is published.

    planned: what the last plan took of the report.
    """

    def __init__(self, clock: Clock) -> None:
        self.planned: Discovered | None = None
        self._published: Discovered | None = None
        self._not_before = 0.0
        self._clock = clock
        self._passed = asyncio.Event()

    def pass_ended(self, pause: float) -> None:
        """What was planned is published, as far as it can be. pause: seconds in which nothing more of the registry can."""
        self._published, self._not_before = self.planned, self._clock.monotonic() + pause
        self._passed.set()

    async def wait(self, discovered: Callable[[], Discovered | None]) -> None:
        """Return when a sync may begin. discovered: returns what was found so far."""
        while (found := discovered()) is not None and found is not self._published and found.room.bytes > SMALL:
            self._passed.clear()
            await self._passed.wait()
        while (pause := self._not_before - self._clock.monotonic()) > 0:
            await self._clock.wait(asyncio.Event(), pause)
