"""Attacks on a gateway of 512 MiB and on the operator, one after the other: whether they live, their memory, and what others notice.

A caller makes small requests alone, then while each attack goes on; a probe asks for /-/livez. The attackers are callers with keys of their
own, connections without a key, MCP servers, and made-up tokens at a gateway that lets an API server review them.
"""

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvloop

from junctor.gateway.auth.key_file import entry_of
from tests.bench.gateway import MANIFEST, answering, rendered
from tests.bench.gateway_load import p50
from tests.bench.hostile_attacks import (
    Attack,
    Target,
    dense_json,
    endless_heads,
    hostile_listings,
    made_up_tokens,
    near_ids,
    sessions_that_reconnect,
    stalled_bodies,
)
from tests.bench.memory_limit import memory_limit
from tests.bench.system import percentile, result, say
from tests.cluster.processes import Process, gateway
from tests.support.attacks import memory
from tests.support.hostile_mcp import HostileServer, ends_at_once, hostile_server, paged, same_tools
from tests.support.hostile_registry import HostileRegistry, dense, endless, large, many
from tests.support.mcp_servers import serving
from tests.support.operator_part import OperatorPart
from tests.support.ports import free_port
from tests.support.token_reviews import ApiServer, kubeconfig_of

LIMIT_MIB: Final = 512
SESSIONS: Final = 20
NEAR: Final = 200
#: What the probe says of a gateway that is dead.
_DEAD_MS: Final = 60_000.0
VICTIM, ATTACKER = "key-of-the-victim", "key-of-the-attacker"
REGISTRIES: Final = {"endless": endless, "large": large, "many": lambda: many(250_000), "dense": dense}


@dataclass(frozen=True)
class Gateway:
    """A gateway with a limit on its memory. victim, attacker: keys of two of its callers."""

    process: Process
    url: str
    management: str
    victim: str
    attacker: str


@dataclass(frozen=True)
class Sizes:
    """Seconds that the victim is alone, that each attack takes, and that the operator has at most."""

    alone: float
    attack: float
    operator: float

    @classmethod
    def of(cls, *, quick: bool) -> "Sizes":
        return cls(2, 3, 20) if quick else cls(5, 8, 60)


class Noticed:
    """What the victim and the probe notice: milliseconds, by attack; alone: under the name of the gateway."""

    def __init__(self) -> None:
        self.alone: defaultdict[str, list[float]] = defaultdict(list)
        self.p50_ratio: dict[str, float] = {}
        self.p99_ms: dict[str, float] = {}
        self.livez_max_ms: dict[str, float] = {}
        self.failures: list[str] = []

    def add(self, attack: str, seen: Mapping[str, Any], lags: list[float]) -> None:
        """Keep what was noticed during an attack."""
        kinds = ("catalog", "call")
        self.p50_ratio[attack] = max(p50(seen[kind]) / p50(self.alone[kind]) for kind in kinds)
        self.p99_ms[attack] = percentile(itertools.chain.from_iterable(seen[kind] for kind in kinds), 0.99)
        self.livez_max_ms[attack] = max(lags)
        self.failures += [f"{attack}: {failure}" for failure in seen["failures"]]


