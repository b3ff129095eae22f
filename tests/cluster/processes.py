"""Real processes under test: started with their output in a file, ended with their parent."""

import atexit

# It registers what runs at a fork: an import by another thread, while this one forks, would leave half of that.
import concurrent.futures.thread  # noqa: F401
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import Self

import httpx

from tests.cluster.api import wait_for

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class ProcessFailed(Exception):
    """A process ended when it should run, or did not become ready; the message has the last lines of its output."""


class Process:
    """A process with its output in `log_file` (appended, so that a restart keeps what was said before).

    Starts at once. As a context manager it is killed on leaving. It gets SIGKILL when the thread that started it ends: start
    long-lived ones from the main thread.
    """

    def __init__(self, name: str, command: Sequence[str], *, log_file: Path, environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.command = list(command)
        self.log_file = log_file
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
        self._process = self._spawn()
        atexit.register(self.kill)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                self.command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the parent only, which then ends its children in the right order
                preexec_fn=_die_with_parent,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.returncode is None

    def log(self) -> str:
        """All it has written so far."""
        return self.log_file.read_text(errors="replace")

    def tail(self, lines: int = 40) -> str:
        """The last lines that it has written, under a heading."""
        return "\n".join([f"--- the last lines of {self.name}:", *self.log().splitlines()[-lines:]])

    def wait_until_ready(self, url: str, timeout: float = 60.0, *, verify: SSLContext | bool = True) -> None:
        """Wait until `url` answers 200. Raises ProcessFailed when the process ends first or the time is up."""
        with httpx.Client(verify=verify, trust_env=False, timeout=5.0) as client:

            def ready() -> bool:
                if not self.running:
                    raise ProcessFailed(f"{self.name} ended with {self.returncode} before it was ready\n{self.tail()}")
                return client.get(url).status_code == 200

            try:
                wait_for(ready, timeout, f"200 from {url}")
            except TimeoutError as error:
                raise ProcessFailed(f"{self.name}: {error}\n{self.tail()}") from error

    def wait(self, timeout: float = 60.0) -> int:
        """Wait until it ends by itself; its return code. Raises ProcessFailed when the time is up."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise ProcessFailed(f"{self.name} has not ended within {timeout} s\n{self.tail()}") from error

    def terminate(self, timeout: float = 60.0) -> float:
        """SIGTERM, and wait; the seconds that it took to end. Raises ProcessFailed, after killing it, when the time is up."""
        started = time.monotonic()
        if self.running:
            self._process.terminate()
        try:
            self.wait(timeout)
        finally:
            self.kill()
        return time.monotonic() - started

    def kill(self) -> None:
        """SIGKILL, and wait. Nothing happens when it has ended."""
        if self.running:
            self._process.kill()
            self._process.wait()
        atexit.unregister(self.kill)

    def pause(self) -> None:
        """SIGSTOP: it is there and does not answer."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Kill it if it runs, and start the same command again."""
        self.kill()
        self._process = self._spawn()
        atexit.register(self.kill)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.kill()


def junctor(
    *arguments: str | Path,
    name: str,
    log_file: Path,
    environment: Mapping[str, str] | None = None,
    module: str = "junctor.cli.main",
    before: Sequence[str] = (),
) -> Process:
    """Start `junctor ARGUMENTS` with this Python. module: what takes its place. before: a command that runs the rest of its arguments."""
    command = [*before, sys.executable, "-m", module, *map(str, arguments)]
    return Process(name, command, log_file=log_file, environment=environment)


def operator(
    config: Path,
    kubeconfig: Path,
    *arguments: str | Path,
    log_file: Path,
    name: str = "operator",
    module: str = "junctor.cli.main",
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Start `junctor operator` with a configuration file, as whoever the kubeconfig is; registries of tests are on loopback.

    module: what takes its place.
    """
    who: list[str | Path] = ["--config", config, "--kubeconfig", kubeconfig]
    return junctor("operator", "--allow-loopback", *who, *arguments, name=name, log_file=log_file, module=module, environment=environment)


def gateway(
    connector_map: str,
    *arguments: str | Path,
    log_file: Path,
    kubeconfig: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8321,
    management_port: int = 8322,
    name: str = "gateway",
    before: Sequence[str] = (),
) -> Process:
    """Start `junctor gateway` on a map, `configmap:NAMESPACE/NAME` or `file:PATH`; servers of tests are on loopback.

    `arguments` follow as they are: --upstream URL ... before: a command that runs the rest of its arguments.
    """
    where = ["--host", host, "--port", str(port), "--management-port", str(management_port)]
    who: list[str | Path] = [] if kubeconfig is None else ["--kubeconfig", kubeconfig]
    options: list[str | Path] = ["--allow-loopback", "--map", connector_map, *where, *who, *arguments]
    return junctor("gateway", *options, name=name, log_file=log_file, before=before)


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
