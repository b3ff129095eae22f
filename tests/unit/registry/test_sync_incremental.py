"""What has changed since the last sync: asked for in few requests, and applied without a look at anything else."""

from typing import Any

import pytest

from junctor.api.conditions import Reason, SkipReason
from junctor.api.sync_report import Discovered
from junctor.connectormap.head import RegistryRecord
from tests.support.fake_registry import Status
from tests.support.registry_data import record, remote, servers
from tests.unit.registry.syncing import ID, Syncing, named, usable
from tests.unit.registry.versions import NAME, versions


async def test_a_new_server_and_a_new_version_arrive_with_one_request() -> None:
    with Syncing([*usable(250), *versions("1.0.0")]) as registry:
        await registry.full()
        registry.later(minutes=10)
        registry.change(NAME, "1.1.0")
        registry.change("io.acme/new")
        result = await registry.incremental()
        assert len(registry.requests) == 1
        assert (result.complete, result.full, result.finding.reason) == (True, False, Reason.SYNCED)
        assert registry.content(NAME)["version"] == "1.1.0"
        assert registry.content("io.acme/new")["available"]
        assert (result.counts.found, result.counts.published) == (252, 252)


async def test_fifty_changes_take_three_requests_and_touch_no_other_entry() -> None:
    with Syncing(servers(1000)) as registry:
        await registry.full()
        registry.later(minutes=10)
        before = dict(registry.entries)
        changed = registry.names[:40] + [f"new.one/number-{number}" for number in range(10)]
        for name in changed:
            registry.change(name, "99.0.0")
        await registry.incremental()
        assert len(registry.requests) <= 3
        assert {key for key, entry in registry.entries.items() if before.get(key) is not entry} == {f"{ID}{name}" for name in changed}


async def test_nothing_changed_gives_the_same_object_and_asks_later_only_for_what_is_later() -> None:
    with Syncing(usable(250)) as registry:
        await registry.full()
        before = registry.entries
        registry.later(hours=1)
        result = await registry.incremental()
        assert registry.entries is before
        assert result.discovered
        assert result.discovered.watermark == "2026-06-01T12:55:00Z"
        await registry.incremental()
        assert [asked.query["updated_since"] for asked in registry.requests] == ["2026-06-01T12:55:00Z"]


async def test_a_version_that_was_edited_is_published_as_it_is_now() -> None:
    with Syncing(versions("1.0.0")) as registry:
        await registry.full()
        registry.later(minutes=10)
        registry.change(NAME, "1.0.0", description="Edited")
        await registry.incremental()
        assert registry.content(NAME)["description"] == "Edited"


async def test_a_deprecated_server_is_marked() -> None:
    with Syncing(versions("0.9.0", "1.0.0")) as registry:
        await registry.full()
        registry.later(minutes=10)
        registry.set_status(NAME, "deprecated", updated=registry.now.timestamp())
        await registry.incremental()
        assert registry.content(NAME)["deprecated"] is True
        assert registry.content(NAME)["version"] == "1.0.0"


async def test_a_deprecated_server_leaves_where_only_active_ones_are_wanted() -> None:
    with Syncing([*versions("1.0.0"), *named("io.acme/other")], filter={"statuses": ["active"]}) as registry:
        await registry.full()
        registry.later(minutes=10)
        registry.set_status(NAME, "deprecated", updated=registry.now.timestamp())
        await registry.incremental()
        assert registry.names == ["io.acme/other"]


@pytest.mark.parametrize(("deleted", "wanted"), [("1.1.0", "1.0.0"), ("1.0.0", "1.1.0"), ("0.9.0", "1.1.0")])
async def test_a_deleted_version_gives_way_to_the_newest_that_is_left(deleted: str, wanted: str) -> None:
    with Syncing(versions("0.9.0", "1.0.0", "1.1.0")) as registry:
        await registry.full()
        registry.later(minutes=10)
        registry.set_status(NAME, "deleted", updated=registry.now.timestamp(), version=deleted)
        await registry.incremental()
        assert registry.content(NAME)["version"] == wanted


