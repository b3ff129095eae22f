"""The processes of the demo: a standalone, and the servers of `junctor.demo`. Their output goes to files."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

from junctor.demo.checks import DEADLINE, StepFailed

_START_DEADLINE: Final = 30.0
_END_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def isolate() -> None:
    """Prepare this process for a demo: signals end its child processes too, and no proxy is used.

    Ctrl-C, SIGTERM and a closed terminal then leave every context, which ends the child processes.
    """
    for number in _END_SIGNALS:
        signal.signal(number, _end)
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "*"


def _end(number: int, frame: FrameType | None) -> None:
    for other in _END_SIGNALS:  # the clean-up is short and must not be interrupted
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


class DemoProcess:
    """A Python module that runs as a process while the context lasts. log: the file for its output."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        #: The exit code of a process that ended by itself.
        self.ended: int | None = None
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._spawn()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    def _spawn(self, descriptors: Sequence[int] = ()) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("JUNCTOR_")}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                [sys.executable, "-m", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl-C reaches the demo only, which ends the others
            )

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.poll()

    def kill(self) -> None:
        """Send SIGKILL and wait. Does nothing when the process has ended."""
        self.ended = self.returncode
        if self._process is not None and self.ended is None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> tuple[int, float]:
        """Send SIGTERM and wait. Returns the exit code and the seconds that it took. Raises StepFailed after the deadline."""
        if self._process is None:
            raise StepFailed(f"{self.name} was never started")
        begun = time.monotonic()
        self._process.terminate()
        try:
            return self._process.wait(DEADLINE), time.monotonic() - begun
        except subprocess.TimeoutExpired as error:
            raise StepFailed(f"{self.name} did not stop within {DEADLINE:.0f} s of SIGTERM") from error

    def tail(self) -> str:
        """Return the last lines of its output, under a heading that says whether it ended by itself."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        except OSError as error:
            lines = [f"(cannot be read: {error})"]
        ended = "" if self.ended is None else f" (exit code {self.ended}, before it was stopped)"
        return "\n".join([f"What {self.name} said last{ended}:", *(f"  {line}" for line in lines or ["(nothing)"])])


class DemoServer(DemoProcess):
    """A server module of `junctor.demo` on a free loopback port. Requests may be sent at once: they wait until it runs.

    url: without a path.
    """

    def __init__(self, name: str, module: str, log: Path, *options: str) -> None:
        super().__init__(name, (), log)
        self._module = module
        self._options = options
        self.url = ""

    def __enter__(self) -> Self:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            self._arguments = [f"junctor.demo.{self._module}", str(listener.fileno()), *self._options]
            self._spawn([listener.fileno()])
        return self


class Standalone(DemoProcess):
    """A `junctor standalone` on a directory of manifests and free ports. url, management: the URLs of its two ports."""

    def __init__(self, manifests: Path, log: Path, *, upstream: str | None = None) -> None:
        command = ["junctor.cli.main", "standalone", "--manifests", str(manifests), "--log-format", "json"]
        command += ["--port", "0", "--management-port", "0", *(("--upstream", upstream) if upstream else ())]
        super().__init__("the standalone", command, log)
        self.manifests = manifests
        self.url = self.management = ""

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self._wait_until_it_listens()
        except BaseException:
            self.kill()
            raise
        return self

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + _START_DEADLINE
        while time.monotonic() < deadline:
            for line in self.log.read_bytes().splitlines():
                if b'"managementUrl"' in line and line.endswith(b"}"):
                    addresses = json.loads(line)
                    self.url, self.management = addresses["url"], addresses["managementUrl"]
                    return
            if self.returncode is not None:
                raise StepFailed(f"{self.name} ended with exit code {self.returncode} instead of starting")
            time.sleep(0.02)
        raise StepFailed(f"{self.name} did not listen within {_START_DEADLINE:.0f} s")
