"""Walks that break: what was read is published, nothing goes, and the next attempt goes on."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from junctor.api.conditions import Reason, SkipReason
from junctor.api.limits import weight_of
from junctor.registry import scan
from tests.support.fake_registry import Asked, Cursor, Cut, Fault, Slow, Status
from tests.support.registry_data import record, remote
from tests.unit.registry.building import credentials, secret
from tests.unit.registry.syncing import Syncing, named, usable

GARBAGE = Status(200, b'{"servers": [{"server": {"na')
DOWN = Status(503)
HTML = Status(200, b"<html>please sign in</html>", "text/html")


def page(number: int, fault: Fault = DOWN) -> Callable[[Asked], Fault | None]:
    """A fault of one page."""
    return lambda asked: fault if asked.page == number else None


async def test_a_registry_that_dies_on_page_400_of_836_is_read_on_from_there() -> None:
    rows = usable(8351)
    with Syncing(rows[:3990] + named("zz.gone/later"), page_size=10) as registry:
        await registry.full()
        registry.rows = rows
        registry.fault = page(400)
        result = await registry.full()
        assert (result.complete, result.full) == (False, True)
        assert (result.finding.status, result.finding.reason) == ("False", Reason.PARTIAL_SYNC)
        assert "page 400 could not be read, 3990 servers were: " in result.finding.message
        assert "HTTP 503" in result.finding.message
        assert registry.names == [*(row.name for row in rows[:3990]), "zz.gone/later"]

        registry.fault = lambda _: None
        registry.later(minutes=14)
        result = await registry.full()
        assert (registry.requests[0].page, len(registry.requests)) == (400, 836 - 399)
        assert (result.complete, result.counts.found) == (True, 8351)
        assert registry.names == [row.name for row in rows]
        assert result.discovered
        assert result.discovered.watermark == "2026-06-01T11:55:00Z"  # since the scan began, which was before it broke


async def test_what_was_read_before_the_scan_broke_is_published() -> None:
    rows = usable(300)
    with Syncing(rows) as registry:
        registry.fault = page(3)
        result = await registry.full()
        assert registry.names == [row.name for row in rows[:200]]
        assert result.discovered
        assert (result.discovered.watermark, result.counts.published, result.counts.found) == ("", 200, 200)
        assert not registry.sync.can_be_incremental


async def test_what_broke_too_long_ago_is_read_again() -> None:
    with Syncing(usable(300)) as registry:
        registry.fault = page(3)
        await registry.full()
        registry.fault = lambda _: None
        registry.later(minutes=16)
        assert (await registry.full()).complete
        assert registry.requests[0].page == 1


async def test_attempts_that_get_no_further_do_not_make_a_scan_younger() -> None:
    with Syncing(usable(300)) as registry:
        registry.fault = page(3)
        for wanted in (1, 3, 3, 3, 1):
            await registry.full()
            assert registry.requests[0].page == wanted
            registry.later(minutes=5)


async def test_a_registry_that_does_not_know_the_place_any_more_is_read_from_the_beginning() -> None:
    with Syncing(usable(300)) as registry:
        registry.fault = page(3)
        await registry.full()
        registry.fault = lambda asked: Status(400) if asked.query.get("cursor") == registry.requests[0].query.get("cursor") else None
        assert not (await registry.full()).complete
        registry.fault = lambda _: None
        assert (await registry.full()).complete
        assert registry.requests[0].page == 1


@pytest.mark.parametrize("fault", [Status(500), Status(502), Cut(), Cut(300), GARBAGE], ids=str)
async def test_a_third_of_all_requests_fail_and_the_scan_comes_to_its_end(fault: Fault) -> None:
    rows, chance = usable(600), random.Random(5)
    with Syncing(rows, page_size=10, retries=5) as registry:
        registry.fault = lambda _: fault if chance.random() < 0.3 else None
        attempts = 1
        while not (await registry.full()).complete:
            attempts += 1
        assert attempts < 10
        assert registry.names == [row.name for row in rows]


async def test_every_page_is_slow() -> None:
    with Syncing(usable(100), page_size=20) as registry:
        registry.fault = lambda _: Slow(0.02)
        assert (await registry.full()).complete
        assert len(registry.names) == 100


@pytest.mark.parametrize("fault", [GARBAGE, HTML, Status(404, b"{}"), Status(401), Status(422), Cut(10)], ids=str)
async def test_a_page_that_cannot_be_read_ends_the_scan_and_takes_nothing(fault: Fault) -> None:
    rows = usable(300)
    with Syncing(rows) as registry:
        await registry.full()
        registry.rows = rows[:250]
        registry.fault = page(2, fault)
        result = await registry.full()
        assert (result.complete, result.finding.reason) == (False, Reason.PARTIAL_SYNC)
        assert registry.names == [row.name for row in rows]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (HTML, Reason.NOT_A_REGISTRY),
        (Status(404), Reason.NOT_A_REGISTRY),
        (Status(200, b'{"items":[]}'), Reason.NOT_A_REGISTRY),
        (Status(401), Reason.REGISTRY_UNAUTHORIZED),
        (Status(429), Reason.REGISTRY_RATE_LIMITED),
        (Status(500), Reason.REGISTRY_ERROR),
        (Cut(), Reason.REGISTRY_ERROR),
    ],
    ids=str,
)
async def test_a_registry_that_cannot_be_read_at_all_says_why_and_keeps_its_servers(fault: Fault, reason: Reason) -> None:
    with Syncing(usable(30)) as registry:
        registry.fault = lambda _: fault
        result = await registry.full()
        assert (result.complete, result.finding.reason, result.discovered) == (False, reason, None)
        registry.fault = lambda _: None
        before = (await registry.full()).discovered
        registry.fault = lambda _: fault
        result = await registry.full()
        assert (result.finding.status, result.finding.reason) == ("False", reason)
        assert result.discovered is before


@pytest.mark.parametrize("back", ["", "again"])
async def test_a_cursor_that_was_seen_ends_the_scan(back: str) -> None:
    rows = usable(300)
    with Syncing(rows, page_size=50) as registry:
        await registry.full()
        registry.rows = rows[:280]
        cursors = {3: registry.requests[1].query["cursor"], 4: registry.requests[3].query["cursor"]}
        at = 3 if back else 4  # to the second page, or to itself
        registry.fault = page(at, Cursor(cursors[at]))
        result = await registry.full()
        assert (result.complete, result.finding.reason) == (False, Reason.PARTIAL_SYNC)
        assert f"page {at} leads back" in result.finding.message
        assert registry.names == [row.name for row in rows]
        registry.fault = lambda _: None
        await registry.full()
        # There is nothing to go on from. A request of the broken scan, for the page that it was reading ahead, may still arrive before.
        assert 1 in {asked.page for asked in registry.requests}


async def test_new_cursors_to_the_same_page_end_the_scan() -> None:
    with Syncing(usable(20), page_size=10) as registry:
        registry.fault = lambda asked: Cursor(f"{registry.rows[0].name}:1.0.0{'.' * asked.number}")
        result = await registry.full()
        assert (result.complete, result.finding.reason) == (False, Reason.PARTIAL_SYNC)
        assert len(registry.requests) < 250


@pytest.mark.parametrize(("what", "most"), [("MAX_SERVERS", 25), ("MAX_PAGES", 3), ("bytes", 20_000)])
async def test_a_registry_without_an_end_is_left(what: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with Syncing(usable(100), page_size=10) as registry:
        if what == "bytes":
            registry.room = registry.room._replace(bytes=most)
        else:
            monkeypatch.setattr(scan, what, most)
        result = await registry.full()
        assert (result.complete, result.finding.reason) == (False, Reason.PARTIAL_SYNC)
        assert f"more than {most} " in result.finding.message
        assert 20 < len(registry.names) <= 30
        assert len(registry.requests) <= 4


async def test_servers_that_take_too_much_are_not_published_by_changes_either() -> None:
    with Syncing(usable(20)) as registry:
        registry.room = registry.room._replace(bytes=18_000)
        await registry.full()
        registry.later(minutes=10)
        for number in range(5):
            registry.change(f"com.evil/{number}", description="x" * 1000)
        result = await registry.incremental()
        assert (result.full, result.finding.reason) == (True, Reason.PARTIAL_SYNC)
        assert {row.name for row in usable(20)} < set(registry.names)
        assert sum(map(weight_of, registry.entries.values())) <= 18_000


async def test_a_part_of_the_versions_takes_no_newer_one_back() -> None:
    rows = [record("io.acme/weather", version, remotes=[remote(f"https://v{version}.example.com/mcp")]) for version in ("1.0.0", "2.0.0")]
    with Syncing(rows, page_size=1) as registry:
        registry.manner.latest = False
        await registry.full()
        registry.fault = page(2)
        assert not (await registry.full()).complete
        assert registry.content("io.acme/weather")["version"] == "2.0.0"


async def test_a_part_of_the_registry_fills_the_limit_and_displaces_nothing() -> None:
    with Syncing(named("b.b/b", "c.c/c", "d.d/d"), page_size=2, filter={"maxConnectors": 4}) as registry:
        await registry.full()
        registry.rows = [*named("a.a/a", "a.b/b", "a.c/c"), *registry.rows]
        registry.fault = page(3)
        await registry.full()
        assert registry.names == ["a.a/a", "b.b/b", "c.c/c", "d.d/d"]
        registry.fault = lambda _: None
        await registry.full()
        assert registry.names == ["a.a/a", "a.b/b", "a.c/c", "b.b/b"]


async def test_a_server_that_moved_is_unavailable_although_the_scan_broke_later() -> None:
    grant = credentials(secret("token"), servers=["io.acme/*"], hosts=["*.example.com"])
    with Syncing(named("io.acme/api", "io.acme/b", "io.acme/c"), page_size=1, credentials=[grant]) as registry:
        await registry.full()
        registry.change("io.acme/api", "1.0.1", remotes=[remote("https://evil.org/mcp")])
        registry.fault = page(2)
        assert not (await registry.full()).complete
        assert registry.content("io.acme/api")["reason"] == SkipReason.HOST_NOT_ALLOWED
        assert registry.names == ["io.acme/b", "io.acme/c"]


async def test_what_was_learnt_meanwhile_is_not_undone_by_an_older_part() -> None:
    with Syncing(usable(300)) as registry:
        await registry.full()
        registry.fault = page(3)
        await registry.full()
        registry.fault = lambda _: None
        registry.later(minutes=1)
        gone = registry.rows[0].name
        registry.set_status(gone, "deleted", updated=registry.now.timestamp())
        await registry.incremental()
        assert gone not in registry.names
        await registry.full()
        assert gone not in registry.names


async def test_one_bad_record_on_each_page_loses_no_other() -> None:
    rows = usable(300)
    bad: list[Any] = [record(f"{row.name}-bad", title="x" * 9999) for row in rows[::10]]
    with Syncing([*rows, *bad], page_size=30) as registry:
        result = await registry.full()
        assert registry.names == [row.name for row in rows]
        assert result.counts.skipped[SkipReason.INVALID_RECORD].count == len(bad)
