"""The gateway against a bare script, agentic-server and ogx: one MCP call at concurrency 1 and 16, no tools, 200 streams, what is left."""

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx
import uvloop
from mcp import Client

from tests.bench.gateway_left import what_is_left
from tests.bench.gateway_load import Direct, Responses, Work, client, p50, rate, times
from tests.bench.gateway_peer import AGENTIC, OGX, SECONDS, Forgiven, Peer, PeerMissing, agentic, ogx
from tests.bench.idle import rss_mib
from tests.bench.system import percentile, result, say
from tests.cluster.processes import Process, ProcessFailed, gateway
from tests.support.mcp_servers import everything
from tests.support.ports import free_port

CONCURRENCY: Final = 16
STREAMS: Final = 200
STREAM_SECONDS: Final = 10.0
#: Descriptors and tasks that may come and go by themselves.
SLACK: Final = 8
MANIFEST: Final = """
apiVersion: junctor.dev/v1alpha1
kind: MCPConnector
metadata: {{name: {name}}}
spec: {{connectorID: {name}, url: "{url}"}}
"""


@dataclass(frozen=True)
class Sizes:
    """Requests of one round, and in all."""

    one: int
    many: int
    leak: int
    sessions: int

    @classmethod
    def of(cls, *, quick: bool) -> "Sizes":
        return cls(40, 160, 500, 100) if quick else cls(200, 800, 10_000, 1000)


@dataclass(frozen=True)
class Systems:
    """What runs. peers: by the prefix of their numbers; missing: why one is not there."""

    gateway: Process
    url: str
    management: str
    upstream: str
    everything: str
    light: str
    peers: dict[str, Peer]
    missing: dict[str, str]
    work: Path

    def share(self, prefix: str, count: int) -> int:
        """How many of `count` requests a system gets: slow peers fewer."""
        return max(CONCURRENCY, round(count * self.peers[prefix].share)) if prefix in self.peers else count


@asynccontextmanager
async def running() -> AsyncIterator[Systems]:
    """Start everything and stop it at the end."""
    async with AsyncExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="junctor-bench-")))
        say("starting the model server, the MCP servers and the gateways")

        async def python(module: str) -> str:
            port = free_port()
            process = stack.enter_context(Process(module, [sys.executable, "-m", module, str(port)], log_file=work / f"{module}.log"))
            return await answering(process, f"http://127.0.0.1:{port}")

        upstream = await python("tests.bench.gateway_upstream")
        light = f"{await python('tests.bench.gateway_light_mcp')}/mcp"
        all_kinds = await stack.enter_async_context(everything())
        connector_map = work / "map.yaml"
        manifests = "---".join(MANIFEST.format(name=name, url=url) for name, url in (("everything", all_kinds), ("light", light)))
        connector_map.write_text(rendered(manifests))
        port, management_port = free_port(), free_port()
        process = gateway(
            f"file:{connector_map}", "--upstream", upstream, log_file=work / "log", port=port, management_port=management_port
        )
        stack.enter_context(process)
        management = f"http://127.0.0.1:{management_port}"
        process.wait_until_ready(f"{management}/-/readyz")
        peers: dict[str, Peer] = {}
        missing: dict[str, str] = {}
        for prefix, start in (("peer_", agentic), ("ogx_", partial(ogx, connectors={"everything": all_kinds, "light": light}))):
            try:
                peer = start(upstream, free_port(), work)
                stack.enter_context(peer.process)
                await answering(peer.process, peer.url)
                peers[prefix] = peer
            except PeerMissing as error:
                missing[prefix] = str(error)
                say(f"skipped: {error}")
        yield Systems(process, f"http://127.0.0.1:{port}", management, upstream, all_kinds, light, peers, missing, work)


def rendered(manifests: str) -> str:
    """The maps of manifests, as a gateway reads them from a file."""
    command = [sys.executable, "-m", "junctor.cli.main", "render", "-"]
    return subprocess.run(command, input=manifests, text=True, check=True, stdout=subprocess.PIPE).stdout


