"""Registries that cannot tell what has changed, and what cannot be read."""

from collections.abc import Callable

import pytest

from junctor.api.conditions import Reason
from tests.support.fake_registry import Cursor, Status
from tests.support.registry_data import record, remote
from tests.unit.registry.syncing import Syncing, named, usable
from tests.unit.registry.versions import NAME, versions


def _refuses(registry: Syncing) -> None:
    registry.manner.updated_since = "refused"


def _ignores(registry: Syncing) -> None:
    registry.manner.updated_since = "ignored"


def _tells_no_times(registry: Syncing) -> None:
    registry.manner.meta = False
    registry.manner.updated_since = "ignored"


@pytest.mark.parametrize("manner", [_refuses, _ignores, _tells_no_times])
async def test_a_registry_that_cannot_tell_what_has_changed_gets_a_full_sync(manner: Callable[[Syncing], None]) -> None:
    rows = usable(250)
    with Syncing(rows) as registry:
        manner(registry)
        await registry.full()
        registry.later(hours=1)
        registry.rows = [*rows[1:], *named("zz.zz/new")]
        result = await registry.incremental()
        assert (result.complete, result.full) == (True, True)
        assert registry.names == [*(row.name for row in rows[1:]), "zz.zz/new"]


async def test_a_registry_that_cannot_list_the_versions_of_a_server_gets_a_full_sync() -> None:
    with Syncing(versions("first", "second")) as registry:
        await registry.full()
        registry.later(minutes=10)
        third = record(NAME, "third", remotes=[remote("https://x.example.com/mcp")], updated=registry.now.timestamp(), latest=False)
        registry.rows = [*(row for row in registry.rows if row.version == "second"), third]
        registry.fault = lambda asked: Status(404) if asked.path.endswith("/versions") else None
        result = await registry.incremental()
        assert result.full
        assert NAME in registry.names


async def test_where_many_newest_versions_are_deleted_a_scan_finds_the_others_in_fewer_requests() -> None:
    rows = usable(200)
    with Syncing(rows) as registry:
        await registry.full()
        registry.later(minutes=10)
        for row in rows[:25]:
            registry.set_status(row.name, "deleted", updated=registry.now.timestamp())
        assert (await registry.incremental()).full
        assert len(registry.requests) == 3
        assert registry.names == [row.name for row in rows[25:]]


async def test_what_cannot_be_read_changes_nothing_and_is_asked_for_again() -> None:
    with Syncing(usable(5)) as registry:
        before = (await registry.full()).discovered
        registry.later(minutes=10)
        registry.change("io.acme/new")
        registry.fault = lambda _: Status(429, headers={"retry-after": "77"})
        result = await registry.incremental()
        assert (result.complete, result.finding.reason, result.retry_after) == (False, Reason.REGISTRY_RATE_LIMITED, 77)
        assert result.discovered is before
        registry.fault = lambda _: None
        await registry.incremental()
        assert "io.acme/new" in registry.names


async def test_changes_in_a_circle_change_nothing_and_ask_for_a_scan() -> None:
    with Syncing(usable(5)) as registry:
        before = (await registry.full()).discovered
        registry.later(minutes=10)
        registry.change("io.acme/new")
        registry.fault = lambda asked: Cursor("round:and-round") if "updated_since" in asked.query else None
        result = await registry.incremental()
        assert (result.complete, result.finding.reason, result.full_sync_next) == (False, Reason.PARTIAL_SYNC, True)
        assert result.discovered is before


async def test_before_the_first_full_sync_there_is_nothing_to_ask_changes_of() -> None:
    with Syncing(usable(5)) as registry:
        result = await registry.incremental()
        assert (result.full, len(registry.names)) == (True, 5)
