"""A limit on the memory of a process, as the kubelet sets it, where the rights are there: a cgroup of version 1 or 2."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_SCRIPT: Final = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


@contextmanager
def memory_limit(mib: int) -> Iterator[Sequence[str]]:
    """What to put before a command; empty without the rights, or without such cgroups: then only its use can be judged."""
    second = (_ROOT / "cgroup.controllers").exists()
    group = (_ROOT if second else _ROOT / "memory") / f"junctor-bench-{os.getpid()}-{time.monotonic_ns()}"
    try:
        group.mkdir()
    except OSError:
        yield ()
        return
    try:
        yield ("/bin/sh", "-c", _SCRIPT, str(group)) if _limited(group, second, mib) else ()
    finally:
        _remove(group)


def _limited(group: Path, second: bool, mib: int) -> bool:
    try:
        (group / ("memory.max" if second else "memory.limit_in_bytes")).write_text(str(mib * 1024 * 1024))
        with suppress(OSError):  # where swap is not counted, there is none to expect
            (group / ("memory.swap.max" if second else "memory.swappiness")).write_text("0")
    except OSError:
        return False
    return True


def _remove(group: Path) -> None:
    for _ in range(100):  # until the last process is gone
        with suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.05)
