"""The official MCP registry server on a PostgreSQL of its own, and what it publishes about its API.

with RegistryServer(seed=[server("io.github.acme/weather", remotes=[...])]) as registry:
    registry.publish(server("io.modelcontextprotocol.anonymous/notes", version="1.1.0"))
    ... registry.url ...
"""

import json
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from tests.cluster.processes import Process
from tests.cluster.tools import find_registry, registry_source
from tests.support.ports import free_port
from tests.support.postgres import Postgres
from tests.support.registry_data import SCHEMA

#: The only namespace in which everybody may publish.
ANONYMOUS: Final = "io.modelcontextprotocol.anonymous"


class RegistryServer:
    """The server while the context lasts. url: without /v0.1.

    seed: server.json objects with remotes that are https and no loopback addresses; published as the server starts, one after the other.
    Raises ToolError when a program is missing, ProcessFailed when it does not start.
    """

    def __init__(self, seed: Sequence[Mapping[str, Any]] = ()) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._seed = seed
        self._program = find_registry()
        self._postgres = Postgres()
        self._process: Process | None = None
        self._directory = Path(tempfile.mkdtemp(prefix="junctor-registry-"))
        self._client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def __enter__(self) -> Self:
        try:
            self._postgres.__enter__()
            seed = self._directory / "seed.json"
            seed.write_text(json.dumps(self._seed))
            environment = {
                "MCP_REGISTRY_SERVER_ADDRESS": f"127.0.0.1:{self._port}",
                "MCP_REGISTRY_DATABASE_URL": self._postgres.url,
                "MCP_REGISTRY_DATABASE_MAX_CONNECTIONS": "8",
                "MCP_REGISTRY_DATABASE_MIN_CONNECTIONS": "1",
                "MCP_REGISTRY_ENABLE_ANONYMOUS_AUTH": "true",
                "MCP_REGISTRY_ENABLE_REGISTRY_VALIDATION": "false",
                "MCP_REGISTRY_JWT_PRIVATE_KEY": secrets.token_hex(32),
                "MCP_REGISTRY_SEED_FROM": str(seed),
            }
            self._process = Process("registry", [str(self._program)], log_file=self._directory / "log", environment=environment)
            self._wait_until_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._client.close()
        if self._process is not None:
            self._process.terminate()
        self._postgres.__exit__(None, None, None)
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def process(self) -> Process:
        """The server's process: kill it, pause it, restart it. It keeps its port and its servers."""
        assert self._process is not None, "the registry has not been started"
        return self._process

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It does not run while the context lasts, and is ready again after it."""
        self.process.terminate()
        try:
            yield
        finally:
            self.process.restart()
            self._wait_until_ready()

    def publish(self, server: Mapping[str, Any]) -> Any:
        """Publish a version, whose namespace must be ANONYMOUS; the record that comes of it."""
        return self._send("POST", "/v0.1/publish", server)

    def set_status(self, name: str, version: str, status: str) -> None:
        """Make a version in the namespace ANONYMOUS active, deprecated or deleted."""
        self._send("PATCH", f"/v0.1/servers/{quote(name, safe='')}/versions/{quote(version, safe='')}/status", {"status": status})

    def _wait_until_ready(self) -> None:
        self.process.wait_until_ready(f"{self.url}/v0.1/ping", timeout=120)

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        token = self._client.post("/v0/auth/none").raise_for_status().json()["registry_token"]
        answer = self._client.request(method, path, json=body, headers={"authorization": f"Bearer {token}"})
        if answer.is_error:
            raise ValueError(f"the registry refused {path}: {answer.text}")
        return answer.json()


def server(name: str, version: str = "1.0.0", **fields: Any) -> dict[str, Any]:
    """A server.json for `seed` and `publish`. fields: more of it, such as remotes."""
    return {"$schema": SCHEMA, "name": name, "version": version, "description": "Forecasts for any place", **fields}


@cache
def openapi() -> Path:
    """The published description of the API, OpenAPI 3.1 in YAML."""
    return registry_source() / "docs" / "reference" / "api" / "openapi.yaml"


@cache
def server_schema() -> Any:
    """The published JSON Schema of server.json, 2025-12-11."""
    return json.loads((registry_source() / "internal" / "validators" / "schemas" / "2025-12-11.json").read_text())
