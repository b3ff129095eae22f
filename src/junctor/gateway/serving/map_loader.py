"""Keeps the served map current: loads at start, when the operator signals, and by a slow poll.

ReloadError             a reload did not lead to the requested sequence; the current map stays
+-- NotAccepted         the map cannot be served, or the head is older than the requested sequence
+-- NotReadable         the source cannot be read now; try again
+-- TooManyReloads      signals that found nothing new used up the bucket; `retry_after` in seconds
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NoReturn

from junctor.connectormap.credentials import credential_object
from junctor.connectormap.errors import ConnectorMapError, MapUnreadable
from junctor.connectormap.head import Head
from junctor.connectormap.reader import READ_ATTEMPTS, read_map
from junctor.gateway.serving.served_map import PreparedMap, ServedMap
from junctor.gateway.serving.sources import MapSource, SourceUnavailable
from junctor.net.backoff import Backoff
from junctor.net.clock import Clock

_log = logging.getLogger(__name__)

BURST: Final = 5.0
PER_SECOND: Final = 1.0
#: The clock adds the jitter.
_RETRIES: Final = Backoff(first=0.1, last=5.0, jitter=0.0)
#: The share by which pauses vary, so that the pods of a gateway do not read the map at the same moment.
_SPREAD: Final = 0.2


class ReloadError(Exception):
    """The requested sequence is not served."""


class NotAccepted(ReloadError):
    """The published map cannot be served, or is too old; the message says why."""


class NotReadable(ReloadError):
    """The map cannot be read now."""


class TooManyReloads(ReloadError):
    """Too many signals found nothing new."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("too many signals that found nothing new; the map is read again by itself every few seconds")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class LoadError:
    """Why the last load did not succeed. temporary: the source, not the map, is at fault."""

    message: str
    at: datetime
    temporary: bool = False


