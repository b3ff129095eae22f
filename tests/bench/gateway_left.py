"""What an idle MCP session costs a gateway process, and what 10,000 requests leave behind in it."""

import asyncio
import sys
from pathlib import Path

import httpx

from tests.bench.gateway_load import Responses, client, rate
from tests.bench.system import say
from tests.cluster.processes import Process
from tests.support.counted_gateway import held, program
from tests.support.ports import free_port

#: So many sessions are open before those that are measured: the first ones load modules.
_WARM = 10
#: Seconds after which the model server has closed its idle connections.
_IDLE = 6.0
_AT_ONCE = 16
_MANIFEST = """
apiVersion: junctor.dev/v1alpha1
kind: MCPConnector
metadata: {{name: c{number}}}
spec: {{connectorID: c{number}, url: "{url}"}}
"""


async def what_is_left(upstream: str, server_url: str, work: Path, *, requests: int, sessions: int) -> dict[str, float]:
    """Of a gateway of its own: `sessions` connectors of one light server, at most as many as the pool keeps (1,000)."""
    manifests, counts = work / "manifests", work / "counts.json"
    manifests.mkdir()
    (manifests / "all.yaml").write_text("---".join(_MANIFEST.format(number=number, url=server_url) for number in range(sessions)))
    port, management = free_port(), free_port()
    options = ("--manifests", str(manifests), "--upstream", upstream, "--port", str(port), "--management-port", str(management))
    with Process("counted gateway", [sys.executable, *program(counts), *options], log_file=work / "counted.log") as process:
        process.wait_until_ready(f"http://127.0.0.1:{management}/-/readyz")
        async with client(f"http://127.0.0.1:{port}") as http:
            left = await _requests(process, counts, http, requests)
            return left | await _sessions(process, counts, http, sessions)


async def _requests(process: Process, counts: Path, http: httpx.AsyncClient, number: int) -> dict[str, float]:
    """Both at rest, after requests at the same concurrency."""
    say(f"{number} requests, and what is left of them")
    found: dict[str, float] = {"requests": number}
    for name, count in (("before", 4 * _AT_ONCE), ("after", number)):
        await rate(Responses(http, {"connector_id": "c0"}).call, count, _AT_ONCE)
        await asyncio.sleep(_IDLE)
        holds = held(process, counts)
        found |= {f"descriptors_{name}": holds.descriptors, f"tasks_{name}": holds.tasks, f"rss_mib_{name}": holds.memory / 2**20}
    return found


async def _sessions(process: Process, counts: Path, http: httpx.AsyncClient, number: int) -> dict[str, float]:
    say(f"{number} idle sessions")

    async def open_session(connector: int) -> None:
        (await http.get(f"/v1/connectors/c{connector}/tools")).raise_for_status()

    await rate(open_session, _WARM, _AT_ONCE)
    before = held(process, counts)
    await rate(lambda at: open_session(_WARM + at), number - _WARM, _AT_ONCE)
    after = held(process, counts)
    opened = number - _WARM
    return {
        "sessions": number,
        "session_kib": (after.memory - before.memory) / 1024 / opened,
        "session_descriptors": (after.descriptors - before.descriptors) / opened,
        "session_tasks": (after.tasks - before.tasks) / opened,
    }
