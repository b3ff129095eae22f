"""A sync keeps what is published, and nothing of the pages that it read."""

import gc
import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from junctor.api.registry import MCPRegistrySpec
from junctor.registry.rules import MappingRules
from junctor.registry.scan import RegistryScan, ScanAborted
from tests.support.registry_data import servers
from tests.unit.registry.syncing import Syncing

SERVERS = 5000
MIB = 1024**2


async def test_a_scan_keeps_no_page() -> None:
    rows = servers(SERVERS, older=False)
    with Syncing(rows) as registry:
        registry.keep_requests = False
        await _full_sync(registry)  # what is made once and stays
        registry.new_sync()
        gc.collect()
        tracemalloc.start()
        try:
            for _ in range(2):  # everything is new, and nothing
                tracemalloc.reset_peak()
                await _full_sync(registry)
                gc.collect()
                kept, peak = tracemalloc.get_traced_memory()
                assert kept < 900 * SERVERS
                assert peak - kept < 3 * MIB  # the pages have as many bytes, and are five times as large when parsed
        finally:
            tracemalloc.stop()


def page(*servers: dict[str, Any]) -> Any:
    """The records of a page, each with texts of its own, as they are read."""
    return json.loads(json.dumps([{"server": server} for server in servers]))


def long_cursors() -> Iterator[tuple[Any, str]]:
    """Pages with one server each, and with cursors that take 16 KB of memory."""
    for number in range(500):
        yield page({"name": f"com.evil/{number}", "version": "1.0.0"}), f"{number:04d}".rjust(4096, "\N{BOMB}")


def duplicates() -> Iterator[tuple[Any, str]]:
    """Pages with one new server each, and 500 times another record of the first one."""
    again = [{"name": f"com.evil/{'n' * 150}", "version": "1.0.0"}] * 500
    first = [{**again[0], "remotes": [{"type": "streamable-http", "url": "https://mcp.example.com"}]}]
    for number in range(10):
        yield page({"name": f"com.evil/{number}", "version": "1.0.0"}, *(again if number else first)), str(number)


def long_versions() -> Iterator[tuple[Any, str]]:
    """Pages of servers that are nothing but names and long versions."""
    for first in range(0, 8000, 500):
        names = range(first, first + 500)
        yield page(*({"name": f"com.evil/{name}", "version": f"{name}".rjust(255, "\N{BOMB}")} for name in names)), str(first)


@pytest.mark.parametrize("pages", [long_cursors, duplicates, long_versions])
def test_a_scan_takes_no_more_memory_than_it_counts(pages: Callable[[], Iterator[tuple[Any, str]]]) -> None:
    rules = MappingRules.of(MCPRegistrySpec.model_validate({"url": "https://registry.example.com"}), "evil", "team-a")
    scan = RegistryScan(rules, {}, most=4 * MIB)
    gc.collect()
    tracemalloc.start()
    try:
        with suppress(ScanAborted):
            for records, cursor in pages():
                scan.add_page(records, cursor)
        del records
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1.5 * scan.new_bytes + MIB / 2


async def _full_sync(registry: Syncing) -> None:
    assert (await registry.full()).complete
