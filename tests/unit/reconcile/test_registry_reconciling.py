"""The loop with registries: from a resource over its servers in the map to its status, and on after a restart."""

import asyncio
from typing import Any

from junctor.api.sync_report import Discovered
from junctor.connectormap.head import SHARD_KEY
from junctor.reconcile.registry_memory import Recall, RegistryToSync, recall_discovered
from tests.support.fake_registry import FakeRegistry, Stall, Status
from tests.support.registry_data import record, remote
from tests.unit.planning.building import bearer
from tests.unit.reconcile.fakes import Objects, head_of, until
from tests.unit.reconcile.world import World

ROWS = [record(f"io.acme/{name}", remotes=[remote(f"https://{name}.acme.com/mcp")]) for name in "abc"]
#: Annotations that ask for a sync.
ASKED = {"junctor.dev/sync-requested-at": "1"}


def world_of(server: FakeRegistry, **spec: Any) -> World:
    """A cluster with a pod, a connector and a registry."""
    world = World()
    world.pod("gw-0")
    world.apply("c")
    world.apply_registry("internal", url=server.url, **spec)
    return world


def restarted(before: World, *gateways: dict[str, Any], recall: Recall = recall_discovered) -> World:
    """Another operator on the same cluster, whose pods go on serving what they serve."""
    world = World(gateways, version=before.version, recall=recall)
    world.pods.serving = dict(before.pods.serving)
    world.objects.copy_from(before.objects)
    world.pods_there, world.secrets = before.pods_there, before.secrets
    world.connectors, world.registries = dict(before.connectors), dict(before.registries)
    return world


def writes(world: World, name: str) -> int:
    return sum(update.resource.name == name for update in world.sink.statuses)


async def test_servers_of_a_registry_are_published_and_its_status_says_so() -> None:
    with FakeRegistry(ROWS) as server:
        world = world_of(server)
        async with world.running():
            await until(lambda: world.ready("internal"))
            assert world.served == 5
            status = world.registries["internal"]["status"]
            assert (status["discovered"], status["published"], status["registryID"]) == (3, 3, "internal")
            assert world.sink.last("internal")["Synced"] == ("True", "Synced")
            server.publish(record("io.acme/d", remotes=[remote("https://d.acme.com/mcp")]))
            world.apply_registry("internal", url=server.url, annotations=ASKED)
            await until(lambda: world.served == 6 and world.registries["internal"]["status"].get("lastHandledSyncRequest") == "1")


async def test_registry_that_never_answers_delays_no_connector() -> None:
    with FakeRegistry(ROWS) as server:
        server.fault = lambda _: Stall()
        world = world_of(server)
        async with world.running():
            await until(lambda: server.requests and world.ready("c"))
            world.apply("d")
            await until(lambda: world.ready("d"))
            assert world.sink.last("internal")["Programmed"] == ("Unknown", "Syncing")


async def test_failing_registry_says_why_and_is_not_written_about_again() -> None:
    with FakeRegistry(ROWS) as server:
        server.fault = lambda _: Status(404)
        world = world_of(server)
        async with world.running():
            await until(lambda: world.sink.last("internal").get("Synced") == ("False", "NotARegistry"))
            await world.settled()
            before = writes(world, "internal")
            for generation in range(3):
                world.apply("c", url=f"https://c{generation}.example.com/mcp")
            await until(lambda: world.ready("c"))
            await world.settled()
            assert writes(world, "internal") == before


async def test_operator_that_starts_while_the_registry_is_down_changes_nothing() -> None:
    with FakeRegistry(ROWS) as server:
        first = world_of(server)
        async with first.running():
            await until(lambda: first.ready("internal"))
            await first.settled()
        server.fault = lambda _: Stall()
        server.requests.clear()
        second = restarted(first)
        async with second.running():
            await until(lambda: server.requests)
            await second.settled()
            assert (second.objects.writes, second.sink.statuses, second.sink.events) == ([], [], [])
            assert second.served == 5


async def test_status_waits_until_what_is_remembered_of_a_registry_is_known() -> None:
    with FakeRegistry(ROWS) as server:
        first = world_of(server)
        async with first.running():
            await until(lambda: first.ready("internal"))
            await first.settled()
        server.fault = lambda _: Stall()
        server.requests.clear()
        remembered = asyncio.Event()

        async def slow(registry: RegistryToSync) -> Discovered | None:
            await remembered.wait()
            return await recall_discovered(registry)

        second = restarted(first, recall=slow)
        async with second.running():
            await until(lambda: second.pods.asked)
            await second.settled()
            assert (second.objects.writes, second.sink.statuses) == ([], [])
            remembered.set()
            await until(lambda: server.requests)
            await second.settled()
            assert (second.objects.writes, second.sink.statuses) == ([], [])


async def test_registry_that_goes_takes_its_servers_and_its_task_along() -> None:
    with FakeRegistry(ROWS) as server:
        world = world_of(server)
        async with world.running():
            await until(lambda: world.served == 5)
            world.delete("internal", "MCPRegistry")
            await until(lambda: world.served == 1)
            assert head_of(world.objects).registries == ()
            server.requests.clear()
            world.apply_registry("internal", url=server.url)
            await until(lambda: world.served == 5)
            assert server.requests[0].query.get("updated_since") is None


async def test_rotated_secret_reaches_the_servers_without_asking_the_registry() -> None:
    with FakeRegistry(ROWS) as server:
        world = world_of(server, credentials=[{"servers": ["*"], "hosts": ["*.acme.com"], "auth": bearer()}])
        world.secret("token", value="one")
        async with world.running():
            await until(lambda: world.ready("internal"))
            await world.settled()
            asked, held = len(server.requests), dict(world.objects.secrets)
            world.secret("token", value="two")
            await until(lambda: world.objects.secrets != held and head_of(world.objects).sequence > 1)
            await until(lambda: [value for values in world.objects.secrets.values() for value in values.values()] == [b"two"])
            assert len(server.requests) == asked
            assert world.served == 5


async def test_gateway_that_knows_the_servers_is_the_memory_for_all() -> None:
    with FakeRegistry(ROWS) as server:
        first = world_of(server)
        async with first.running():
            await until(lambda: first.ready("internal"))
        server.fault = lambda _: Stall()
        second = restarted(first, {"name": "default", "namespace": "junctor"}, {"name": "another", "namespace": "other"})
        second.maps["another"].copy_from(second.objects)
        second.objects.copy_from(Objects())
        async with second.running():
            await until(lambda: second.served == 5)
            assert head_of(_of(second, "another")).connectors == 5


def _of(world: World, gateway: str) -> Objects:
    return world.maps[gateway]


async def test_registries_that_cannot_be_listed_and_a_damaged_map_are_no_reason_to_remove_servers() -> None:
    with FakeRegistry(ROWS) as server:
        first = world_of(server)
        async with first.running():
            await until(lambda: first.ready("internal"))
        second = restarted(first)
        (name,) = second.objects.shards
        second.objects.replace_shard(name, second.objects.shards[name].data[SHARD_KEY] + " ")
        second.missing = frozenset({"MCPRegistry"})
        async with second.running():
            await until(lambda: second.sink.last("c").get("Programmed") == ("False", "PublishFailed"))
            assert second.objects.writes == []
            second.missing = frozenset()
            second.loop.request_refresh()
            await until(lambda: second.served == 5)
