"""A change of a registry's rules: what it forbids is reported at once, before the registry is read by them."""

from collections.abc import Callable
from typing import Any

import pytest

from junctor.api.conditions import Finding, Reason, SkipReason
from junctor.api.resources import RegistryResource
from junctor.api.sync_report import SyncReport
from junctor.connectormap.credentials import reference_hash
from junctor.connectormap.head import RegistryRecord
from junctor.net.clock import Clock
from junctor.net.network_policy import OWN_MACHINE_POLICY
from junctor.reconcile.registry_memory import RegistryToSync
from junctor.reconcile.registry_syncs import RegistrySyncs
from junctor.registry.connection import HTTPRegistries
from tests.support.entries import content_of
from tests.support.fake_registry import FakeRegistry, Stall
from tests.support.registry_data import record, remote
from tests.unit.reconcile.fakes import until

UID = "u1"
GRANT = {
    "servers": ["io.acme/api"],
    "hosts": ["api.acme.com"],
    "auth": {"bearer": {"secretKeyRef": {"name": "token", "key": "value"}}},
}


def resource(url: str, generation: int, **spec: Any) -> RegistryResource:
    metadata = {"namespace": "team-a", "name": "internal", "uid": UID, "generation": generation}
    return RegistryResource.of({"metadata": metadata, "spec": {"url": url, "credentials": [GRANT]} | spec})


def api_is(reason: SkipReason) -> Callable[[SyncReport], bool]:
    def look(report: SyncReport) -> bool:
        entry = content_of(report.discovered.entries["mcp::internal::io.acme/api"]) if report.discovered else {}
        return entry.get("reason") == reason and "auth" not in entry

    return look


def other_is_gone(report: SyncReport) -> bool:
    return report.discovered is not None and "mcp::internal::io.other/x" not in report.discovered.entries


@pytest.mark.parametrize(
    ("change", "is_so"),
    [
        ({"filter": {"include": ["io.acme/*"]}}, other_is_gone),
        ({"credentials": []}, api_is(SkipReason.HOST_NOT_ALLOWED)),
        ({"credentials": [{**GRANT, "hosts": ["www.acme.com"]}]}, api_is(SkipReason.HOST_NOT_ALLOWED)),
    ],
    ids=["a name", "all credentials", "a host"],
)
@pytest.mark.parametrize("restarted", [False, True])
async def test_what_new_rules_forbid_is_off_although_the_registry_never_answers(
    change: dict[str, Any], is_so: Callable[[SyncReport], bool], restarted: bool
) -> None:
    woken: list[None] = []
    rows = [
        record("io.acme/api", remotes=[remote("https://api.acme.com/mcp")]),
        record("io.other/x", remotes=[remote("https://x.example.com/mcp")]),
    ]
    with FakeRegistry(rows) as registry:
        first, second = resource(registry.url, 1), resource(registry.url, 2, **change)
        syncs = RegistrySyncs(HTTPRegistries(OWN_MACHINE_POLICY), lambda: woken.append(None), lambda *_: b"secret", Clock())

        def report(now: RegistryResource) -> SyncReport:
            return syncs.reports({UID: now}).get(UID) or SyncReport(0, Finding("Unknown", Reason.SYNCING))

        try:
            syncs.set_registries({UID: RegistryToSync(first)})
            await until(lambda: report(first).synced.status == "True")
            known = report(first).discovered
            assert known
            assert content_of(known.entries["mcp::internal::io.acme/api"])["auth"]["bearer"]["credential"] == reference_hash(
                "team-a", "token", "value"
            )
            registry.fault = lambda _: Stall()
            if restarted:
                await syncs.close()
                syncs = RegistrySyncs(HTTPRegistries(OWN_MACHINE_POLICY), lambda: woken.append(None), lambda *_: b"secret", Clock())
                head = RegistryRecord("internal", UID, 2, known.watermark, known.digest)
                syncs.set_registries({UID: RegistryToSync(second, record=head, published=known.entries)})
            woken.clear()
            await until(lambda: is_so(report(second)))
            assert woken
            assert not report(second).current
            assert report(second).counts.published == 1
            assert report(second).synced.status != "True"
        finally:
            await syncs.close()