async def answering(process: Process, url: str) -> str:
    """The URL, as soon as a server answers there, whatever it says."""
    async with client() as http, asyncio.timeout(60):
        while True:
            if not process.running:
                raise ProcessFailed(f"{process.name} ended with {process.returncode}\n{process.tail()}")
            with contextlib.suppress(httpx.TransportError):
                await http.get(url)
                return url
            await asyncio.sleep(0.05)


class Rounds:
    """Numbers of all rounds, by name; what is said of a name is its median."""

    def __init__(self) -> None:
        self._found: defaultdict[str, list[float]] = defaultdict(list)

    def add(self, name: str, value: float) -> None:
        """Keep and say a number."""
        say(f"  {name}: {value:.2f}")
        self._found[name].append(value)

    def medians(self) -> dict[str, float]:
        """The median of each."""
        return {name: median(values) for name, values in self._found.items()}


async def calls_one_by_one(systems: Systems, rounds: int, count: int) -> dict[str, float]:
    """One echo call against server-everything at a time."""
    found = Rounds()
    async with AsyncExitStack() as stack:
        works = await _works(stack, systems, "everything", systems.everything)
        for work in works.values():
            await times(work, 5)
        for number in range(rounds):
            say(f"one call at a time, round {number + 1}")
            for name, work in works.items():
                taken = await times(work, systems.share(name, count))
                found.add(f"{name}p50_ms_1", p50(taken))
                found.add(f"{name}p99_ms_1", percentile(taken, 0.99))
    return found.medians()


async def calls_at_once(systems: Systems, rounds: int, count: int) -> dict[str, float]:
    """One echo call against the light server, 16 at once."""
    found = Rounds()
    async with AsyncExitStack() as stack:
        works = await _works(stack, systems, "light", systems.light)
        for name, work in works.items():
            await rate(work, systems.share(name, 4 * CONCURRENCY), CONCURRENCY)
        for number in range(rounds):
            say(f"{CONCURRENCY} calls at once, round {number + 1}")
            for name, work in works.items():
                found.add(f"{name}rps_{CONCURRENCY}", await rate(work, systems.share(name, count), CONCURRENCY))
    return found.medians()


async def _works(stack: AsyncExitStack, systems: Systems, connector: str, server_url: str) -> dict[str, Work]:
    """One call by each system, by the prefix of its numbers."""
    http = await stack.enter_async_context(client(systems.url))
    upstream = await stack.enter_async_context(client(systems.upstream))
    server = await stack.enter_async_context(Client(server_url))
    works: dict[str, Work] = {
        "": Responses(http, {"connector_id": connector}).call,
        "direct_": (await Direct(upstream, server).prepare()).call,
    }
    for prefix, peer in systems.peers.items():
        peer_http = await stack.enter_async_context(client(peer.url))
        peer_http.timeout = httpx.Timeout(SECONDS)
        works[prefix] = Forgiven(Responses(peer_http, peer.server(connector, server_url), peer.served).call, peer.errors)
    return works


async def no_tools(systems: Systems, rounds: int, count: int) -> dict[str, float]:
    """What the gateway adds to the model server's own answer, whole and to the first piece of text."""
    found = Rounds()
    async with client(systems.url) as http, client(systems.upstream) as upstream:
        through, direct = Responses(http, {}), Direct(upstream)
        await times(through.plain, 10)
        await times(direct.plain, 10)
        for number in range(rounds):
            say(f"no tools, round {number + 1}")
            whole = [p50(await times(kind.plain, count)) for kind in (through, direct)]
            first = [p50([await kind.first_delta(at) for at in range(count)]) for kind in (through, direct)]
            found.add("plain_p50_ms_1", whole[0])
            found.add("plain_overhead_ms_1", whole[0] - whole[1])
            found.add("first_delta_p50_ms", first[0])
            found.add("first_delta_overhead_ms", first[0] - first[1])
    return found.medians()


