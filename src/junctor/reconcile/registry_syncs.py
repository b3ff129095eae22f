"""Keeps registries read: a task for each, beside the loop, which only looks at what they report.

A sync never delays a pass. It comes at its interval, sooner when somebody asks for it or the rules change, and later and later while the
registry does not answer.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

from junctor.api.conditions import Finding, Reason
from junctor.api.endpoint import SecretKeyRef
from junctor.api.names import ACCEPT_SHRINK_ANNOTATION, SYNC_REQUESTED_ANNOTATION
from junctor.api.registry import MCPRegistrySpec, Sync, effective_registry_id
from junctor.api.resources import RegistryResource
from junctor.api.sync_report import SyncReport
from junctor.connectormap.discovered import Discovered
from junctor.net.timestamps import rfc3339
from junctor.process import in_thread
from junctor.reconcile.registry_memory import BEING_READ, RegistryToSync, full_walk_due, is_current, remembered, was_synced
from junctor.registry.client import RegistryClient
from junctor.registry.connection import open_registry, request_headers
from junctor.registry.rules import MappingRules
from junctor.registry.sync import RegistrySync, SyncResult

logger = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 300
FULL_INTERVAL_SECONDS: Final = 86400
_FIRST_RETRY: Final = 10.0
#: A tenth either way: many installations do not ask a registry at the same moment.
_JITTER: Final = 0.1
#: What of a spec matters to how a registry is asked; the rest is in the digest of its rules.
CONNECTION_FIELDS: Final = ("url", "headers", "auth", "tls", "sync")

#: As much of an annotation is heeded as a status can show.
_ANNOTATION_LENGTH: Final = 256

SecretValue = Callable[[str, SecretKeyRef], bytes | None]


class MissingSecret(Exception):
    """A Secret that the registry itself is asked with is missing."""


class RegistrySyncs:
    """The tasks. wake: called when a report has changed. secret_value: of a namespace's Secret key, as it is sent."""

    def __init__(self, wake: Callable[[], None], secret_value: SecretValue) -> None:
        self._wake = wake
        self._secret_value = secret_value
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._syncing: dict[str, _Syncing] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def want(self, wanted: Mapping[str, RegistryToSync]) -> None:
        """Read these registries, by uid, and no others."""
        for uid in [uid for uid in self._tasks if uid not in wanted]:
            self._syncing.pop(uid, None)
            task = self._tasks.pop(uid)
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        for uid, item in wanted.items():
            if uid not in self._tasks:
                self._tasks[uid] = asyncio.create_task(self._keep_read(uid, item), name=f"registry {item.resource}")

    async def _keep_read(self, uid: str, wanted: RegistryToSync) -> None:
        # In a thread: the map may hold a hundred thousand servers of it.
        memory = await in_thread(partial(Discovered.recalled, wanted.record, wanted.published)) if wanted.record else None
        while True:
            syncing = self._syncing[uid] = _Syncing(wanted, memory, self._wake, self._secret_value)
            self._wake()  # what is remembered counts at once
            try:
                await syncing.run()
            except Exception:
                logger.exception("registry %s: its syncs broke off, and begin anew", wanted.resource)
                wanted, memory = replace(wanted, resource=syncing.resource), syncing.report.discovered
                await asyncio.sleep(_FIRST_RETRY)

    def reports(self, resources: Mapping[str, RegistryResource]) -> dict[str, SyncReport]:
        """How far each one is with its resource as it is now; one that is only about to begin is not among them."""
        for uid, syncing in self._syncing.items():
            if uid in resources and resources[uid].spec is not None:
                syncing.update(resources[uid])
        return {uid: syncing.report for uid, syncing in self._syncing.items()}

    async def close(self) -> None:
        """Stop."""
        self.want({})
        await asyncio.gather(*self._ending, return_exceptions=True)


