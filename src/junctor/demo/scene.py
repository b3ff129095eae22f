"""What the demo sees of a running standalone, and what it gives to it."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from junctor.demo.processes import Standalone
from junctor.demo.telling import DEADLINE, Telling


class Scene:
    """A standalone, its manifests and its answers. Raises Failed, in the name of the step that is told."""

    def __init__(self, standalone: Standalone, telling: Telling) -> None:
        self.standalone = standalone
        self._telling = telling
        self._client = httpx.Client(base_url=standalone.url, timeout=DEADLINE, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def write(self, name: str, text: str, effect: Callable[[], bool], *, show: bool = True) -> float:
        """Write a manifest and wait for its effect; gives the seconds."""
        if show:
            self._telling.say(f"   {name}:")
            self._telling.show(text)
        begun = time.monotonic()
        (self.standalone.manifests / name).write_text(text, encoding="utf-8")
        self._telling.until(effect, f"{name} had no effect")
        return time.monotonic() - begun

    def delete(self, name: str) -> None:
        """Delete a manifest."""
        (self.standalone.manifests / name).unlink()

    def get(self, url: str) -> Any:
        """The JSON that a path of the public port answers, or a whole URL."""
        try:
            response = self._client.get(url)
            if response.is_error:
                raise self._telling.failed(f"GET {url}: {response.status_code} {response.text}")
            return response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise self._telling.failed(f"GET {url}: {error}") from error

    def catalog(self) -> dict[str, Mapping[str, Any]]:
        """What applications see, by connector id."""
        return {item["id"]: item for item in self.get("/v1/connectors")["data"]}

    def problems(self, name: str) -> list[Mapping[str, Any]]:
        """What is wrong with a file."""
        return [problem for problem in self._resources()["problems"] if Path(problem["file"]).name == name]

    def condition(self, resource: str, kind: str) -> Mapping[str, Any]:
        """A condition of a connector, which is named namespace/name; empty when there is none."""
        for item in self._resources()["resources"]:
            if item["kind"] == "MCPConnector" and f"{item['metadata']['namespace']}/{item['metadata']['name']}" == resource:
                return next((found for found in item["status"].get("conditions", ()) if found["type"] == kind), {})
        return {}

    def ready(self, resource: str) -> bool:
        """Whether a connector is Ready."""
        return self.condition(resource, "Ready").get("status") == "True"

    def _resources(self) -> Any:
        return self.get(f"{self.standalone.management}/-/resources")
