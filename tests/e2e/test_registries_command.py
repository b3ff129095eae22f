"""`junctor registries` as a process: on a terminal, in a pipe, interrupted."""

import os
import pty
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

from tests.support.fake_registry import Asked, FakeRegistry, Stall
from tests.support.registry_data import servers

DEADLINE = 60.0
LIST = [sys.executable, "-m", "junctor.cli.main", "registries", "list"]


def test_terminal_shows_how_far_a_long_walk_is() -> None:
    with FakeRegistry(servers(1000)) as registry:
        ours, theirs = pty.openpty()
        process = subprocess.Popen([*LIST, registry.url, "-o", "names"], stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:  # how Linux says that the other side is closed
            pass
        finally:
            os.close(ours)
        assert process.wait(DEADLINE) == 0
    assert b"\r200 servers on 2 pages" in shown
    counts = shown.rpartition(b"\r\x1b[K")[2]
    assert b"would become connectors" in counts


def test_reader_that_has_enough_ends_it_silently() -> None:
    with FakeRegistry(servers(3000)) as registry:
        process = subprocess.Popen([*LIST, registry.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"NAME ")
        process.stdout.close()
        said = process.stderr.read()
        process.stderr.close()
        process.wait(DEADLINE)
    assert said == b""


def test_ctrl_c_ends_a_walk_and_leaves_no_half_snapshot(tmp_path: Path) -> None:
    reached = threading.Event()

    def fault(asked: Asked) -> Stall | None:
        if asked.page < 3:
            return None
        reached.set()
        return Stall()

    with FakeRegistry(servers(1000)) as registry:
        registry.fault = fault
        command = [*LIST, registry.url, "--save", str(tmp_path / "snapshot.json.gz")]
        # A suite that runs in the background of a shell is deaf to SIGINT, and so would its children be.
        heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
        assert reached.wait(DEADLINE)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=DEADLINE)
    assert (process.returncode, stdout, stderr.strip()) == (130, "", "")
    assert list(tmp_path.iterdir()) == []