class _Syncing:
    """One registry, read again and again."""

    def __init__(self, wanted: RegistryToSync, memory: Discovered | None, wake: Callable[[], None], secret_value: SecretValue) -> None:
        self._wake = wake
        self._secret_value = secret_value
        self.resource = wanted.resource
        self._rules = _rules(wanted.resource)
        self.report = remembered(wanted, memory, self._rules)
        self._sync = self._new_sync()
        #: What the annotations said when the last sync began.
        self._asked, self._accepted = "", _annotation(wanted.resource, ACCEPT_SHRINK_ANNOTATION)
        self._full_due = full_walk_due(self.report.last_full_sync, self._settings.full_interval_seconds or FULL_INTERVAL_SECONDS)
        if not was_synced(wanted.status):
            self._full_due = 0.0  # what was held back or partial is looked at as a whole
        self._failures = 0
        self._sent: Mapping[str, str] | None = None
        self._due = time.monotonic()
        self._changed = asyncio.Event()
        self._walk: asyncio.Task[SyncResult] | None = None

    def update(self, resource: RegistryResource) -> None:
        """The resource as it is now; called before every plan, so that the plan knows."""
        before, self.resource = self.resource, resource
        if self._failures and self._headers() != self._sent:
            self._start_now()  # a Secret was corrected
        if resource is before:
            return
        rules = _rules(resource)
        changed = rules.digest != self._rules.digest
        if changed:
            self._rules = rules
            self._sync = self._new_sync()
        if changed or any(before.raw_spec.get(name) != resource.raw_spec.get(name) for name in CONNECTION_FIELDS):
            self._start_now()
            self.report = replace(self.report, synced=BEING_READ)
        elif self._is_asked():
            self._due = time.monotonic()
            self._changed.set()
        self.report = replace(self.report, generation=resource.generation, current=self._is_current())

    async def run(self) -> None:
        """Sync until cancelled."""
        while True:
            while (pause := self._due - time.monotonic()) > 0:
                self._changed.clear()
                try:
                    async with asyncio.timeout(pause):
                        await self._changed.wait()
                except TimeoutError:
                    break
            self._due = float("inf")  # unless somebody asks meanwhile
            sync = self._sync
            self._walk = asyncio.create_task(self._once(), name=f"walk {self.resource}")
            try:
                await asyncio.wait((self._walk,))
            except asyncio.CancelledError:
                self._walk.cancel()
                await asyncio.wait((self._walk,))
                raise
            if self._walk.cancelled() or self._sync is not sync:
                continue
            self._take(self._walk.result())
            self._wake()

    def _start_now(self) -> None:
        """Begin anew, whatever is under way: it goes by rules that are no longer wanted."""
        self._failures = 0
        self._due = time.monotonic()
        self._changed.set()
        if self._walk is not None:
            self._walk.cancel()

    async def _once(self) -> SyncResult:
        sync, resource = self._sync, self.resource
        asked, accepted = _annotation(resource, SYNC_REQUESTED_ANNOTATION), _annotation(resource, ACCEPT_SHRINK_ANNOTATION)
        full = self._is_asked() or time.time() >= self._full_due or not sync.can_be_incremental
        sync.accept_shrink = accepted
        began = time.monotonic()
        self._sent = self._headers()
        try:
            await self._retract(sync)
            async with self._client() as client:
                result = await (sync.full(client) if full else sync.incremental(client))
        except MissingSecret as error:
            result = SyncResult.failed(sync, Finding("False", Reason.UNRESOLVED_REFS, str(error)))
        except Exception as error:
            logger.exception("registry %s: a sync failed unexpectedly", self.resource)
            message = f"internal error: {type(error).__name__}; see the operator's log"
            result = SyncResult.failed(sync, Finding("False", Reason.REGISTRY_ERROR, message))
        self._asked, self._accepted = asked, accepted
        level = logging.INFO if result.complete else logging.WARNING
        kind = "full" if result.full else "incremental"
        told = result.finding.message or result.finding.reason
        logger.log(level, "registry %s: %s sync in %.1f s: %s", self.resource, kind, time.monotonic() - began, told)
        return result

    async def _retract(self, sync: RegistrySync) -> None:
        """What new rules forbid goes before the registry is read, which may take long, or fail."""
        await asyncio.to_thread(sync.retract_disallowed)
        if sync.memory is not self.report.discovered:
            self.report = replace(self.report, discovered=sync.memory, counts=sync.counts, current=self._is_current())
            self._wake()

    def _take(self, result: SyncResult) -> None:
        """Report a result, and decide when to sync next."""
        now = rfc3339(datetime.now(UTC))
        whole = result.complete and result.full
        self.report = replace(
            self.report,
            synced=result.finding,
            discovered=result.discovered,
            counts=result.counts,
            last_sync=now if result.complete else self.report.last_sync,
            last_full_sync=now if whole else self.report.last_full_sync,
            handled_request=(self._asked if whole else "") or self.report.handled_request,
        )
        self.report = replace(self.report, current=self._is_current())
        interval = self._settings.interval_seconds or INTERVAL_SECONDS
        if result.complete:
            self._failures = 0
            pause = float(interval)
            if whole:
                self._full_due = time.time() + (self._settings.full_interval_seconds or FULL_INTERVAL_SECONDS)
        else:
            self._failures += 1
            pause = max(result.retry_after or 0.0, min(interval, _FIRST_RETRY * 2 ** min(self._failures - 1, 16)))
        if result.walk_again:
            self._full_due = 0.0
        pause *= random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads requests, protects nothing
        self._due = min(self._due, time.monotonic() + pause)

    @property
    def _settings(self) -> Sync:
        return (_spec(self.resource).sync if self.resource.spec else None) or Sync()

    def _new_sync(self) -> RegistrySync:
        return RegistrySync(self._rules, self.report.discovered, self.report.counts, wall_clock=lambda: datetime.now(UTC))

    def _is_current(self) -> bool:
        return is_current(self.report.discovered, self._rules, self.report.last_full_sync)

    def _is_asked(self) -> bool:
        """Whether an annotation asks for a full walk."""
        asked, accepted = _annotation(self.resource, SYNC_REQUESTED_ANNOTATION), _annotation(self.resource, ACCEPT_SHRINK_ANNOTATION)
        return asked not in ("", self.report.handled_request) or accepted not in ("", self._accepted)

    def _headers(self) -> Mapping[str, str] | None:
        """What the registry is asked with at present; None while a Secret is missing."""
        try:
            return request_headers(_spec(self.resource), self._secret)
        except MissingSecret:
            return None

    def _secret(self, ref: SecretKeyRef) -> str:
        value = self._secret_value(self.resource.namespace, ref)
        if value is None:
            raise MissingSecret(f"key {ref.key!r} of Secret {self.resource.namespace}/{ref.name} is missing; see ResolvedRefs")
        return value.decode("ascii")

    def _client(self) -> RegistryClient:
        return open_registry(_spec(self.resource), self._secret)


def _spec(resource: RegistryResource) -> MCPRegistrySpec:
    if resource.spec is None:
        raise ValueError(f"{resource}: an invalid spec is not synced")
    return resource.spec


def _rules(resource: RegistryResource) -> MappingRules:
    return MappingRules.of(_spec(resource), effective_registry_id(resource.raw_spec, resource.name), resource.namespace)


def _annotation(resource: RegistryResource, name: str) -> str:
    return resource.annotations.get(name, "")[:_ANNOTATION_LENGTH]
