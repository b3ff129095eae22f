"""What a thousand faults of MCP servers leave behind in a gateway process: nothing."""

import asyncio
import re
import statistics
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.support.counted_gateway import Held, held, program
from tests.support.faults import SAYS, faults
from tests.support.mcp_servers import ScriptedServer, serving
from tests.support.ports import free_port
from tests.support.running_gateway import ANSWER, ECHO, mcp_tool, running_gateway

#: After so many, every cache and pool has the size that it keeps: over 5,000 faults memory then stayed between 94.0 and 94.2 MB.
WARM_UP = 600
FAULTS = 1000
#: Faults between two measurements.
STEP = 100
AT_ONCE = 32
#: Pooled connections come and go.
FEW = 4
#: Bytes for each fault. A leak of one small answer or of one session's state is larger.
GROWTH = 2048
#: The name of the connector whose callers go away during a call; no fault is named so.
GONE = "gone"
#: Of the faults; a server in a back-off; and, for all calls of a session, that its endless comments have used up what a session may send.
FAILURE = re.compile("|".join((*SAYS.values(), "refuses connections", "that nobody asked for")))


def servers(elsewhere: str) -> Mapping[str, ScriptedServer]:
    """A server for each fault in each place."""
    answers = faults(elsewhere)
    places = {"connect": ("server/discover", "initialize"), "list": ("tools/list",), "call": ("tools/call",)}
    found = {
        f"{place}.{fault}": ScriptedServer(dict.fromkeys(methods, answers[fault])) for fault in SAYS for place, methods in places.items()
    }
    return found | {GONE: ScriptedServer({"tools/call": answers["never-answers"]}, with_sessions=True)}


async def meet_faults(url: str, model: str, connectors: Sequence[str]) -> None:
    """Ask for a response with each of these connectors, some at once; plain and streamed by turns. Each answer tells of its fault."""
    turns = iter(enumerate(connectors))

    async def work(client: httpx.AsyncClient) -> None:
        for number, connector in turns:
            stream = connector == GONE or number % 2 == 1
            asked = {"model": model, "tools": [mcp_tool(connector)], "input": "say hi", "stream": stream}
            async with client.stream("POST", "/responses", json=asked) as response:
                text = ""
                async for line in response.aiter_lines():
                    text += line
                    if connector == GONE and "response.mcp_call.in_progress" in line:
                        break
                else:
                    assert FAILURE.search(text), f"{connector}: {text}"

    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client, asyncio.TaskGroup() as workers:
        for _ in range(AT_ONCE):
            workers.create_task(work(client))


async def test_a_thousand_faults_leave_no_descriptor_no_task_and_no_memory(tmp_path: Path) -> None:
    hostile = servers(f"http://127.0.0.1:{free_port()}")
    counts = tmp_path / "counts"
    async with serving(Starlette(routes=[Mount(f"/{name}", app=server.app()) for name, server in hostile.items()])) as url:
        where = {name: f"{url}/{name}" for name in hostile} | {"refuses": f"http://127.0.0.1:{free_port()}"}
        with running_gateway(tmp_path, program=program(counts)) as gateway:
            # Calls whose callers go away end without the help of a time limit.
            limits = {name: {"connectTimeoutSeconds": 1, "callTimeoutSeconds": 1} if name != GONE else {} for name in where}
            await asyncio.gather(*(gateway.connector(server, name=name, limits=limits[name]) for name, server in where.items()))
            model = gateway.plays(ECHO, ANSWER)
            faults = cycle(where)
            await meet_faults(gateway.url, model, list(islice(faults, WARM_UP)))
            seen = [await asyncio.to_thread(held, gateway.process, counts)]
            for _ in range(FAULTS // STEP):
                await meet_faults(gateway.url, model, list(islice(faults, STEP)))
                seen.append(await asyncio.to_thread(held, gateway.process, counts))
            # Idle connections come and go, so that one measurement says little: a leak leaves the second half above the first.
            first_half, last = seen[: len(seen) // 2], seen[-1]
            descriptors, tasks = max(each.descriptors for each in first_half), max(each.tasks for each in first_half)
            async with asyncio.timeout(60):
                while last.descriptors > descriptors + FEW or last.tasks > tasks + FEW:
                    last = await asyncio.to_thread(held, gateway.process, counts)
            assert growth(seen) <= GROWTH, seen


def growth(seen: Sequence[Held]) -> float:
    """Bytes of memory for each fault: the slope of the line through all measurements, for which one that is off counts little."""
    return statistics.linear_regression([STEP * number for number in range(len(seen))], [each.memory for each in seen]).slope
