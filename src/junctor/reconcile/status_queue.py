"""Writes statuses and events beside the loop: a flood of them never delays the map. The latest status of a resource wins."""

import asyncio
import logging
import time
from typing import Final

from junctor.api.conditions import Reason
from junctor.net.backoff import Backoff
from junctor.planning.statuses import StatusUpdate
from junctor.reconcile.event_budget import EventBudget
from junctor.reconcile.ports import ObjectReference, PortError, StatusSink

logger = logging.getLogger(__name__)

_WRITERS: Final = 4
RETRIES: Final = Backoff(first=1.0, last=30.0)


class StatusQueue:
    """A queue by resource uid, and one of events. event_backlog: how many events may wait."""

    def __init__(self, sink: StatusSink, *, backoff: Backoff = RETRIES, event_backlog: int = 10_000) -> None:
        self._sink = sink
        self._backoff = backoff
        self._pending: dict[str, StatusUpdate] = {}
        self._event_budget = EventBudget()
        self._events: asyncio.Queue[tuple[ObjectReference, bool, str, str]] = asyncio.Queue(event_backlog)
        self._waiting = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._writing: set[str] = set()
        self._retries: dict[str, asyncio.TimerHandle] = {}
        self._failures: dict[str, int] = {}

    def start(self) -> None:
        """Start the writers."""
        self._tasks = [asyncio.create_task(self._write_statuses(), name=f"status {n}") for n in range(_WRITERS)]
        self._tasks.append(asyncio.create_task(self._post_events(), name="events"))

    async def close(self) -> None:
        """Stop; what was not written is written by the next start, which sees the difference."""
        for task in self._tasks:
            task.cancel()
        for retry in self._retries.values():
            retry.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def put(self, update: StatusUpdate) -> None:
        """Write this status, instead of an older one of the resource that still waits."""
        uid = update.resource.uid
        if uid in self._retries:
            self._retries.pop(uid).cancel()
        self._pending[uid] = update
        self._waiting.set()

    def event(self, regarding: ObjectReference, *, warning: bool, reason: str, message: str) -> None:
        """Post an event when there is time. Events beyond the budget and the backlog are dropped: the conditions say the same."""
        if not self._event_budget.take(regarding.namespace, reason, time.monotonic()):
            logger.debug("event dropped, namespace %s had too many with the reason %s: %s", regarding.namespace, reason, message)
            return
        try:
            self._events.put_nowait((regarding, warning, reason, message))
        except asyncio.QueueFull:
            logger.warning("event dropped, %s wait already: %s", self._events.qsize(), message)

    async def _write_statuses(self) -> None:
        while True:
            await self._waiting.wait()
            uid = next((uid for uid in self._pending if uid not in self._writing), None)
            if uid is None:
                self._waiting.clear()
                continue
            update = self._pending.pop(uid)
            self._writing.add(uid)
            try:
                await self._sink.write_status(update)
            except Exception as error:
                self._retry(update, error)
            else:
                self._failures.pop(uid, None)
                self._announce(update)
            finally:
                self._writing.discard(uid)
                self._waiting.set()

    def _retry(self, update: StatusUpdate, error: Exception) -> None:
        """Write again later, without keeping a writer from the others, unless a newer status waits already."""
        uid = update.resource.uid
        failures = self._failures[uid] = self._failures.get(uid, 0) + 1
        unforeseen = None if isinstance(error, PortError) else error
        logger.warning("status of %s not written, trying again: %s", update.resource, error, exc_info=unforeseen)
        if uid not in self._pending:
            pause = self._backoff.pause(failures)
            self._retries[uid] = asyncio.get_running_loop().call_later(pause, self.put, update)

    def _announce(self, update: StatusUpdate) -> None:
        if not update.transitions:
            return
        failed = [item for item in update.transitions if item.after.status == "False" and item.after.reason is not Reason.DISABLED]
        telling = failed[0] if failed else update.transitions[-1]
        changes = ", ".join(f"{item.type} {item.before} -> {item.after.status}" for item in update.transitions)
        message = f"{changes}: {telling.after.message}"
        self.event(ObjectReference.of(update.resource), warning=bool(failed), reason=str(telling.after.reason), message=message)

    async def _post_events(self) -> None:
        while True:
            regarding, warning, reason, message = await self._events.get()
            try:
                await self._sink.post_event(regarding, warning=warning, reason=reason, message=message[:1000])
            except Exception as error:
                unforeseen = None if isinstance(error, PortError) else error
                logger.warning("event about %s/%s not posted: %s", regarding.namespace, regarding.name, error, exc_info=unforeseen)
