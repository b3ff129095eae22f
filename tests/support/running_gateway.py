"""A gateway process for many tests: `junctor standalone` with a scripted model server. Tests bring connectors and models of their own."""

import asyncio
import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from openai import AsyncOpenAI
from openai.types.responses import Response

from tests.cluster.processes import Process, ProcessFailed
from tests.support.model_server import Call, ModelServer, Round
from tests.support.running_standalone import listening_addresses

_DEADLINE = 60.0
STANDALONE = ("-m", "junctor.cli.main", "standalone")

#: The model calls the tool `echo` of the server with the label `demo`.
ECHO = Round(calls=[Call("mcp__demo__echo", {"message": "hi"})])
ANSWER = Round(text="That is all.")


class RunningGateway:
    """url: of its API, with /v1. management: of its management port. model: the model server behind it."""

    def __init__(self, url: str, management: str, manifests: Path, model: ModelServer, process: Process, api_key: str = "none") -> None:
        self.url = url
        self.management = management
        self._api_key = api_key
        self.model = model
        self.process = process
        self._manifests = manifests
        self._numbers = itertools.count(1)

    async def connector(self, server: str, *, name: str | None = None, **spec: Any) -> str:
        """Declare the MCP server at `server`, a URL without /mcp; the connector's id, once it is served. spec: more fields.

        name: instead of a new one; an earlier connector of this name is changed, and served at some time later.
        """
        name = name or f"connector-{next(self._numbers)}"
        self._write(_manifest(server, name, **spec))
        connector_id = str(spec.get("connectorID", name))
        await self._is_served(connector_id)
        return connector_id

    async def connectors(self, server: str, names: Sequence[str]) -> None:
        """Declare many connectors of one server; returns when the last one is served."""
        for name in names:
            self._write(_manifest(server, name))
        for name in names:
            await self._is_served(name)

    async def _is_served(self, connector_id: str) -> None:
        headers = {"Authorization": f"Bearer {self._api_key}"}
        try:
            async with asyncio.timeout(_DEADLINE), httpx.AsyncClient(headers=headers, trust_env=False) as http:
                while (await http.get(f"{self.url}/connectors/{connector_id}")).is_error:  # noqa: ASYNC110  # nothing tells
                    await asyncio.sleep(0.01)
        except (httpx.TransportError, TimeoutError) as error:
            raise ProcessFailed(f"{connector_id} is not served\n{self.process.tail()}") from error

    def secret(self, name: str, token: str) -> None:
        """Declare a Secret with the key `token`, before the connector that names it."""
        metadata = {"name": name, "labels": {"junctor.dev/credentials": "true"}}
        self._write({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"token": token}})

    def plays(self, *rounds: Round) -> str:
        """A model that does what the rounds say, for one conversation; its name."""
        name = f"model-{next(self._numbers)}"
        self.model.scripts[name] = rounds
        return name

    def asked(self, model: str) -> list[dict[str, Any]]:
        """The requests that the model server got for a model, in order."""
        return [body for body in self.model.bodies if body["model"] == model]

    def client(self, **options: Any) -> AsyncOpenAI:
        """The openai client in its strict mode, without repetitions. options: of the client."""
        strict = {"base_url": self.url, "api_key": self._api_key, "max_retries": 0, "_strict_response_validation": True}
        return AsyncOpenAI(**{**strict, **options})

    def _write(self, manifest: Mapping[str, Any]) -> None:
        written = self._manifests / f"{manifest['kind']}-{manifest['metadata']['name']}.new"
        written.write_text(json.dumps(manifest))
        written.rename(written.with_suffix(".yaml"))


def _manifest(server: str, name: str, **spec: Any) -> dict[str, Any]:
    manifest = {"apiVersion": "junctor.dev/v1alpha1", "kind": "MCPConnector", "metadata": {"name": name}}
    return {**manifest, "spec": {"url": f"{server}/mcp", **spec}}


@contextmanager
def running_gateway(
    directory: Path, *options: str | Path, api_key: str = "none", program: Sequence[str | Path] = STANDALONE
) -> Iterator[RunningGateway]:
    """Run `junctor standalone OPTIONS` with its files in `directory`. api_key: what its clients send. program: what Python runs."""
    manifests = directory / "manifests"
    manifests.mkdir()
    where = ("--manifests", manifests, "--port", "0", "--management-port", "0")
    with (
        ModelServer() as model,
        Process(
            "standalone",
            [sys.executable, *map(str, (*program, *where, "--upstream", model.url, *options))],
            log_file=directory / "log",
        ) as process,
    ):
        url, management = listening_addresses(process)
        process.wait_until_ready(f"{management}/-/readyz")
        yield RunningGateway(f"{url}/v1", management, manifests, model, process, api_key)


def mcp_tool(connector_id: str, server_label: str = "demo", **fields: Any) -> Any:
    """The tool of a request; without approvals unless `fields` say so. Any: the client's own type lists OpenAI's connectors only."""
    return {"type": "mcp", "server_label": server_label, "connector_id": connector_id, "require_approval": "never", **fields}


async def respond(client: AsyncOpenAI, *, stream: bool, **request: Any) -> Response:
    """Ask for a response, streamed or not. Asserts that a stream is numbered without gaps and ends well."""
    if not stream:
        response: Response = await client.responses.create(**request)
        return response
    events: list[Any] = [event async for event in await client.responses.create(**request, stream=True)]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    assert isinstance(events[-1].response, Response)
    return events[-1].response


def calls_of(response: Response) -> Sequence[Any]:
    """The calls of MCP tools. Any: their errors are of several types."""
    return [item for item in response.output if item.type == "mcp_call"]


def read_by_model(bodies: Sequence[Mapping[str, Any]]) -> list[str]:
    """Results of calls, as the model reads them in the last of its requests."""
    return [message["content"] for message in bodies[-1]["messages"] if message["role"] == "tool"]
