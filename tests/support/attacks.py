"""What an attack test needs: a victim's memory and CPU, a bystander who keeps asking, and connections that need not be polite.

A victim is any `tests.cluster.processes.Process`: `running_gateway`, `new_standalone`, `operator`, `gateway`.
"""

import os
import re
import socket
import statistics
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import httpx

from tests.cluster.processes import Process

MIB = 1024 * 1024
_KIB = 1024
_DEADLINE = 60.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in MiB. peak: since the process began, or since `reset_peak`."""

    now: float
    peak: float


def memory(process: Process) -> Memory:
    """The resident memory of a process. Raises ProcessLookupError or FileNotFoundError when it has ended."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.MULTILINE))
    if not found:
        raise ProcessLookupError(f"{process.name} has ended with {process.returncode}\n{process.tail()}")
    return Memory(int(found["VmRSS"]) / _KIB, int(found["VmHWM"]) / _KIB)


def reset_peak(process: Process) -> Memory:
    """Count the peak from now on; the memory of this moment."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    return memory(process)


def cpu_seconds(process: Process) -> float:
    """The CPU time of a process so far, of all its threads."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Bystander:
    """Somebody else who uses the victim during an attack. latencies: seconds of each answer; failures: what was no 200."""

    latencies: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Seconds; fails when nothing was answered."""
        return statistics.median(self.latencies)

    @property
    def slowest(self) -> float:
        """Seconds; fails when nothing was answered."""
        return max(self.latencies)


@contextmanager
def bystander(url: str, *, every: float = 0.02, headers: Mapping[str, str] | None = None, reuse: bool = True) -> Iterator[Bystander]:
    """Ask `url` from a thread while the context lasts; at least one answer or failure has been seen when it ends.

    Args:
        url: For example `http://127.0.0.1:8322/-/livez`.
        every: Seconds between two requests.
        headers: Of each request.
        reuse: Keep the connection; else each request makes a new one.
    """
    seen, done = Bystander(), threading.Event()
    options = {**(headers or {}), **({} if reuse else {"Connection": "close"})}

    def ask() -> None:
        with httpx.Client(headers=options, timeout=_DEADLINE, trust_env=False) as client:
            while True:
                started = time.monotonic()
                try:
                    answer = client.get(url)
                    if answer.status_code != httpx.codes.OK:
                        seen.failures.append(f"HTTP {answer.status_code}: {answer.text[:200]}")
                except httpx.HTTPError as error:
                    seen.failures.append(repr(error))
                seen.latencies.append(time.monotonic() - started)
                if done.wait(every):
                    return

    thread = threading.Thread(target=ask, name=f"bystander of {url}")
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


class RawConnection:
    """A TCP connection to the host and port of a URL; what it sends is nobody's business but the test's."""

    def __init__(self, url: str, *, timeout: float = _DEADLINE) -> None:
        parts = urlsplit(url)
        self.host = parts.netloc
        self.socket = socket.create_connection((parts.hostname, parts.port or 80), timeout)

    def send(self, data: bytes) -> int:
        """Send as much of `data` as the other side takes; the number of bytes, fewer when it closed the connection."""
        sent = 0
        try:
            while sent < len(data):
                sent += self.socket.send(data[sent : sent + 65_536])
        except (BrokenPipeError, ConnectionResetError):
            pass
        return sent

    def receive(self, until: bytes = b"") -> bytes:
        """All that comes until the other side closes the connection, or until `until` has come. Raises TimeoutError."""
        received = b""
        try:
            while chunk := self.socket.recv(65_536):
                received += chunk
                if until and until in received:
                    break
        except ConnectionResetError:
            pass
        return received

    def closed_within(self, seconds: float) -> bool:
        """Whether the other side closes the connection in this time; what it sends before is dropped."""
        deadline = time.monotonic() + seconds
        try:
            while (left := deadline - time.monotonic()) > 0:
                self.socket.settimeout(left)
                if not self.socket.recv(65_536):
                    return True
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True
        return False

    def close(self) -> None:
        """Close it."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def post_head(url: str, path: str, length: int, **headers: str) -> bytes:
    """The head of a POST of JSON to the host of `url`. headers: more of them, `_` for `-`."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}", "Content-Type: application/json", f"Content-Length: {length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()