async def many_streams(systems: Systems) -> dict[str, float]:
    """200 streams begun over 10 s, each with a tool call of 500 ms, while the management port is probed."""
    say(f"{STREAMS} streams")
    command = (sys.executable, "-m", "tests.bench.gateway_lag", f"{systems.management}/-/livez")
    probe = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    async with client(systems.url) as http:
        through = Responses(http, {"connector_id": "light"})

        async def one(number: int) -> bool:
            await asyncio.sleep(number * STREAM_SECONDS / STREAMS)
            return await through.slow_stream(number)

        correct = sum(await asyncio.gather(*map(one, range(STREAMS))))
    output, _ = await probe.communicate(b"")  # the end of its input
    lags = json.loads(output)
    return {
        "streams": STREAMS,
        "streams_correct": correct,
        "gateway_rss_mib": rss_mib(systems.gateway.pid),
        "loop_lag_p50_ms": p50(lags),
        "loop_lag_p99_ms": percentile(lags, 0.99),
        "loop_lag_max_ms": max(lags),
    }


def bars(found: dict[str, Any]) -> dict[str, bool | None]:
    """Whether each bar is met; None where there is nothing to compare with."""
    p50_1, rps = found["p50_ms_1"], found[f"rps_{CONCURRENCY}"]

    def beats(prefix: str, times_: float) -> dict[str, bool | None]:
        peer_p50, peer_rps = found[f"{prefix}p50_ms_1"], found[f"{prefix}rps_{CONCURRENCY}"]
        return {
            f"{times_:g} x p50_ms_1 < {prefix}p50_ms_1": None if peer_p50 is None else times_ * p50_1 < peer_p50,
            f"rps_16 > {times_:g} x {prefix}rps_16": None if peer_rps is None else rps > times_ * peer_rps,
        }

    return {
        "p50_ms_1 <= direct + 5": p50_1 <= found["direct_p50_ms_1"] + 5,
        "rps_16 >= 0.5 direct": rps >= 0.5 * found[f"direct_rps_{CONCURRENCY}"],
        **beats("peer_", 1),
        **beats("ogx_", 10),
        "plain_overhead_ms_1 <= 3": found["plain_overhead_ms_1"] <= 3,
        "first_delta_overhead_ms <= 3": found["first_delta_overhead_ms"] <= 3,
        "streams all correct": found["streams_correct"] == found["streams"],
        "gateway_rss_mib <= 300": found["gateway_rss_mib"] <= 300,
        "loop_lag_p99_ms <= 100": found["loop_lag_p99_ms"] <= 100,
        f"descriptors_after <= before + {SLACK}": found["descriptors_after"] <= found["descriptors_before"] + SLACK,
        f"tasks_after <= before + {SLACK}": found["tasks_after"] <= found["tasks_before"] + SLACK,
    }


async def main(rounds: int, sizes: Sizes) -> None:
    async with running() as systems:
        found: dict[str, Any] = {"benchmark": "gateway", "rounds": rounds}
        for prefix, name in (("peer_", AGENTIC), ("ogx_", OGX)):
            numbers = (f"{prefix}p50_ms_1", f"{prefix}p99_ms_1", f"{prefix}rps_{CONCURRENCY}", f"{prefix}errors")
            found |= {prefix.strip("_"): systems.missing.get(prefix, name), **dict.fromkeys(numbers)}
        try:
            found |= await calls_one_by_one(systems, rounds, sizes.one)
            found |= await calls_at_once(systems, rounds, sizes.many)
            found |= {f"{prefix}errors": len(peer.errors) for prefix, peer in systems.peers.items()}
            found |= await no_tools(systems, rounds, sizes.one)
            found |= await many_streams(systems)
            found |= await what_is_left(systems.upstream, systems.light, systems.work, requests=sizes.leak, sessions=sizes.sessions)
        except BaseException:
            say(systems.gateway.tail())
            raise
    result(found | {"bars": bars(found)})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer requests")
    parser.add_argument("--rounds", type=int, default=3, help="in which the systems take turns; medians are reported")
    arguments = parser.parse_args()
    uvloop.run(main(arguments.rounds, Sizes.of(quick=arguments.quick)))
