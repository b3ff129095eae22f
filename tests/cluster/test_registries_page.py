"""The kubectl commands of docs/registries.md, one after the other as a reader would type them, on a real API server."""

import re
import subprocess
from pathlib import Path

import pytest

from junctor.api.names import API_VERSION
from tests.cluster.api import wait_for
from tests.cluster.system import System
from tests.e2e.test_registries_page import LOCAL, MAPS, PAGE, WEATHER, manifest
from tests.support.fake_registry import FakeRegistry
from tests.support.pages import commands
from tests.support.registry_data import PUBLISHED, servers

SHOWN = [words[1:] for block in PAGE if block.language == "sh" for words in commands(block) if words[0] == "kubectl"]
(LISTED, SKIPPED) = [block.text for block in PAGE if block.language == "text"][1:]
REGISTRY = f"{API_VERSION}/MCPRegistry"
#: Enough for a loss that is not believed.
MANY = servers(30, mix=PUBLISHED, older=False)


@pytest.fixture
def system(shared_system: System) -> System:
    return shared_system


class Reader:
    """Types the commands of the page, in a directory with its manifest."""

    def __init__(self, system: System, directory: Path) -> None:
        self._system = system
        self._directory = directory

    def types(self, words: list[str]) -> str:
        """The output of a command; $(date) is what a shell would make of it."""
        arguments = [word.replace("$(date)", "Sat Nov 21 10:48:01 UTC 2026") for word in words]
        command = [*self._system.control_plane.kubectl_command(), "--namespace", self._system.team, *arguments]
        answer = subprocess.run(command, cwd=self._directory, text=True, capture_output=True)
        assert answer.returncode == 0, f"kubectl {' '.join(arguments)}: {answer.stderr}"
        return answer.stdout


def rows(table: str) -> list[list[str]]:
    """The cells; ages are all the same."""
    return [[re.sub(r"^\d+s$", "1s", cell) for cell in re.split(r"\s{2,}", line)] for line in table.splitlines()]


def test_page_step_by_step(system: System, tmp_path: Path) -> None:
    reader = Reader(system, tmp_path)
    apply, wait, get, skipped, sync, message, accept, wide, describe = SHOWN
    with FakeRegistry([WEATHER, MAPS, LOCAL]) as registry:
        (tmp_path / "internal.yaml").write_text(manifest("internal", registry))
        for words in (apply, wait):
            reader.types(words)
        assert rows(reader.types(get)) == rows(LISTED.replace("https://registry.example.com", registry.url))
        assert reader.types(skipped) == SKIPPED

        registry.rows = MANY
        reader.types(sync)
        wait_for(lambda: "30 of 30 servers" in reader.types(message), describe="what was asked for is read")
        assert system.api.get(REGISTRY, "internal", system.team)["status"]["lastHandledSyncRequest"].startswith("Sat Nov 21")

        registry.rows = [WEATHER]
        reader.types([word.replace("$(date)", "later") for word in sync])
        wait_for(lambda: "accept-shrink" in reader.types(message), describe="the loss is held back")
        found = re.search(r"accept-shrink: ([0-9a-f]{12}) ", reader.types(message))
        assert found
        assert "False" in reader.types(wide)
        assert "SuspiciousShrink" in reader.types(describe)
        reader.types([re.sub(r"=[0-9a-f]{12}$", f"={found[1]}", word) for word in accept])
        system.wait_served("mcp::internal::com.acme/weather")
        wait_for(lambda: reader.types(message) == "1 of 1 servers are published", describe="it is confirmed")
    system.api.delete(REGISTRY, "internal", system.team)
