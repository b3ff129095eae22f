"""Texts of others on a terminal and in a log: no character of them moves a cursor, changes a colour, or turns the direction of writing."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.api import wait_for
from tests.cluster.processes import junctor
from tests.support.running_standalone import listening_addresses

#: As YAML writes it: set the title, clear the screen, C1's CSI, right-to-left override, zero-width space, isolate, line breaks.
HOSTILE = r"\e]0;owned\a\e[2J\x9b31m\u202Eevil\u200B\u2066\x85\u2028\r\nINFO forged: no problems"

CONNECTOR = f"""
apiVersion: junctor.dev/v1alpha1
kind: MCPConnector
metadata: {{name: good}}
spec: {{url: "http://127.0.0.1:9/mcp", title: "{HOSTILE}", description: "{HOSTILE}"}}
"""
FAULTS = f"""
apiVersion: junctor.dev/v1alpha1
kind: MCPConnector
metadata: {{name: bad, "{HOSTILE}": 1}}
spec: {{"x{HOSTILE}": 1, url: "http://127.0.0.1:9/{HOSTILE}", headers: [{{name: "{HOSTILE}", value: "{HOSTILE}"}}]}}
---
apiVersion: junctor.dev/v1alpha1
kind: "{HOSTILE}"
metadata: {{name: "{HOSTILE}"}}
---
a: [{HOSTILE}
"""


def on_a_terminal(*arguments: str | Path) -> str:
    """What a command writes to its terminal. Its exit code does not matter."""
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "junctor.cli.main", *map(str, arguments)]
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        written = b""
        try:
            while chunk := os.read(master, 65_536):
                written += chunk
        except OSError:  # the other side has closed the terminal
            pass
        process.wait(60)
    os.close(master)
    return written.decode().replace("\r\n", "\n")


def hostile_characters(text: str) -> str:
    """What of the text may act on a terminal."""
    return "".join(char for char in text if char != "\n" and not char.isprintable())


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    directory = tmp_path / "manifests"
    directory.mkdir()
    (directory / "good.yaml").write_text(CONNECTOR)
    (directory / "bad.yaml").write_text(FAULTS)
    (directory / "\x1b[31m\u202e.yaml").write_text("a: [")
    return directory


@pytest.mark.parametrize("command", ["validate", "render"])
def test_faults_of_manifests_act_on_no_terminal(manifests: Path, command: str) -> None:
    written = on_a_terminal(command, manifests)
    assert "unknown field" in written
    assert "owned" in written
    assert hostile_characters(written) == ""
    assert not [line for line in written.splitlines() if line.startswith("INFO forged")]


def test_status_and_the_log_of_a_standalone_act_on_no_terminal(manifests: Path, tmp_path: Path) -> None:
    options = ("--manifests", manifests, "--port", "0", "--management-port", "0", "--log-format", "text")
    with junctor("standalone", *options, name="standalone", log_file=tmp_path / "log") as process:
        _, management = listening_addresses(process)
        status = ("status", "--management", management)
        wait_for(lambda: "good" in on_a_terminal(*status), describe="the connector is shown")
        for form in ("table", "wide", "yaml", "json"):
            written = on_a_terminal(*status, "-o", form)
            assert "good" in written
            assert hostile_characters(written) == "", form
        log = process.log()
    assert "owned" in log
    assert hostile_characters(log) == ""
    assert not [line for line in log.split("\n") if line.startswith("INFO forged")]
