"""Keeps registries synced: one task for each, beside the loop, which only reads their reports.

A sync never delays a pass of the loop. It comes at its interval, at once when an annotation requests it or the rules change, and at
growing intervals while the registry does not answer.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from junctor.api.conditions import Finding, Reason
from junctor.api.endpoint import SecretKeyRef
from junctor.api.limits import DEFAULT_LIMITS, Limits, Room
from junctor.api.registry import Sync
from junctor.api.resources import RegistryResource
from junctor.api.sync_report import Discovered, SyncReport
from junctor.net.clock import Clock
from junctor.net.timestamps import rfc3339
from junctor.planning.acceptance import has_too_many_globs
from junctor.reconcile.ports import Registries
from junctor.reconcile.registry_memory import (
    BEING_READ,
    Recall,
    RegistryToSync,
    is_current,
    next_full_sync,
    recall_discovered,
    remembered_report,
    rules_of,
    spec_of,
)
from junctor.reconcile.sync_schedule import FIRST_RETRY_SECONDS, PublicationGate, SyncRequests, SyncSchedule
from junctor.registry.reader import request_headers
from junctor.registry.sync import RegistrySync, SyncResult
from junctor.registry.turns import SyncShare, SyncTurns

logger = logging.getLogger(__name__)

#: The fields of a spec that decide how the registry is contacted. The digest of the rules covers the others.
CONNECTION_FIELDS: Final = ("url", "headers", "auth", "tls", "sync")

#: Returns the value of a Secret's key (namespace, reference) in the form in which it is sent to a URL; None when there is none for it.
SecretValue = Callable[[str, SecretKeyRef, str], bytes | None]


class MissingSecret(Exception):
    """A Secret that a request to the registry itself needs is missing."""


class RegistrySyncs:
    """The tasks that sync registries.

    Args:
        registries: Opens registries.
        wake: Called when a report has changed.
        secret_value: Returns the value of a Secret's key.
        clock: The clock of intervals, pauses and reports.
        recall: Returns what the published map holds of a registry.
        limits: What all registries, those of a namespace, and each may have.
    """

    def __init__(
        self,
        registries: Registries,
        wake: Callable[[], None],
        secret_value: SecretValue,
        clock: Clock,
        *,
        recall: Recall = recall_discovered,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._registries = registries
        self._wake = wake
        self._secret_value = secret_value
        self._clock = clock
        self._recall = recall
        self._limits = limits
        self._turns = SyncTurns()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._syncers: dict[str, _Syncer] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def set_registries(self, registries: Mapping[str, RegistryToSync]) -> None:
        """Sync these registries, by uid, and no others."""
        for uid in [uid for uid in self._tasks if uid not in registries]:
            self._syncers.pop(uid, None)
            task = self._tasks.pop(uid)
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        for uid, registry in registries.items():
            if uid in self._syncers:
                self._syncers[uid].gate.pass_ended(registry.pause)
            if uid not in self._tasks:
                self._tasks[uid] = asyncio.create_task(self._keep_synced(uid, registry), name=f"registry {registry.resource}")

    async def _keep_synced(self, uid: str, registry: RegistryToSync) -> None:
        discovered = await self._recall(registry)
        while True:
            room = partial(self._room, uid, registry.resource.namespace)
            syncer = _Syncer(
                self._registries, registry, discovered, self._wake, self._secret_value, self._clock, SyncShare(self._turns, room)
            )
            self._syncers[uid] = syncer
            self._wake()  # what the map held counts at once
            try:
                await syncer.run()
            except Exception:
                logger.exception("registry %s: its syncs broke off, and begin anew", registry.resource)
                registry, discovered = replace(registry, resource=syncer.resource), syncer.report.discovered
                await self._clock.wait(asyncio.Event(), FIRST_RETRY_SECONDS)

    def reports(self, resources: Mapping[str, RegistryResource]) -> dict[str, SyncReport]:
        """Return the report on each registry for its present resource; one whose task has only just started has none yet."""
        for uid, syncer in self._syncers.items():
            resource = resources.get(uid)
            if resource is not None and resource.spec is not None and not has_too_many_globs(resource):
                syncer.update(resource)
            syncer.gate.planned = syncer.report.discovered
        return {uid: syncer.report for uid, syncer in self._syncers.items()}

    def _room(self, uid: str, namespace: str) -> Room:
        """How much the registry may have beside what the others have now."""
        others, in_namespace = Room(0, 0), Room(0, 0)
        for other, syncer in self._syncers.items():
            if other != uid:
                others = others.plus(syncer.used)
                if syncer.resource.namespace == namespace:
                    in_namespace = in_namespace.plus(syncer.used)
        return self._limits.room_of_registry(others, in_namespace)

    async def close(self) -> None:
        """Stop all tasks."""
        self.set_registries({})
        await asyncio.gather(*self._ending, return_exceptions=True)


class _Syncer:
    """Syncs one registry whenever its schedule says so, and reports how far it is."""

    def __init__(
        self,
        registries: Registries,
        registry: RegistryToSync,
        discovered: Discovered | None,
        wake: Callable[[], None],
        secret_value: SecretValue,
        clock: Clock,
        share: SyncShare,
    ) -> None:
        self._registries = registries
        self._wake = wake
        self._secret_value = secret_value
        self._clock = clock
        self._share = share
        self.gate = PublicationGate(clock)
        self.resource = registry.resource
        self._rules = rules_of(registry.resource)
        self.report = remembered_report(registry, discovered, self._rules)
        self._sync = self._new_sync()
        self._schedule = SyncSchedule(clock, next_full_sync(registry.status, self._settings))
        #: A confirmation from before this process has been handled, or is in the way of no sync.
        self._handled_accept = SyncRequests.of(registry.resource).accept_shrink
        #: What the registry was last contacted with.
        self._sent: Mapping[str, str] | None = None
        self._running: asyncio.Task[tuple[SyncResult, SyncRequests]] | None = None

    @property
    def used(self) -> Room:
        """What the registry has of the limits."""
        discovered = self._sync.discovered
        return discovered.room if discovered is not None else Room(0, 0)

    def update(self, resource: RegistryResource) -> None:
        """Follow the present resource. Called before every plan, so that the plan's report is about that resource."""
        before, self.resource = self.resource, resource
        if self._schedule.is_failing and self._headers() != self._sent:
            self._restart()  # a Secret was corrected
        if resource is before:
            return
        rules = rules_of(resource)
        changed = rules.digest != self._rules.digest
        if changed:
            self._rules = rules
            self._sync = self._new_sync()
        if changed or any(before.raw_spec.get(name) != resource.raw_spec.get(name) for name in CONNECTION_FIELDS):
            self._restart()
            self.report = replace(self.report, synced=BEING_READ)
        elif self._is_requested(SyncRequests.of(resource)):
            self._schedule.sync_now()
        self.report = replace(self.report, generation=resource.generation, current=self._is_current())

    async def run(self) -> None:
        """Sync until cancelled."""
        while True:
            await self._schedule.wait()
            await self.gate.wait(lambda: self.report.discovered)
            sync = self._sync
            self._running = asyncio.create_task(self._run_sync(), name=f"sync {self.resource}")
            try:
                await asyncio.wait((self._running,))
            except asyncio.CancelledError:
                self._running.cancel()
                await asyncio.wait((self._running,))
                raise
            if self._running.cancelled() or self._sync is not sync:
                continue
            self._finish(*self._running.result())
            self._wake()

    def _restart(self) -> None:
        """Begin a sync at once. One that is running ends: it follows rules that no longer hold."""
        self._schedule.sync_now(forget_failures=True)
        if self._running is not None:
            self._running.cancel()

    async def _run_sync(self) -> tuple[SyncResult, SyncRequests]:
        """Run one sync; return its result and the requests that it has handled."""
        sync, resource = self._sync, self.resource
        requests = SyncRequests.of(resource)
        full = self._is_requested(requests) or self._schedule.full_sync_is_due or not sync.can_be_incremental
        began = self._clock.monotonic()
        try:
            result = await self._read(sync, full, requests.accept_shrink)
        except MissingSecret as error:
            result = sync.failed(Finding("False", Reason.UNRESOLVED_REFS, str(error)))
        except Exception as error:
            logger.exception("registry %s: a sync failed unexpectedly", resource)
            message = f"internal error: {type(error).__name__}; see the operator's log"
            result = sync.failed(Finding("False", Reason.REGISTRY_ERROR, message))
        self._handled_accept = requests.accept_shrink
        level = logging.INFO if result.complete else logging.WARNING
        kind = "full" if result.full else "incremental"
        outcome = result.finding.message or result.finding.reason
        logger.log(level, "registry %s: %s sync in %.1f s: %s", resource, kind, self._clock.monotonic() - began, outcome)
        return result, requests

    async def _read(self, sync: RegistrySync, full: bool, accept_shrink: str) -> SyncResult:
        self._sent = self._headers()
        # What new rules forbid is retracted before the registry is read, which may take long, or fail.
        await asyncio.to_thread(sync.retract_disallowed)
        if sync.discovered is not self.report.discovered:
            self.report = replace(self.report, discovered=sync.discovered, counts=sync.counts, current=self._is_current())
            self._wake()
        spec, namespace = spec_of(self.resource), self.resource.namespace
        async with (
            self._share.turns.turn(namespace),
            self._registries.open(spec, request_headers(spec, self._secret), namespace) as reader,
        ):
            return await (sync.full(reader, accept_shrink) if full else sync.incremental(reader, accept_shrink))

    def _finish(self, result: SyncResult, requests: SyncRequests) -> None:
        """Report a result, and plan the next sync."""
        now = rfc3339(self._clock.now())
        full = result.complete and result.full
        self.report = replace(
            self.report,
            synced=result.finding,
            discovered=result.discovered,
            counts=result.counts,
            last_sync=now if result.complete else self.report.last_sync,
            last_full_sync=now if full else self.report.last_full_sync,
            handled_request=(requests.full_sync if full else "") or self.report.handled_request,
        )
        self.report = replace(self.report, current=self._is_current())
        self._schedule.finished(result, self._settings)

    @property
    def _settings(self) -> Sync:
        return (self.resource.spec.sync if self.resource.spec else None) or Sync()

    def _new_sync(self) -> RegistrySync:
        turns, room = self._share
        return RegistrySync(self._rules, self.report.discovered, self.report.counts, now=self._clock.now, room=room, turns=turns)

    def _is_current(self) -> bool:
        return is_current(self.report.discovered, self._rules, self.report.last_full_sync)

    def _is_requested(self, requests: SyncRequests) -> bool:
        """Whether an annotation requests a full sync."""
        return requests.are_new(SyncRequests(self.report.handled_request, self._handled_accept))

    def _headers(self) -> Mapping[str, str] | None:
        """The headers that requests to the registry have at present; None while a Secret is missing."""
        try:
            return request_headers(spec_of(self.resource), self._secret)
        except MissingSecret:
            return None

    def _secret(self, ref: SecretKeyRef) -> str:
        namespace, url = self.resource.namespace, spec_of(self.resource).url
        if (value := self._secret_value(namespace, ref, url)) is None:
            raise MissingSecret(f"key {ref.key!r} of Secret {namespace}/{ref.name} is missing for spec.url; see ResolvedRefs")
        return value.decode("ascii")
