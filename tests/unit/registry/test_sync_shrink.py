"""A registry that lost suspiciously much is not believed at once."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from junctor.api.conditions import Reason, SkipReason
from junctor.api.sync_report import Discovered
from junctor.connectormap.head import RegistryRecord
from junctor.registry.sync import SyncResult
from tests.support.fake_registry import Status
from tests.support.registry_data import Row, record, remote
from tests.unit.registry.building import credentials, secret
from tests.unit.registry.syncing import NOW, Syncing, named, usable

ALL = usable(200)
NAMES = [row.name for row in ALL]


def digest(result: SyncResult) -> str:
    """What the message says that confirms the loss."""
    found = re.search(r"junctor\.dev/accept-shrink: ([0-9a-f]{12}) confirms", result.finding.message)
    assert found
    return found[1]


def is_held(result: SyncResult) -> bool:
    return (result.finding.status, result.finding.reason) == ("False", Reason.SUSPICIOUS_SHRINK)


def _empty(rows: list[Row]) -> list[Row]:
    return []


def _tenth(rows: list[Row]) -> list[Row]:
    return rows[::10]


def _invalid(rows: list[Row]) -> list[Row]:
    return [record(row.name, title="x" * 9999) for row in rows]


def _without_addresses(rows: list[Row]) -> list[Row]:
    return [record(row.name, "9.0.0") for row in rows]


def _deleted(rows: list[Row]) -> list[Row]:
    return [record(row.name, status="deleted", remotes=[remote("https://x.example.com")]) for row in rows]


@pytest.mark.parametrize("loss", [_empty, _tenth, _invalid, _without_addresses, _deleted])
async def test_a_registry_that_lost_most_of_its_servers_is_held_back(loss: Callable[[list[Row]], list[Row]]) -> None:
    with Syncing(ALL) as registry:
        known = (await registry.full()).discovered
        assert known
        registry.later(hours=1)
        registry.manner.include_deleted = False
        registry.rows = loss(ALL)
        result = await registry.full()
        assert is_held(result)
        assert (result.complete, result.full_sync_next) == (True, True)
        lost = 180 if loss is _tenth else 200
        assert result.finding.message.startswith(f"{lost} of 200 published servers are gone from the registry; ")
        assert "(this was number 1)" in result.finding.message
        assert registry.names == NAMES
        assert result.discovered
        assert result.discovered.watermark == known.watermark
        assert (result.counts.found, result.counts.published) == (len(registry.rows), 200)


async def test_what_is_new_and_changed_is_published_all_the_same() -> None:
    with Syncing(ALL) as registry:
        await registry.full()
        registry.rows = ALL[:10]
        registry.change(NAMES[0], "9.9.9")
        registry.change("io.acme/new")
        assert is_held(await registry.full())
        assert registry.names == sorted([*NAMES, "io.acme/new"])
        assert registry.content(NAMES[0])["version"] == "9.9.9"


async def test_three_equal_full_syncs_confirm_it() -> None:
    with Syncing(ALL) as registry:
        await registry.full()
        registry.rows = ALL[:10]
        for number in (1, 2):
            result = await registry.full()
            assert f"(this was number {number})" in result.finding.message
            assert registry.names == NAMES
        result = await registry.full()
        assert (result.finding.status, result.finding.reason, result.full_sync_next) == ("True", Reason.SYNCED, False)
        assert registry.names == NAMES[:10]


async def test_a_differing_scan_starts_the_count_again() -> None:
    with Syncing(ALL) as registry:
        await registry.full()
        for kept in (10, 10, 11, 11):
            registry.rows = ALL[:kept]
            assert is_held(await registry.full())
        assert (await registry.full()).finding.reason == Reason.SYNCED
        assert registry.names == NAMES[:11]


async def test_a_scan_that_found_all_starts_the_count_again() -> None:
    with Syncing(ALL) as registry:
        await registry.full()
        for kept in (10, 10, 200, 10, 10):
            registry.rows = ALL[:kept]
            assert is_held(await registry.full()) is (kept == 10)
        assert registry.names == NAMES


async def test_a_scan_that_breaks_does_not_count() -> None:
    with Syncing(ALL, page_size=5) as registry:
        await registry.full()
        registry.rows = ALL[:10]
        for _ in range(2):
            await registry.full()
        registry.manner.key = "none"
        assert (await registry.full()).finding.reason == Reason.REGISTRY_UNAUTHORIZED
        assert registry.names == NAMES


async def test_the_digest_confirms_it_at_once() -> None:
    with Syncing(ALL) as registry:
        await registry.full()
        registry.rows = ALL[:10]
        confirmed = digest(await registry.full())
        registry.accept_shrink = confirmed
        assert (await registry.full()).finding.reason == Reason.SYNCED
        assert registry.names == NAMES[:10]


async def test_a_digest_confirms_no_other_loss() -> None:
    with Syncing(ALL) as registry:
        await registry.full()
        registry.rows = ALL[:10]
        registry.accept_shrink = digest(await registry.full())
        registry.rows = []
        assert is_held(await registry.full())
        assert registry.names == NAMES


@pytest.mark.parametrize(
    ("before", "after", "held"),
    [(19, 0, False), (20, 0, True), (40, 20, False), (40, 19, True), (100, 50, False), (100, 49, True), (30, 11, False), (30, 10, True)],
)
async def test_more_than_half_and_at_least_twenty_are_too_many(before: int, after: int, held: bool) -> None:
    with Syncing(ALL[:before]) as registry:
        await registry.full()
        registry.rows = ALL[:after]
        assert is_held(await registry.full()) is held
        assert len(registry.names) == (before if held else after)


async def test_servers_that_cannot_be_called_do_not_make_a_loss_smaller() -> None:
    ours: dict[str, Any] = {"credentials": [credentials(secret("token"), servers=["io.acme/*"], hosts=["*.example.com"])]}
    forbidden = [f"io.acme/s{number}" for number in range(60)]
    with Syncing([*named(*forbidden), *ALL[:40]], **ours) as registry:
        await registry.full()
        moved = [record(name, "1.0.1", remotes=[remote("https://evil.org/mcp")]) for name in forbidden]
        registry.rows = [*moved, *ALL[:40]]
        result = await registry.full()
        # Forbidden is forbidden, however many there are.
        assert (result.finding.reason, len(registry.names)) == (Reason.SYNCED, 40)
        assert result.counts.skipped[SkipReason.HOST_NOT_ALLOWED].count == 60
        registry.rows = moved
        assert is_held(await registry.full())
        assert len(registry.names) == 40
        registry.rows = ALL[:40]
        assert (await registry.full()).finding.reason == Reason.SYNCED
        assert len(registry.entries) == 40


async def test_other_rules_are_believed_at_once() -> None:
    with Syncing(ALL) as registry:
        known = (await registry.full()).discovered
        registry.new_sync(known, filter={"include": ["*-19*"]})
        result = await registry.full()
        assert result.finding.reason == Reason.SYNCED
        assert registry.names == [name for name in NAMES if "-19" in name]


@pytest.mark.parametrize("narrowed", [True, False])
@pytest.mark.parametrize("changed", [{"allowInsecureURLs": True}, {"filter": {"include": ["*-1*"]}}], ids=["another field", "the filter"])
async def test_what_the_registry_does_not_list_any_more_is_not_what_other_rules_took_away(changed: dict[str, Any], narrowed: bool) -> None:
    with Syncing(ALL) as registry:
        known = (await registry.full()).discovered
        sync = registry.new_sync(known, **changed)
        chosen = [name for name in NAMES if sync.rules.selects_name(name)]
        if narrowed:
            sync.retract_disallowed()
        registry.rows = []
        for number in (1, 2):
            result = await registry.full()
            assert result.finding.message.startswith(f"{len(chosen)} of ")
            assert f"(this was number {number})" in result.finding.message
            assert registry.names == chosen
        assert not is_held(await registry.full())
        assert registry.names == []


async def test_another_registry_is_believed_at_once() -> None:
    with Syncing(ALL) as registry:
        known = (await registry.full()).discovered
        registry.new_sync(known, url="https://other.example.com")
        registry.rows = []
        assert not is_held(await registry.full())
        assert registry.names == []


async def test_servers_beyond_the_limit_are_not_lost() -> None:
    with Syncing(ALL[100:150], filter={"maxConnectors": 50}) as registry:
        await registry.full()
        registry.rows = ALL
        assert (await registry.full()).finding.reason == Reason.CONNECTOR_LIMIT_REACHED
        assert registry.names == NAMES[:50]


async def test_the_loss_is_held_back_after_a_restart_too() -> None:
    with Syncing(ALL) as registry:
        known = (await registry.full()).discovered
        assert known
        head = RegistryRecord("internal", watermark=known.watermark, filter_digest=known.digest)
        registry.new_sync(Discovered.recalled(head, {key: entry.changed_at(7) for key, entry in known.entries.items()}))
        registry.rows = []
        assert is_held(await registry.full())
        assert registry.names == NAMES


async def test_what_a_first_scan_that_broke_has_published_is_held_back_too() -> None:
    with Syncing(ALL, page_size=50) as registry:
        registry.fault = lambda asked: Status(500) if asked.number == 4 else None
        known = (await registry.full()).discovered
        assert registry.names == NAMES[:150]
        registry.new_sync(known)
        registry.rows = []
        assert is_held(await registry.full())
        assert registry.names == NAMES[:150]


async def test_a_confirmation_that_stays_confirms_no_later_loss() -> None:
    with Syncing(ALL) as registry:
        await registry.full()
        registry.rows = ALL[:10]
        registry.accept_shrink = digest(await registry.full())
        await registry.full()
        registry.rows = ALL[:100]
        await registry.full()
        registry.rows = ALL[:10]
        assert is_held(await registry.full())
        assert registry.names == NAMES[:100]


async def test_many_deletions_at_once_are_held_back_until_full_syncs_find_the_same() -> None:
    with Syncing(ALL) as registry:
        await registry.full()
        registry.later(minutes=10)
        when = registry.now.timestamp()
        for name in NAMES[:150]:
            registry.set_status(name, "deleted", updated=when)
        result = await registry.incremental()
        assert is_held(result)
        assert (result.full, result.full_sync_next) == (True, True)
        assert registry.names == NAMES
        for _ in range(2):
            result = await registry.full()
        assert (result.finding.reason, registry.names) == (Reason.SYNCED, NAMES[150:])


async def test_many_new_versions_without_an_address_are_held_back() -> None:
    with Syncing(ALL) as registry:
        await registry.full()
        registry.later(minutes=10)
        without = [record(name, "99.0.0", updated=registry.now.timestamp()) for name in NAMES]
        registry.rows = [*(replace(row, latest=False) for row in ALL), *without]
        assert is_held(await registry.incremental())
        assert registry.names == NAMES


async def test_few_deletions_are_believed_at_once() -> None:
    with Syncing(ALL) as registry:
        await registry.full()
        registry.later(minutes=10)
        for name in NAMES[:15]:
            registry.set_status(name, "deleted", updated=registry.now.timestamp())
        result = await registry.incremental()
        assert (result.full, registry.names) == (False, NAMES[15:])


async def test_nothing_is_held_back_before_anything_is_published() -> None:
    with Syncing() as registry:
        result = await registry.full()
        assert (result.finding.reason, result.finding.message) == (Reason.SYNCED, "0 of 0 servers are published")
        assert result.discovered
        assert result.discovered.watermark < NOW.isoformat()
