"""A running `junctor standalone` and its directory, as a user handles them."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from junctor.demo.processes import Standalone

_DEADLINE = 20.0


class Running:
    """A running standalone and its directory."""

    def __init__(self, standalone: Standalone) -> None:
        self.standalone = standalone
        self.directory = standalone.manifests
        self.client = httpx.Client(base_url=standalone.url, timeout=10, trust_env=False)

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