async def test_a_deleted_server_leaves() -> None:
    with Syncing([*versions("1.0.0", "1.1.0"), *named("io.acme/other")]) as registry:
        await registry.full()
        registry.later(minutes=10)
        registry.set_status(NAME, "deleted", updated=registry.now.timestamp())
        result = await registry.incremental()
        assert registry.names == ["io.acme/other"]
        assert (result.complete, result.counts.published, result.counts.found) == (True, 1, 1)


async def test_a_server_that_is_deleted_and_comes_back_is_published_again() -> None:
    with Syncing([*versions("1.0.0"), *named("io.acme/other")]) as registry:
        await registry.full()
        for status, names in (("deleted", ["io.acme/other"]), ("active", ["io.acme/other", NAME])):
            registry.later(minutes=10)
            registry.set_status(NAME, status, updated=registry.now.timestamp())
            await registry.incremental()
            assert registry.names == names


@pytest.mark.parametrize("meta", [True, False], ids=["isLatest is right", "every version says that it is the latest"])
async def test_a_change_of_an_old_version_does_not_matter(meta: bool) -> None:
    with Syncing(versions("1.0.0", "1.1.0")) as registry:
        await registry.full()
        before = registry.entries
        registry.later(minutes=10)
        registry.rows = [
            record(NAME, "1.0.0", remotes=[remote("https://old.example.com/mcp")], latest=not meta, updated=registry.now.timestamp()),
            *(row for row in registry.rows if row.version == "1.1.0"),
        ]
        await registry.incremental()
        assert registry.entries is before


@pytest.mark.parametrize("version", ["third", "first"])
async def test_which_version_is_the_newest_is_looked_up_where_the_registry_does_not_say(version: str) -> None:
    with Syncing(versions("first", "second")) as registry:
        registry.manner.latest = False
        await registry.full()
        registry.later(minutes=10)
        registry.change(NAME, version, latest=False)
        result = await registry.incremental()
        assert (result.full, len(registry.requests)) == (False, 2)
        assert registry.content(NAME)["version"] == version  # published last
        published = registry.entries
        await registry.full()
        assert registry.entries is published


async def test_a_new_version_without_an_address_takes_the_server_off() -> None:
    with Syncing([*versions("1.0.0"), *named("io.acme/other")]) as registry:
        await registry.full()
        registry.later(minutes=10)
        registry.publish(record(NAME, "2.0.0", updated=registry.now.timestamp()))
        await registry.incremental()
        assert registry.names == ["io.acme/other"]


async def test_an_invalid_row_loses_no_other_and_keeps_its_server() -> None:
    with Syncing([*versions("1.0.0"), *named("io.acme/other")]) as registry:
        await registry.full()
        registry.later(minutes=10)
        registry.change(NAME, "1.0.1", title="x" * 9999)
        registry.change("io.acme/other", "1.0.1")
        result = await registry.incremental()
        assert (result.complete, registry.content("io.acme/other")["version"]) == (True, "1.0.1")
        assert registry.content(NAME)["version"] == "1.0.0"


async def test_a_change_during_the_scan_comes_with_the_next_sync() -> None:
    rows = usable(300)
    with Syncing(rows) as registry:

        def change_behind(asked: Any) -> None:
            if asked.page == 2 and registry.rows[0].name != "aa.aa/new":
                registry.change("aa.aa/new")
                registry.set_status(rows[1].name, "deleted", updated=registry.now.timestamp())

        registry.fault = change_behind
        await registry.full()
        assert "aa.aa/new" not in registry.names
        registry.later(minutes=5)
        result = await registry.incremental()
        assert not result.full
        assert registry.names == sorted(["aa.aa/new", *(row.name for row in rows if row is not rows[1])])


