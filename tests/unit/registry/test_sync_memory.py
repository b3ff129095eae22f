"""A sync keeps what is published, and nothing of the pages that it read."""

import gc
import tracemalloc

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


async def _full_sync(registry: Syncing) -> None:
    assert (await registry.full()).complete
