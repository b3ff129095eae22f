"""Full syncs: what they publish, and what they count."""

from collections import Counter
from typing import Any

import pytest

from junctor.api.conditions import Reason, SkipReason
from junctor.api.sync_report import SkipCount
from tests.support.fake_registry import Cursor, Status
from tests.support.registry_data import DIRTY, record, remote, servers
from tests.unit.registry.building import credentials, secret
from tests.unit.registry.syncing import ID, NOW, Syncing, named, usable


@pytest.mark.parametrize(
    "manner",
    [
        {},
        {"latest": False},
        {"include_deleted": False},
        {"cursor_name": "next_cursor"},
        {"null": True},
        {"encoding": "gzip"},
    ],
    ids=str,
)
async def test_the_first_scan_publishes_every_usable_server_and_counts_the_others(manner: dict[str, Any]) -> None:
    rows = [*servers(700), *DIRTY.values()]
    with Syncing(rows) as registry:
        for name, value in manner.items():
            setattr(registry.manner, name, value)
        result = await registry.full()

        listed = [row for row in rows if row.latest and (row.status != "deleted" or not registry.manner.include_deleted)]
        assert registry.names == sorted(row.name for row in listed if row.outcome is None)
        skipped = Counter(row.outcome for row in listed if row.outcome is not None)
        assert {reason: item.count for reason, item in result.counts.skipped.items()} == skipped
        assert (result.counts.found, result.counts.published) == (len(listed), len(registry.names))
        assert (result.complete, result.full, result.finding.status, result.finding.reason) == (True, True, "True", Reason.SYNCED)
        assert result.finding.message == f"{len(registry.names)} of {len(listed)} servers are published"
        assert set(registry.entries) == {f"{ID}{name}" for name in registry.names}


async def test_records_without_metadata_are_published() -> None:
    rows = usable(150)
    with Syncing(rows) as registry:
        registry.manner.meta = False
        assert (await registry.full()).complete
        assert registry.names == [row.name for row in rows]


async def test_skipped_servers_are_named_with_what_is_wrong_at_most_five_of_each_reason() -> None:
    with Syncing([*usable(3), *DIRTY.values()]) as registry:
        skipped = (await registry.full()).counts.skipped[SkipReason.INVALID_RECORD]
    assert skipped.count > len(skipped.examples) == 5
    named_ones = [example for example in skipped.examples if example.startswith("io.github.dirty/")]
    assert named_ones
    assert all(": " in example and len(example) <= 256 for example in skipped.examples)


async def test_the_newest_version_wins_wherever_the_pages_end() -> None:
    versions = ["0.9.0", "1.10.0", "1.2.0", "1.9.0-rc.1", "2.0.0-beta.2"]
    rows = [record("io.acme/many", version, remotes=[remote(f"https://v{version}.example.com/mcp")], latest=version == "0.9.0")
            for version in versions]  # fmt: skip
    for size in (1, 2, 3, 100):
        with Syncing([*named("io.acme/a", "io.acme/z"), *rows], page_size=size) as registry:
            registry.manner.latest = False
            result = await registry.full()
            assert registry.content("io.acme/many")["version"] == "2.0.0-beta.2"
            assert (result.counts.found, result.counts.published) == (3, 3)
            assert result.counts.skipped == {}


@pytest.mark.parametrize("deleted", ["1.0.0", "2.0.0", "3.0.0"])
async def test_a_deleted_version_gives_way_to_the_newest_that_is_left(deleted: str) -> None:
    versions = ("1.0.0", "2.0.0", "3.0.0")
    rows = [
        record(
            "io.acme/weather", version, remotes=[remote("https://x.example.com/mcp")], status="deleted" if version == deleted else "active"
        )
        for version in versions
    ]
    with Syncing(rows) as registry:
        registry.manner.latest = registry.manner.include_deleted = False
        assert (await registry.full()).counts.skipped == {}
        assert registry.content("io.acme/weather")["version"] == ("2.0.0" if deleted == "3.0.0" else "3.0.0")


@pytest.mark.parametrize("version", ["1.0.0", ""], ids=["with a version", "without"])
async def test_of_two_records_of_the_same_version_the_first_is_used_and_the_other_counted(version: str) -> None:
    twins = [record("io.acme/twin", version, remotes=[remote(f"https://{host}.example.com/mcp")]) for host in ("first", "second")]
    with Syncing([*named("io.acme/a"), *twins]) as registry:
        result = await registry.full()
        assert registry.content("io.acme/twin")["url"] == "https://first.example.com/mcp"
    assert result.counts.skipped == {SkipReason.DUPLICATE_NAME: SkipCount(1, ("io.acme/twin",))}


