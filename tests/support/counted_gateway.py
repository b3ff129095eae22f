"""`junctor standalone` that tells on SIGUSR1 what it holds, in a file that is named before the options; read with `held`."""

import asyncio
import ctypes
import gc
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from junctor.cli.main import main
from tests.cluster.api import wait_for
from tests.cluster.processes import Process


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds. tasks: of its event loop. memory: resident bytes, without those that the allocator only keeps for later."""

    descriptors: int
    tasks: int
    memory: int


def program(counts: Path) -> tuple[str, ...]:
    """What Python runs; the options of standalone follow."""
    return ("-m", __name__, str(counts))


def held(process: Process, counts: Path) -> Held:
    """Ask the process."""
    counts.unlink(missing_ok=True)
    os.kill(process.pid, signal.SIGUSR1)
    wait_for(counts.exists, 30, f"what {process.name} holds")
    return Held(**json.loads(counts.read_text()))


def _tell(number: int, frame: FrameType | None) -> None:
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # glibc keeps freed pages, more or fewer by chance
        trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    holds = Held(len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks()), pages * os.sysconf("SC_PAGE_SIZE"))
    counts = Path(sys.argv[1])
    new = counts.with_suffix(".new")
    new.write_text(json.dumps(asdict(holds)))
    new.rename(counts)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _tell)
    main(["standalone", *sys.argv[2:]])
