"""Writes manifests for the demo's standalone and reads its public and management ports."""

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from junctor.demo.checks import DEADLINE, Checks
from junctor.demo.processes import Standalone
from junctor.gateway.catalog.items import ConnectorItem
from junctor.net.formats import KubernetesObjectView
from junctor.offline.problems import ProblemJSON


class StandaloneClient:
    """A running standalone as the demo uses it. Every method that sends a request raises StepFailed for the current step."""

    def __init__(self, standalone: Standalone, checks: Checks) -> None:
        self.process = standalone
        self._checks = checks
        self._client = httpx.Client(base_url=standalone.url, timeout=DEADLINE, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def write(self, name: str, text: str, effect: Callable[[], bool], *, show: bool = True) -> float:
        """Write a manifest and wait for its effect.

        Args:
            name: the file's name in the directory of manifests.
            text: the manifest.
            effect: true once the standalone has applied the manifest.
            show: whether the manifest is printed first.

        Returns:
            The seconds between writing and effect.
        """
        if show:
            self._checks.say(f"   {name}:")
            self._checks.show(text)
        begun = time.monotonic()
        (self.process.manifests / name).write_text(text, encoding="utf-8")
        self._checks.wait_for(effect, f"{name} had no effect")
        return time.monotonic() - begun

    def delete(self, name: str) -> None:
        """Delete a manifest."""
        (self.process.manifests / name).unlink()

    def get(self, url: str) -> Any:
        """GET a path of the public port, or a whole URL, and return the JSON of the answer."""
        try:
            response = self._client.get(url)
            if response.is_error:
                raise self._checks.failure(f"GET {url}: {response.status_code} {response.text}")
            return response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise self._checks.failure(f"GET {url}: {error}") from error

    def catalog(self) -> dict[str, ConnectorItem]:
        """Return what applications see, by connector id."""
        return {item["id"]: item for item in self.get("/v1/connectors")["data"]}

    def problems(self, name: str) -> list[ProblemJSON]:
        """Return the problems of a file."""
        return [problem for problem in self._resources()["problems"] if Path(problem["file"]).name == name]

    def condition(self, resource: str, kind: str) -> KubernetesObjectView:
        """Return a condition of the connector `namespace/name`, or an empty mapping."""
        for item in self._resources()["resources"]:
            if item["kind"] == "MCPConnector" and f"{item['metadata']['namespace']}/{item['metadata']['name']}" == resource:
                return next((found for found in item["status"].get("conditions", ()) if found["type"] == kind), {})
        return {}

    def is_ready(self, resource: str) -> bool:
        """Whether a connector is Ready."""
        return self.condition(resource, "Ready").get("status") == "True"

    def _resources(self) -> Any:
        return self.get(f"{self.process.management}/-/resources")