async def test_the_same_record_on_two_pages_is_no_duplicate() -> None:
    """A page moves on when somebody publishes during the scan."""
    rows = named("io.acme/a", "io.acme/b", "io.acme/c")
    with Syncing(rows, page_size=2) as registry:
        registry.fault = lambda asked: Cursor("io.acme/a:1.0.0") if asked.query.get("cursor") is None else None
        result = await registry.full()
        assert (result.complete, result.counts.skipped, len(registry.names)) == (True, {}, 3)


async def test_an_empty_page_ends_the_scan_where_the_registry_said_that_there_is_one_more() -> None:
    with Syncing(usable(200)) as registry:
        result = await registry.full()
        assert len(registry.requests) == 3
        assert (result.complete, len(registry.names)) == (True, 200)


async def test_a_scan_that_finds_nothing_new_gives_the_same_object() -> None:
    with Syncing([*servers(300), *DIRTY.values()]) as registry:
        before = (await registry.full()).discovered
        registry.later(hours=1)
        after = (await registry.full()).discovered
    assert before is not None
    assert after is not None
    assert after.entries is before.entries
    assert after.watermark > before.watermark


async def test_unchanged_servers_keep_their_entries() -> None:
    with Syncing(usable(250)) as registry:
        await registry.full()
        before = dict(registry.entries)
        registry.change("zz.last/server")
        registry.change(registry.rows[0].name, "9.0.0")
        await registry.full()
        fresh = [key for key, entry in registry.entries.items() if before.get(key) is not entry]
    assert sorted(fresh) == sorted([f"{ID}{registry.rows[0].name}", f"{ID}zz.last/server"])


async def test_the_next_sync_looks_back_to_before_this_one_began_by_the_clock_of_the_registry() -> None:
    with Syncing(usable(150)) as registry:
        registry.manner.date = NOW.replace(hour=13)
        result = await registry.full()
        assert result.discovered
        assert result.discovered.watermark == "2026-06-01T12:55:00Z"


async def test_a_clock_that_cannot_be_right_is_not_gone_by() -> None:
    with Syncing(usable(3)) as registry:
        registry.manner.date = NOW.replace(year=2035)
        result = await registry.full()
    assert result.discovered
    assert result.discovered.watermark == "2026-06-01T11:55:00Z"


# --- limits and filters


async def test_beyond_the_limit_the_last_names_are_left_out_and_counted() -> None:
    rows = usable(260)
    with Syncing(rows, filter={"maxConnectors": 200}) as registry:
        result = await registry.full()
        assert registry.names == [row.name for row in rows][:200]
    assert (result.finding.status, result.finding.reason) == ("True", Reason.CONNECTOR_LIMIT_REACHED)
    assert result.finding.message.startswith("200 of 260 servers are published; 60 are left out by filter.maxConnectors")
    skipped = result.counts.skipped[SkipReason.LIMIT_REACHED]
    assert (skipped.count, skipped.examples[0]) == (60, rows[200].name)


async def test_a_server_before_the_limit_takes_the_place_of_the_last_one() -> None:
    with Syncing(named("b.b/b", "c.c/c"), filter={"maxConnectors": 2}) as registry:
        await registry.full()
        registry.change("a.a/a")
        await registry.full()
        assert registry.names == ["a.a/a", "b.b/b"]


@pytest.mark.parametrize("asks", [True, False], ids=["asks", "ignores search"])
async def test_only_what_the_filter_selects_is_published(asks: bool) -> None:
    with Syncing(
        named("io.acme/weather-a", "io.acme/weather-b", "io.acme/jira", "io.other/weather"),
        filter={"include": ["io.acme/*"], "exclude": ["*-b"], "search": "weather"},
    ) as registry:
        registry.manner.search = asks
        result = await registry.full()
        assert registry.names == ["io.acme/weather-a"]
    assert result.counts.skipped[SkipReason.FILTERED].count == (2 if asks else 3)


# --- what publishers may not do

OURS: dict[str, Any] = {"credentials": [credentials(secret("token"), servers=["io.acme/*"], hosts=["*.acme.com"])]}