class Watch:
    """The victim and the probe, each in a process of its own. seen, lags: what they noticed, when the context has ended."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.seen: dict[str, Any] = {}
        self.lags: list[float] = []

    async def __aenter__(self) -> "Watch":
        self._victim = await _python("tests.bench.hostile_victim", self._gateway.url, self._gateway.victim)
        assert self._victim.stdout
        if (await self._victim.stdout.readline()).strip() != b"ready":
            raise SystemExit(f"the victim is not served\n{self._gateway.process.tail()}")
        self._probe = await _python("tests.bench.gateway_lag", f"{self._gateway.management}/-/livez")
        return self

    async def __aexit__(self, *error: object) -> None:
        self.seen = await _output(self._victim) or {"catalog": [0.0], "call": [0.0], "failures": ["the victim ended"]}
        self.lags = await _output(self._probe) or [_DEAD_MS]  # it ends when the gateway does


async def _python(module: str, *arguments: str) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", module, *arguments)
    return await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)


async def _output(process: asyncio.subprocess.Process) -> Any:
    assert process.stdin
    assert process.stdout
    process.stdin.close()
    output = await process.stdout.read()
    await process.wait()
    return json.loads(output or b"null")


@asynccontextmanager
async def running() -> AsyncIterator[tuple[dict[str, Gateway], dict[str, tuple[str, Attack]]]]:
    """Gateways by name, and attacks by name, each with the name of the gateway that it is for."""
    async with AsyncExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="junctor-bench-")))
        say("starting the model server, the MCP servers and two gateways")

        async def python(module: str) -> str:
            port = free_port()
            process = stack.enter_context(Process(module, [sys.executable, "-m", module, str(port)], log_file=work / f"{module}.log"))
            return await answering(process, f"http://127.0.0.1:{port}")

        def hostile(**answers: Any) -> str:
            server: HostileServer = stack.enter_context(hostile_server(**answers))
            return f"{server.url}/mcp"

        upstream = await python("tests.bench.gateway_upstream")
        listings = {"bytes": hostile(tools_list=paged(b"[]," * 1_300_000, 6)), "names": hostile(tools_list=same_tools)}
        sessions = {f"session-{number}": hostile(GET=ends_at_once) for number in range(SESSIONS)}
        # Long ids of two letters are the worst case of comparing letter by letter.
        ids = ["".join(letters) + "ab" * 58 for letters in itertools.islice(itertools.product("ab", repeat=8), NEAR)]
        near = dict.fromkeys(ids, "http://127.0.0.1:9/mcp")
        connectors = {"light": f"{await python('tests.bench.gateway_light_mcp')}/mcp", **listings, **sessions, **near}
        (work / "map.yaml").write_text(rendered("---".join(MANIFEST.format(name=name, url=url) for name, url in connectors.items())))
        (work / "keys").write_text("".join(entry_of(key, name, ()) for key, name in ((VICTIM, "victim"), (ATTACKER, "attacker"))))
        server = ApiServer()
        (work / "kubeconfig").write_text(kubeconfig_of(await stack.enter_async_context(serving(server.app()))))
        options = {"keys": f"apikeys:{work / 'keys'}", "tokens": "kubernetes"}
        keys = {"keys": (VICTIM, ATTACKER), "tokens": (server.issue(), server.issue())}
        gateways = {name: _gateway(stack, work, name, upstream, options[name], keys[name]) for name in options}
        attacks = {
            "heads": ("keys", endless_heads),
            "bodies": ("keys", stalled_bodies),
            "json": ("keys", dense_json),
            "listings": ("keys", hostile_listings(list(listings))),
            "sessions": ("keys", sessions_that_reconnect(list(sessions))),
            "near_ids": ("keys", near_ids("ba" * 60)),
            "tokens": ("tokens", made_up_tokens),
        }
        yield gateways, attacks


def _gateway(stack: AsyncExitStack, work: Path, name: str, upstream: str, callers: str, keys: tuple[str, str]) -> Gateway:
    port, management_port = free_port(), free_port()
    before = stack.enter_context(memory_limit(LIMIT_MIB))
    say(f"  the gateway {name!r} {'has a cgroup' if before else 'has no cgroup: its peak is judged'}")
    process = gateway(
        f"file:{work / 'map.yaml'}",
        *("--callers", callers, "--upstream", upstream),
        kubeconfig=work / "kubeconfig" if callers == "kubernetes" else None,
        log_file=work / f"{name}.log",
        port=port,
        management_port=management_port,
        before=before,
    )
    stack.enter_context(process)
    management = f"http://127.0.0.1:{management_port}"
    process.wait_until_ready(f"{management}/-/readyz")
    return Gateway(process, f"http://127.0.0.1:{port}", management, *keys)


async def gateways_under_attack(sizes: Sizes) -> dict[str, Any]:
    """All attacks on gateways, one after the other."""
    answered: dict[str, Counter[str]] = {}
    async with running() as (gateways, attacks):
        noticed = {name: Noticed() for name in gateways}
        for name, attacked in gateways.items():
            say(f"the victim alone at the gateway {name!r}")
            async with Watch(attacked) as watch:
                await asyncio.sleep(sizes.alone)
            noticed[name].alone.update({kind: watch.seen[kind] for kind in ("catalog", "call")})
            say("  p50 " + ", ".join(f"{kind} {p50(taken):.1f} ms" for kind, taken in noticed[name].alone.items()))
        for attack, (name, send) in attacks.items():
            attacked, found = gateways[name], noticed[name]
            if not attacked.process.running:
                say(f"{attack}: the gateway {name!r} is dead")
                continue
            async with Watch(attacked) as watch:
                answered[attack] = await send(Target(attacked.url, attacked.attacker), time.monotonic() + sizes.attack)
            found.add(attack, watch.seen, watch.lags)
            peak = memory(attacked.process).peak if attacked.process.running else float("inf")
            numbers = f"p50 x {found.p50_ratio[attack]:.2f}, p99 {found.p99_ms[attack]:.0f} ms, livez {found.livez_max_ms[attack]:.0f} ms"
            say(f"{attack}: {numbers}, peak {peak:.0f} MiB; it got {dict(answered[attack])}")
        return _summary(gateways, noticed, answered)


def _summary(gateways: Mapping[str, Gateway], noticed: Mapping[str, Noticed], answered: Mapping[str, Counter[str]]) -> dict[str, Any]:
    alive = all(item.process.running for item in gateways.values())
    failures = [failure for found in noticed.values() for failure in found.failures]
    for line in failures[:10]:
        say(line)
    found: dict[str, Any] = {
        "alive": alive,
        "rss_mib_max": max(memory(item.process).peak for item in gateways.values()) if alive else None,
        "victim_failures": len(failures),
    }
    for number in ("p50_ratio", "p99_ms", "livez_max_ms"):
        by_attack = {attack: round(value, 2) for seen in noticed.values() for attack, value in getattr(seen, number).items()}
        name = number if number.startswith("livez") else f"victim_{number}"
        found |= {name: max(by_attack.values()), f"{name}_by_attack": by_attack}
    return {**found, "answers": {attack: dict(seen) for attack, seen in answered.items()}}


async def operator_under_attack(sizes: Sizes) -> dict[str, Any]:
    """Four hostile registries at once, until each first sync has ended."""
    say(f"the operator with the registries {', '.join(REGISTRIES)}")
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="junctor-bench-")))
        operator = stack.enter_context(OperatorPart(work))
        for name, pages in REGISTRIES.items():
            url = stack.enter_context(HostileRegistry(pages())).url
            operator.apply("MCPRegistry", name, url=url, sync={"intervalSeconds": 10}, namespace=f"team-{name}")
        ended: set[str] = set()
        deadline = time.monotonic() + sizes.operator
        while time.monotonic() < deadline and operator.running and len(ended) < len(REGISTRIES):
            await asyncio.sleep(0.5)
            ended = {name for name in REGISTRIES if operator.condition(name, "Synced").get("status") in ("True", "False")}
        if not operator.running:
            say(operator.tail())
        peak = memory(operator).peak if operator.running else None
        reasons = ", ".join(f"{name} {operator.condition(name, 'Synced').get('reason')}" for name in REGISTRIES)
        say(f"  peak {peak or 0:.0f} MiB; {reasons}")
        return {"operator_alive": operator.running, "operator_rss_mib_max": peak, "operator_syncs_ended": len(ended)}


def bars(found: Mapping[str, Any]) -> dict[str, bool]:
    """Whether each bar is met."""

    def at_most(name: str, most: float) -> bool:
        return found[name] is not None and found[name] <= most

    return {
        "alive": found["alive"] and found["operator_alive"],
        "rss_mib_max <= 300": at_most("rss_mib_max", 300),
        "victim_failures == 0": at_most("victim_failures", 0),
        "victim_p50_ratio <= 2": at_most("victim_p50_ratio", 2),
        "victim_p99_ms <= 100": at_most("victim_p99_ms", 100),
        "livez_max_ms <= 250": at_most("livez_max_ms", 250),
        "operator_rss_mib_max <= 400": at_most("operator_rss_mib_max", 400),
    }


async def main(sizes: Sizes) -> None:
    begun = time.monotonic()
    found = {"benchmark": "hostile", **await gateways_under_attack(sizes), **await operator_under_attack(sizes)}
    result({**found, "seconds": time.monotonic() - begun, "bars": bars(found)})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make bench NAME=hostile", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter attacks")
    uvloop.run(main(Sizes.of(quick=parser.parse_args().quick)))