class MapLoader:
    """The one writer of the served map. `run` is a task for the life of the process; a signal calls `reload`."""

    def __init__(
        self,
        source: MapSource,
        *,
        poll_seconds: float = 10.0,
        clock: Clock | None = None,
    ) -> None:
        self._source = source
        self._subscribers: list[Callable[[ServedMap], None]] = []
        self._poll_seconds = poll_seconds
        self._clock = clock or Clock()
        self._served: ServedMap | None = None
        self._head_text: str | None = None
        self._last_error: LoadError | None = None
        self._lock = asyncio.Lock()
        self._begun = self._finished = 0
        self._tokens, self._tokens_at = BURST, self._clock.monotonic()

    def served(self) -> ServedMap | None:
        """The current map; None until the first load succeeded."""
        return self._served

    def subscribe(self, on_swap: Callable[[ServedMap], None]) -> None:
        """Call `on_swap` with every map that becomes the served one."""
        self._subscribers.append(on_swap)

    @property
    def last_error(self) -> LoadError | None:
        """Why the newest load failed; None when it succeeded."""
        return self._last_error

    async def run(self) -> NoReturn:
        """Load until it works, with growing pauses, then look at the head every `poll_seconds`. Ends only by cancellation."""
        failures = 0
        while True:
            await self._load()
            if self._served is None:
                failures += 1
                await self._clock.sleep(self._clock.spread(_RETRIES.pause(failures), _SPREAD))
            else:
                await self._clock.sleep(self._clock.spread(self._poll_seconds, _SPREAD))

    async def reload(self, sequence: int) -> ServedMap:
        """Serve at least `sequence`, by a load that starts after this call unless it is served already. Raises ReloadError.

        Calls coalesce: however many arrive during a load, one more load answers them all.
        """
        if (served := self._serves(sequence)) is not None:
            return served
        if (wait := self._seconds_to_token()) > 0:
            raise TooManyReloads(wait)
        await self._load(sequence)
        if (served := self._serves(sequence)) is not None:
            return served
        error = self._last_error
        if error is not None:
            raise (NotReadable if error.temporary else NotAccepted)(error.message)
        current = self._served.sequence if self._served else "none"
        raise NotAccepted(f"the published head names sequence {current}, which is older than {sequence}")

    def _serves(self, sequence: int) -> ServedMap | None:
        return self._served if self._served is not None and self._served.sequence >= sequence else None

    async def _load(self, signalled: int | None = None) -> None:
        """Join or make a load that starts after this call."""
        ticket = self._begun
        async with self._lock:
            # A load that began after this call may have finished while this one waited for the lock.
            if self._finished > ticket or (signalled is not None and self._serves(signalled)):
                return
            self._begun += 1
            number = self._begun
            before = self._served
            await self._attempt()
            self._finished = number
            if signalled is not None and self._served is before:
                self._take_token()

    async def _attempt(self) -> None:
        try:
            await self._read()
        except SourceUnavailable as error:
            self._failed(str(error), temporary=True)
        except ConnectorMapError as error:
            self._failed(str(error))
        except Exception as error:  # the outermost loop: whatever a published object can provoke, the pod serves on
            _log.exception("loading the connector map %s failed unexpectedly", self._source.head_name)
            self._failed(f"unexpected {type(error).__name__} while reading the map; the gateway's log has more")
        else:
            self._last_error = None

    async def _read(self) -> None:
        """Read and swap. Starts again at the head when credentials are missing because the map was replaced meanwhile."""
        for attempt in range(READ_ATTEMPTS):
            text = await self._source.fetch_head()
            served = self._served
            if served is not None and text == self._head_text:
                if served.missing:
                    await self._complete(served)
                return
            text, prepared = await self._prepare(text, served.prepared if served else None)
            if served is not None and prepared is served.prepared:
                self._head_text = text
                return
            credentials = await self._credentials(prepared.needed, served.credentials if served else {})
            moved = not prepared.needed <= credentials.keys() and await self._source.fetch_head() != text
            if not moved or attempt == READ_ATTEMPTS - 1:
                self._swap(text, prepared, credentials)
                return

    async def _prepare(self, text: str | None, previous: PreparedMap | None) -> tuple[str, PreparedMap]:
        """The whole map that a head names, and that head's text: `text`, or a newer one when shards were replaced meanwhile."""
        texts = [text]

        async def fetch_head() -> str | None:
            texts.append(texts[0] if len(texts) == 1 else await self._source.fetch_head())
            return texts[-1]

        async def accept(head: Head) -> None:
            self._accept(head)
            if texts[-1] is not None:
                await self._source.authenticate(texts[-1])

        current = previous.map if previous else None
        found = await read_map(self._source.head_name, fetch_head, self._fetch_shard, current, accept=accept)
        if found is None or texts[-1] is None:
            raise MapUnreadable(f"the head {self._source.head_name} {'was deleted' if self._served else 'does not exist (yet)'}")
        return texts[-1], previous if previous is not None and found is current else await PreparedMap.of(found, previous)

    async def _fetch_shard(self, name: str) -> str | None:
        # A source that answers without waiting would keep requests waiting for as long as all shards take.
        await asyncio.sleep(0)
        return await self._source.fetch_shard(name)

    def _accept(self, head: Head) -> None:
        """Refuse a head that must not replace the served one."""
        if self._served is None:
            return
        name, served = self._source.head_name, self._served.prepared.map.head
        if head.installation != served.installation:
            raise MapUnreadable(
                f"head {name}: belongs to installation {head.installation[:80]}, this gateway serves {served.installation[:80]}"
            )
        if head.sequence < served.sequence:
            # A repaired head continues after every acknowledged sequence, so a lower one was rolled back or is somebody's backup.
            raise MapUnreadable(f"head {name}: sequence {head.sequence} is older than {served.sequence}, which is served")

    async def _credentials(self, needed: frozenset[str], known: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """The known values, and those of every credential object that contains a needed one which is not known."""
        missing = needed - known.keys()
        if not missing:
            return known
        values = dict(known)
        try:
            for number in sorted({credential_object(key) for key in missing}):
                values.update(await self._source.fetch_credentials(number))
        except ValueError as error:
            raise MapUnreadable(f"map {self._source.head_name}: an entry names a credential that is none") from error
        return values

    async def _complete(self, served: ServedMap) -> None:
        """Look again for credentials that were not there when the map was loaded."""
        credentials = await self._credentials(served.prepared.needed, served.credentials)
        if not served.missing.isdisjoint(credentials.keys()):
            self._publish(ServedMap.of(served.prepared, credentials, self._clock.now()))

    def _swap(self, text: str, prepared: PreparedMap, credentials: Mapping[str, bytes]) -> None:
        served = ServedMap.of(prepared, credentials, self._clock.now())
        self._head_text = text
        extra = {"object": {"kind": "ConnectorMap", "name": self._source.head_name}, "sequence": served.sequence}
        self._publish(served)
        _log.info("serving sequence %d with %d connectors (%s)", served.sequence, len(served), served.revision[:19], extra=extra)

    def _publish(self, served: ServedMap) -> None:
        self._served = served
        for on_swap in self._subscribers:
            on_swap(served)

    def _failed(self, message: str, *, temporary: bool = False) -> None:
        if self._last_error is None or self._last_error.message != message:
            kept = f"; sequence {self._served.sequence} stays served" if self._served else ""
            extra = {"object": {"kind": "ConnectorMap", "name": self._source.head_name}}
            _log.warning("the connector map was not loaded: %s%s", message, kept, extra=extra)
        self._last_error = LoadError(message, self._clock.now(), temporary)

    def _refill(self) -> None:
        now = self._clock.monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._tokens_at) * PER_SECOND)
        self._tokens_at = now

    def _seconds_to_token(self) -> float:
        self._refill()
        return max(0.0, (1 - self._tokens) / PER_SECOND)

    def _take_token(self) -> None:
        self._refill()
        self._tokens = max(0.0, self._tokens - 1)