def _secret(url: str, version: str = "1.0.0", **more: Any) -> Any:
    header = {"name": "Authorization", "value": "Bearer {token}", "isRequired": True, "variables": {"token": {"isSecret": True}}}
    return record("io.acme/api", version, remotes=[remote(url, headers=[header])], updated=NOW.timestamp(), **more)


@pytest.mark.parametrize(
    ("reason", "move"),
    [
        (SkipReason.HOST_NOT_ALLOWED, _secret("https://mcp.evil.com/mcp", "1.0.1")),
        (SkipReason.INSECURE_URL, _secret("http://mcp.acme.com/mcp", "1.0.1")),
        (SkipReason.PRIVATE_ADDRESS, _secret("https://169.254.169.254/mcp", "1.0.1")),
        (SkipReason.CONFIGURATION_REQUIRED, _secret("https://mcp.acme.com/{tenant}/mcp", "1.0.1")),
        (SkipReason.INVALID_RECORD, record("io.acme/api", "1.0.1", title="x" * 5000, updated=NOW.timestamp())),
    ],
)
@pytest.mark.parametrize("how", ["full", "incremental"])
async def test_a_server_that_moves_where_it_may_not_becomes_unavailable_and_heals(reason: SkipReason, move: Any, how: str) -> None:
    with Syncing([_secret("https://mcp.acme.com/mcp"), *named("io.other/x")], **OURS) as registry:
        await registry.full()
        assert registry.content("io.acme/api")["auth"]
        registry.publish(move)
        result = await (registry.full() if how == "full" or reason is SkipReason.INVALID_RECORD else registry.incremental())
        entry = registry.content("io.acme/api")
        version = "1.0.0" if reason is SkipReason.INVALID_RECORD else "1.0.1"
        assert (entry["available"], entry["reason"], entry["version"]) == (False, reason, version)
        assert not {"url", "headers", "auth", "hosts", "transport"} & set(entry)
        assert result.discovered
        assert result.discovered.credentialed == frozenset()
        assert registry.names == ["io.other/x"]

        before = dict(registry.entries)
        assert (await registry.full()).complete
        assert all(registry.entries[key] is before[key] for key in before)

        registry.publish(_secret("https://mcp.acme.com/mcp", "1.0.2"))
        result = await (registry.full() if how == "full" else registry.incremental())
        assert registry.content("io.acme/api")["auth"]
        assert result.discovered
        assert result.discovered.credentialed == {f"{ID}io.acme/api"}


async def test_an_older_version_does_not_heal_a_server_whose_newest_one_is_forbidden() -> None:
    with Syncing([_secret("https://mcp.acme.com/mcp")], **OURS) as registry:
        await registry.full()
        registry.publish(_secret("https://mcp.evil.com/mcp", "1.0.1"))
        await registry.incremental()
        registry.set_status("io.acme/api", "deprecated", updated=NOW.timestamp(), version="1.0.0")
        await registry.incremental()
        assert registry.content("io.acme/api")["reason"] == SkipReason.HOST_NOT_ALLOWED


async def test_a_server_that_was_never_published_is_not_listed_when_it_may_not_be() -> None:
    with Syncing([_secret("https://mcp.evil.com/mcp")], **OURS) as registry:
        result = await registry.full()
        assert registry.entries == {}
    assert result.counts.skipped[SkipReason.HOST_NOT_ALLOWED].count == 1


@pytest.mark.parametrize(
    "fault",
    [
        Status(200, b"token=hunter2-0123456789", "text/plain"),
        Status(200, b'{"token":"hunter2-0123456789"}'),
        *(Status(status, b"token=hunter2-0123456789", "text/plain") for status in (400, 401, 404, 408, 429, 500)),
    ],
    ids=lambda fault: f"{fault.status}-{fault.kind}",
)
@pytest.mark.parametrize("how", ["first", "full", "incremental"])
async def test_a_failed_sync_quotes_the_answer_in_the_log_and_not_in_the_status(
    fault: Status, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Syncing(usable(3)) as registry:
        if how != "first":
            await registry.full()
        registry.fault = lambda _: fault
        result = await (registry.incremental() if how == "incremental" else registry.full())
    assert not result.complete
    assert "hunter2" not in result.finding.message
    assert "hunter2" in caplog.text