async def test_a_change_during_a_slow_sync_comes_with_the_next_one_although_the_registry_tells_no_time() -> None:
    with Syncing([*usable(5), *versions("1.0.0")]) as registry:
        await registry.full()
        registry.later(minutes=30)
        registry.manner.date = registry.now.replace(year=2001)
        changed_at = registry.now.timestamp()
        registry.change("io.acme/first")

        def slow(asked: Any) -> None:
            registry.now = registry.now.replace(minute=59)

        registry.fault = slow
        await registry.incremental()
        registry.fault = lambda _: None
        registry.change("io.acme/second", updated=changed_at + 1)
        assert not (await registry.incremental()).full
        assert "io.acme/second" in registry.names


# --- the limit


async def test_a_new_server_before_the_limit_takes_the_place_of_the_last_and_is_counted() -> None:
    with Syncing(named("b.b/b", "c.c/c"), filter={"maxConnectors": 2}) as registry:
        await registry.full()
        registry.later(minutes=10)
        registry.change("a.a/a")
        result = await registry.incremental()
        assert registry.names == ["a.a/a", "b.b/b"]
        assert result.finding.reason == Reason.CONNECTOR_LIMIT_REACHED
        assert "2 of 3 servers are published; 1 are left out" in result.finding.message
        assert result.counts.skipped[SkipReason.LIMIT_REACHED].count == 1


async def test_a_place_that_becomes_free_below_the_limit_asks_for_a_scan() -> None:
    with Syncing(named("a.a/a", "b.b/b", "c.c/c"), filter={"maxConnectors": 2}) as registry:
        await registry.full()
        registry.later(minutes=10)
        registry.set_status("a.a/a", "deleted", updated=registry.now.timestamp())
        assert (await registry.incremental()).full_sync_next
        await registry.full()
        assert registry.names == ["b.b/b", "c.c/c"]


async def test_a_free_place_that_a_later_name_takes_asks_for_a_scan_of_those_before_it() -> None:
    with Syncing(named("a.a/a", "b.b/b", "c.c/c", "d.d/d"), filter={"maxConnectors": 2}) as registry:
        await registry.full()
        registry.later(minutes=10)
        registry.set_status("a.a/a", "deleted", updated=registry.now.timestamp())
        registry.change("d.d/d", "9.0.0")
        assert (await registry.incremental()).full_sync_next
        await registry.full()
        assert registry.names == ["b.b/b", "c.c/c"]
        registry.later(minutes=10)
        registry.change("d.d/d", "9.1.0")
        assert not (await registry.incremental()).full_sync_next
        assert registry.names == ["b.b/b", "c.c/c"]


# --- restarts


async def test_after_a_restart_the_published_map_is_the_memory() -> None:
    with Syncing([*usable(300), *versions("1.0.0", "1.1.0")]) as registry:
        known = (await registry.full()).discovered
        assert known
        published = {key: entry.changed_at(41) for key, entry in known.entries.items()}
        record = RegistryRecord("internal", "u", len(published), known.watermark, known.digest)
        registry.later(hours=5)
        registry.new_sync(Discovered.recalled(record, published))
        registry.change(NAME, "1.2.0")
        result = await registry.incremental()
        assert (result.full, len(registry.requests)) == (False, 1)
        assert {key for key, entry in registry.entries.items() if entry is not published[key]} == {f"{ID}{NAME}"}
        await registry.full()
        assert {key for key, entry in registry.entries.items() if entry is not published[key]} == {f"{ID}{NAME}"}


async def test_after_a_restart_an_outage_takes_nothing() -> None:
    with Syncing(usable(300)) as registry:
        known = (await registry.full()).discovered
        assert known
        registry.new_sync(
            Discovered.recalled(RegistryRecord("internal", watermark=known.watermark, filter_digest=known.digest), known.entries)
        )
        registry.fault = lambda _: Status(502)
        for sync in (registry.incremental, registry.full):
            result = await sync()
            assert (result.complete, result.finding.reason) == (False, Reason.REGISTRY_ERROR)
            assert result.discovered
            assert len(result.discovered.entries) == 300
