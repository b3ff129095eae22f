"""`junctor operator` that tells how late its event loop is: `python -m tests.bench.probed_operator operator ...`.

It appends lines of `<seconds since the epoch> <milliseconds>` to the file that JUNCTOR_BENCH_LAG names: each the longest delay of a quarter
of a second.
"""

import asyncio
import os
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import uvloop

from junctor.cli.main import main

_STEP = 0.005
_WINDOW = 0.25
_run = uvloop.run


async def _probe(path: Path) -> None:
    with path.open("a") as out:
        while True:
            longest, end = 0.0, time.monotonic() + _WINDOW
            while (began := time.monotonic()) < end:
                await asyncio.sleep(_STEP)
                longest = max(longest, time.monotonic() - began - _STEP)
            out.write(f"{time.time():.3f} {1000 * longest:.2f}\n")
            out.flush()


def _probed(work: Coroutine[Any, Any, None]) -> None:
    async def both() -> None:
        probe = asyncio.create_task(_probe(Path(os.environ["JUNCTOR_BENCH_LAG"])))
        try:
            await work
        finally:
            probe.cancel()

    _run(both())


if __name__ == "__main__":
    uvloop.run = _probed  # type: ignore[assignment]  # what the command calls
    main()
