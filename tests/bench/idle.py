"""An idle system at 1,000 connectors: writes to the API server, memory and CPU of the operator and a gateway."""

import argparse
import asyncio
import os
from pathlib import Path

from tests.bench.system import result, running_system, say

CONNECTORS = 1000
GATEWAYS = 2
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


async def main(seconds: float) -> None:
    async with running_system(GATEWAYS) as system:
        say(f"creating {CONNECTORS} connectors")
        await system.create([f"connector-{number:04d}" for number in range(CONNECTORS)], 16)
        await system.until_served(CONNECTORS)
        await system.all_ready(CONNECTORS)
        await asyncio.sleep(15)
        pids = {"operator": system.operator.pid, "gateway": system.gateways[0].pid}
        users = {system.release.operator_user, *system.release.gateway_users.values()}
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        known = len(system.control_plane.audit_events())
        say(f"watching for {seconds:.0f} s")
        await asyncio.sleep(seconds)
        events = [event for event in system.control_plane.audit_events()[known:] if event["user"]["username"] in users]
        writes = [event for event in events if event["verb"] in _WRITES]
        for event in writes:
            say(f"  {event['verb']} {event['requestURI']}")
        minutes = seconds / 60
        result(
            {
                "benchmark": "idle",
                "connectors": CONNECTORS,
                "api_writes_per_minute": len(writes) / minutes,
                "api_reads_per_minute": (len(events) - len(writes)) / minutes,
                "operator_rss_mib": rss_mib(pids["operator"]),
                "gateway_rss_mib": rss_mib(pids["gateway"]),
                "operator_cpu_percent": 100 * (cpu_seconds(pids["operator"]) - before["operator"]) / seconds,
                "gateway_cpu_percent": 100 * (cpu_seconds(pids["gateway"]) - before["gateway"]) / seconds,
            }
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    asyncio.run(main(parser.parse_args().seconds))
