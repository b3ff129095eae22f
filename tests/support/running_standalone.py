"""A running `junctor standalone` and its directory, as a user handles them."""

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.cluster.api import wait_for
from tests.cluster.processes import Process, ProcessFailed

_DEADLINE = 60.0
_LISTENING = re.compile(r"listening on (\S+), management on (\S+), ")


def listening_addresses(process: Process) -> tuple[str, str]:
    """Wait until a standalone logs the URLs of its public and management port. Raises ProcessFailed when it ends before that."""

    def logged() -> list[tuple[str, str]]:
        if not process.running:
            raise ProcessFailed(f"{process.name} ended with {process.returncode}\n{process.tail()}")
        return _LISTENING.findall(process.log())

    return wait_for(logged, _DEADLINE, f"the addresses of {process.name}")[-1]


class Standalone(Process):
    """A `junctor standalone` on a directory of manifests and free ports. It listens as soon as the object exists."""

    def __init__(self, manifests: Path, log_file: Path) -> None:
        arguments = ("--manifests", str(manifests), "--port", "0", "--management-port", "0", "--log-format", "json")
        super().__init__("standalone", [sys.executable, "-m", "junctor.cli.main", "standalone", *arguments], log_file=log_file)
        self.manifests = manifests
        try:
            self.url, self.management = listening_addresses(self)
        except BaseException:
            self.kill()
            raise


class Running:
    """A running standalone and its directory."""

    def __init__(self, standalone: Standalone) -> None:
        self.standalone = standalone
        self.directory = standalone.manifests
        self.client = httpx.Client(base_url=standalone.url, timeout=60, trust_env=False)

    def write(self, name: str, text: str) -> Path:
        """Write a manifest."""
        path = self.directory / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        return path

    def catalog(self) -> dict[str, Mapping[str, Any]]:
        """The first hundred connectors by id."""
        return {item["id"]: item for item in self.client.get("/v1/connectors", params={"limit": 100}).json()["data"]}

    def resources(self) -> Any:
        """What `junctor status` reads."""
        return self.client.get(f"{self.standalone.management}/-/resources").json()

    def problems(self) -> list[str]:
        """Of the files."""
        return [f"{Path(item['file']).name}:{item['line']}:{item['column']}: {item['message']}" for item in self.resources()["problems"]]

    def resource(self, name: str) -> Mapping[str, Any]:
        """A connector or registry; empty when there is none of this name."""
        kinds = ("MCPConnector", "MCPRegistry")
        found = (item for item in self.resources()["resources"] if item["kind"] in kinds and item["metadata"]["name"] == name)
        return next(found, {})

    def condition(self, name: str, kind: str) -> Mapping[str, Any]:
        """A condition of a connector or registry; empty when there is none."""
        conditions = self.resource(name).get("status", {}).get("conditions", ())
        return next((found for found in conditions if found["type"] == kind), {})

    def until(self, fact: Callable[[], Any]) -> None:
        """Wait until `fact` is true."""
        deadline = time.monotonic() + _DEADLINE
        while not fact():
            assert time.monotonic() < deadline, f"never came true; problems: {self.problems()}, catalog: {self.catalog()}"
            time.sleep(0.01)

    def ready(self, name: str) -> bool:
        """Whether a connector or registry is ready."""
        return self.condition(name, "Ready").get("status") == "True"

    def remove_all(self) -> None:
        """Remove all files and wait until nothing is served and shown of them."""
        for path in self.directory.rglob("*"):
            if path.is_file():
                path.unlink()
        self.until(lambda: not self.catalog() and not self.resources()["resources"] and not self.problems())

    def close(self) -> None:
        """Close the client; the standalone goes on."""
        self.client.close()


@contextmanager
def new_standalone(directory: Path) -> Iterator[Running]:
    """A standalone with its files in `directory`: an empty directory of manifests, and its log."""
    manifests = directory / "connectors"
    manifests.mkdir()
    with Standalone(manifests, directory / "log") as standalone, closing(Running(standalone)) as running:
        yield running
