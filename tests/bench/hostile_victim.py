"""A caller with small requests: the catalog and a response with one call of a tool, in turn, until standard input ends.

`python -m tests.bench.hostile_victim URL KEY` in a process of its own, so that the work of attackers does not count. It writes a line when
it is warm, and at the end {"catalog": [...], "call": [...], "failures": [...]}: milliseconds of each, and what went wrong.
"""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable

import httpx

from tests.bench.gateway_lag import until_end
from tests.bench.gateway_load import Responses, WrongAnswer

_PAUSE = 0.04
_WARM_UP = 10


async def main(url: str, key: str) -> None:
    over = threading.Event()
    threading.Thread(target=until_end, args=(over,), daemon=True).start()
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60.0, trust_env=False) as http:
        responses = Responses(http, {"connector_id": "light"})

        async def catalog(_: int) -> None:
            answer = await http.get("/v1/connectors", params={"limit": 5})
            if answer.status_code != httpx.codes.OK:
                raise WrongAnswer(f"HTTP {answer.status_code}: {answer.text[:200]}")

        for number in range(_WARM_UP):
            await catalog(number)
            await responses.call(number)
        print("ready", flush=True)
        works: dict[str, Callable[[int], Awaitable[None]]] = {"catalog": catalog, "call": responses.call}
        found: dict[str, list[float]] = {name: [] for name in works}
        failures: list[str] = []
        number = _WARM_UP
        while not over.is_set():
            for name, work in works.items():
                begun = time.perf_counter()
                try:
                    await work(number)
                except (httpx.HTTPError, WrongAnswer) as error:
                    failures.append(f"{name}: {error!r:.300}")
                found[name].append(1000 * (time.perf_counter() - begun))
                number += 1
                await asyncio.sleep(_PAUSE)
    print(json.dumps({**found, "failures": failures}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
