"""`junctor standalone` as a process, with the openai client for it and a scripted model behind it."""

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI

from tests.cluster.controlplane import free_port
from tests.cluster.processes import Process
from tests.support.model_server import Call, ModelServer, Round

STANDALONE = ("-m", "junctor.cli.main", "standalone")

#: What the model `m` does: it calls the tool `echo` of the server that the request labels `demo`, and says what it read.
ECHO_ROUNDS: Sequence[Round] = (Round(calls=[Call("mcp__demo__echo", {"message": "hi"})]), Round(text="That is what I read."))


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway. client: strict, and repeats nothing. url, management: without a path."""

    client: AsyncOpenAI
    model: ModelServer
    process: Process
    url: str
    management: str
    manifests: "Manifests"


@dataclass(frozen=True, slots=True)
class Manifests:
    """A directory of manifests."""

    directory: Path

    def connector(self, name: str, url: str, **spec: Any) -> None:
        """Write, or write anew, the connector that applications call by this name."""
        self._write(name, {"apiVersion": "junctor.dev/v1alpha1", "kind": "MCPConnector", "spec": {"url": url, **spec}})

    def token(self, name: str, value: str) -> None:
        """Write a Secret with the key `token`."""
        self._write(name, {"apiVersion": "v1", "kind": "Secret", "stringData": {"token": value}})

    def _write(self, name: str, resource: Mapping[str, Any]) -> None:
        metadata = {"name": name, "labels": {"junctor.dev/credentials": "true"}}
        new = self.directory / f".{name}-{resource['kind']}.new"
        new.write_text(json.dumps({**resource, "metadata": metadata}))
        new.rename(self.directory / f"{name}-{resource['kind']}.json")


def bearer(secret: str) -> Mapping[str, Any]:
    """The `auth` of a connector whose token is in a Secret that `Manifests.token` wrote."""
    return {"bearer": {"secretKeyRef": {"name": secret, "key": "token"}}}


def tool(connector_id: str, label: str = "demo", **more: Any) -> Any:
    """A connector in a request. Any: the client's own type lists OpenAI's connectors only."""
    return {"type": "mcp", "server_label": label, "connector_id": connector_id, "require_approval": "never", **more}


@asynccontextmanager
async def gateway(manifests: Manifests, *, program: Sequence[str] = STANDALONE) -> AsyncIterator[Gateway]:
    """Run a gateway on a directory of manifests, and a model server with the model `m`. program: what Python runs."""
    port, management = free_port(), f"http://127.0.0.1:{free_port()}"
    url = f"http://127.0.0.1:{port}"
    with ModelServer({"m": ECHO_ROUNDS}) as model:
        where = ("--manifests", str(manifests.directory), "--port", str(port), "--management-port", management.rpartition(":")[2])
        command = [sys.executable, *program, *where, "--upstream", model.url]
        with Process("standalone", command, log_file=manifests.directory.with_suffix(".log")) as process:
            process.wait_until_ready(f"{management}/-/readyz")
            async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, _strict_response_validation=True) as client:
                yield Gateway(client, model, process, url, management, manifests)
