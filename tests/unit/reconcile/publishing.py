"""An operator process that publishes one map, and what readers see of it."""

from collections.abc import Callable, Mapping
from typing import Any

from junctor.connectormap.credentials import credential_version, reference_hash
from junctor.planning.inputs import Inputs
from junctor.planning.plan import GatewayPlan, PlanCache, PlanMemory, plan_gateway
from junctor.reconcile.ports import PortError, Unavailable
from junctor.reconcile.publisher import MapPublisher
from tests.support.entries import content_of
from tests.unit.planning.building import KEY, bearer, connector, gateway, secret
from tests.unit.reconcile.fakes import Objects, Reader

#: Each write of a pass: the process dies before it, or once it is done.
WRITES = ["add_credentials", "create_shard", "write_head", "delete_shard", "remove_credentials"]


class Crash(BaseException):
    """The process ends here."""


def credential(value: bytes, name: str = "token") -> str:
    return f"{reference_hash('team-a', name, 'value')}.{credential_version(KEY, value)}"


class Process:
    """An operator process as far as one map is concerned. `tokens`: values of the Secrets that connectors name, by Secret."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.memory = PlanMemory()
        self.cache = PlanCache()
        self.publisher = MapPublisher(gateway(), objects)
        self.floor = 0
        self.plan: GatewayPlan | None = None

    async def run(self, connectors: Mapping[str, Mapping[str, Any]], tokens: Mapping[str, bytes] | None = None) -> bool:
        """One pass: plan, publish, clean up. connectors: spec by name."""
        tokens = tokens or {}
        resources = [connector(name, **spec) for name, spec in connectors.items()]
        secrets = {key: versions for name, value in tokens.items() for key, versions in secret(name, value=value).items()}
        inputs = Inputs({item.uid: item for item in resources}, secrets=secrets, deleted=frozenset(f"uid-team-a-{n}" for n in "abcdefgh"))
        values = {credential(value, name): value for name, value in tokens.items()}
        if self.plan is None:
            await self.publisher.load()
        self.plan = plan_gateway(gateway(), inputs, self.publisher.published, self.memory, 1000.0, self.cache)
        self.memory = self.plan.memory
        try:
            written = await self.publisher.publish(self.plan, values, sequence_floor=self.floor)
            await self.publisher.clean_up(self.plan)
        finally:
            self.publisher.end_pass()
        return written


def failing(*calls: str, error: PortError | None = None) -> Callable[[str], None]:
    """A fault of these calls, for ever."""

    def fault(call: str) -> None:
        if call in calls:
            raise error or Unavailable(f"{call} does not work")

    return fault


def watched(objects: Objects, process: Process) -> None:
    """Let the process hear of what happens to the objects."""
    objects.on_event = process.publisher.observe


async def map_of(objects: Objects) -> dict[str, dict[str, Any]]:
    reader = Reader(objects)
    current = await reader.read()
    assert current is not None
    assert not reader.missing_credentials()
    return {key: content_of(entry) for key, entry in current.entries.items()}


async def urls(objects: Objects) -> dict[str, str]:
    return {key: content["url"] for key, content in (await map_of(objects)).items()}


A: dict[str, Any] = {"url": "https://a.example.com/mcp"}
B: dict[str, Any] = {"url": "https://b.example.com/mcp"}
SECURED: dict[str, Any] = {"url": "https://s.example.com/mcp", "auth": bearer()}
TOKEN = {"token": b"one"}
